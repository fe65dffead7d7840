"""The ``[usage_provider]`` section, and those of vendors of one's own, as DAGs use them.

Values are read, and refused, when a run begins. While a DAG is parsed, only what shapes it is read, and nothing is
refused.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_usage_provider.exceptions import ConfigurationError
from airflow_usage_provider.models import UsageWindow, load_zone, resolve_usage_date
from airflow_usage_provider.schema import parse_value

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

SECTION = "usage_provider"
#: Names that begin so are keys among the arguments of S3, and what gives them away.
CUSTOMER_KEY = "SSECustomerKey"


@dataclass(frozen=True, slots=True)
class Options:
    """
    The options of one vendor's DAG: from its own section, and what is not set there from ``[usage_provider]``.

    :param section: the vendor's own; ``usage_provider`` itself for those of this package, whose own options begin with
        the vendor's name there.
    """

    section: str = SECTION
    vendor: str = ""

    def find(self, name: str) -> str:
        """Return an option, without a word about it; empty if it is not set."""
        return next((value for place in self._places(name) if (value := _find(*place))), "")

    def read(self, name: str) -> str:
        """
        Return an option that must not be empty.

        :raises ConfigurationError: it is.
        """
        if not (value := self.find(name)):
            section, option = self._choose_place(name)
            raise ConfigurationError(
                f"[{section}] {option} is not set",
                next_step=f"Set it in airflow.cfg, or AIRFLOW__{section.upper()}__{option.upper()} in the environment.",
            )
        return value

    def read_list(self, name: str, default: str = "") -> list[str]:
        """
        Return an option's values, separated by commas, each once.

        :param default: what stands for one that is not set.
        :raises ConfigurationError: there is none.
        """
        values = split_list((self.find(name) or default) if default else self.read(name))
        if not values:
            raise ConfigurationError(f"{self.describe(name)} names nothing", next_step="Name at least one.")
        return values

    def read_number(self, name: str) -> float:
        """
        Return an option that is a number, 0 or more.

        :raises ConfigurationError: it is not.
        """
        text = self.read(name)
        try:
            number = float(text)
        except ValueError:
            number = -1.0
        if not 0 <= number < float("inf"):
            raise ConfigurationError(f"{self.describe(name)} is {text!r}", next_step="Set a number, 0 or more.")
        return number

    def read_count(self, name: str) -> int:
        """
        Return an option that is a whole number, 0 or more.

        :raises ConfigurationError: it is not.
        """
        number = self.read_number(name)
        if number != int(number):
            raise ConfigurationError(f"{self.describe(name)} is {number:g}", next_step="Set a whole number.")
        return int(number)

    def read_s3_extra_args(self) -> dict[str, Any]:
        """
        Return the arguments for every object of the archive; none if they are not set.

        :raises ConfigurationError: they are no JSON object, or hold a key, which would be shown wherever a run is.
        """
        text, next_step = self.find("s3_extra_args"), 'Set one, such as {"ServerSideEncryption": "aws:kms"}.'
        try:
            found = json.loads(text) if text else {}
        except ValueError as error:
            raise ConfigurationError(
                f"{self.describe('s3_extra_args')} is no JSON object: {error}", next_step=next_step
            ) from None
        if not isinstance(found, dict):
            raise ConfigurationError(f"{self.describe('s3_extra_args')} is no JSON object", next_step=next_step)
        if secret := [name for name in found if name.startswith(CUSTOMER_KEY)]:
            raise ConfigurationError(
                f"{self.describe('s3_extra_args')} holds {secret[0]}, which is a secret",
                next_step="Let S3 or KMS keep the key, or give it to the operator in a DAG of your own.",
            )
        return found

    def describe(self, name: str) -> str:
        """Name an option as messages do."""
        section, option = self._choose_place(name)
        return f"[{section}] {option}"

    def _choose_place(self, name: str) -> tuple[str, str]:
        """Return where an option is set, else where Airflow documents it, else where it is looked for first."""
        places = self._places(name)
        is_set = [place for place in places if _find(*place)]
        is_documented = [place for place in places if place[1] in _declared(place[0])]
        return [*is_set, *is_documented, *places][0]

    def _places(self, name: str) -> list[tuple[str, str]]:
        own = (SECTION, f"{self.vendor}_{name}") if self.section == SECTION and self.vendor else (self.section, name)
        return list(dict.fromkeys([own, (SECTION, name)]))


def split_list(text: str) -> list[str]:
    """Return what commas separate, each once."""
    return list(dict.fromkeys(entry for part in text.split(",") if (entry := part.strip())))


def read_option(name: str) -> str:
    """
    Return an option of ``[usage_provider]`` that must not be empty.

    :raises ConfigurationError: it is.
    """
    return Options().read(name)


def read_tables_url() -> str:
    """
    Return where tables go: ``tables_url``, or ``tables`` below ``archive_url``.

    :raises ConfigurationError: neither is set.
    """
    return _find(SECTION, "tables_url") or f"{read_option('archive_url').rstrip('/')}/tables"


def read_owners_url() -> str | None:
    """Return where the file of owners is; None if there is none."""
    return _find(SECTION, "owners_url") or None


def read_budgets() -> dict[str, Decimal]:
    """
    Return what a month may cost, by currency.

    :raises ConfigurationError: an entry is no currency with an amount.
    """
    budgets: dict[str, Decimal] = {}
    for entry in split_list(_find(SECTION, "budgets")):
        code, _, text = entry.partition(":")
        currency = code.strip().upper()
        try:
            amount = parse_value("money", text.strip())
        except ValueError:
            amount = None
        is_code = len(currency) == 3 and currency.isascii() and currency.isalpha()
        if not is_code or not amount or amount < 0 or currency in budgets:
            raise ConfigurationError(
                f"[{SECTION}] budgets has {entry!r}",
                next_step="Give each currency once, with an amount above 0: USD:5000,EUR:800.",
            )
        budgets[currency] = amount
    return budgets


def read_principal_names() -> bool:
    """
    Return whether principals' names may be written and shown.

    :raises ConfigurationError: the option is neither true nor false.
    """
    text = _find(SECTION, "principal_names").lower()
    if text not in ("true", "false"):
        raise ConfigurationError(f"[{SECTION}] principal_names is {text!r}", next_step="Set True or False.")
    return text == "true"


def read_close_day() -> int:
    """
    Return the day of the month on which the month before it is closed.

    :raises ConfigurationError: not every month has it.
    """
    day = Options().read_number("close_day")
    if day not in range(1, 29):
        raise ConfigurationError(
            f"[{SECTION}] close_day is {read_option('close_day')!r}", next_step="Set a day from 1 to 28."
        )
    return int(day)


def plan_window(context: Mapping[str, Any], options: Options | None = None) -> UsageWindow:
    """
    Return the day a run is for.

    :raises ConfigurationError: the run or the zone names none.
    """
    timezone = (options or Options()).read("timezone")
    return UsageWindow.parse(resolve_usage_date(context, timezone), timezone)


def plan_settled_at(window: UsageWindow, options: Options | None = None) -> datetime:
    """
    Return when the figures of a day are taken as settled: hours that pass, also where clocks change.

    :raises ConfigurationError: ``settle_hours`` is no number, or beyond all reason.
    """
    hours = (options or Options()).read_number("settle_hours")
    try:
        return (window.end.astimezone(UTC) + timedelta(hours=hours)).astimezone(load_zone(window.timezone))
    except OverflowError:
        raise ConfigurationError(
            f"[{SECTION}] settle_hours is {hours:g}", next_step="Set a number of hours that passes."
        ) from None


def _find(section: str, name: str) -> str:
    """Return an option as it is set, or its default, empty if there is none."""
    from airflow.configuration import conf

    default = _declared(section).get(name, {}).get("default", "")
    return str(conf.get(section, name, fallback=default) or "").strip()


def _declared(section: str) -> dict[str, Any]:
    from airflow_usage_provider.get_provider_info import get_provider_info

    options: dict[str, Any] = get_provider_info()["config"].get(section, {}).get("options", {})
    return options
