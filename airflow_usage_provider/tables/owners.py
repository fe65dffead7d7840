"""Who pays for what: an owner and a cost center for each principal, by a CSV file that people keep.

Its columns are ``vendor, account, principal, owner, cost_center, valid_from, valid_to``. An empty vendor, account or
principal stands for all, ``*`` and ``?`` in a principal for any characters; both days are included, empty ones open.
What nobody owns stays a line of its own. Where two lines claim one charge, neither is guessed.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase

from airflow_usage_provider.exceptions import ConfigurationError
from airflow_usage_provider.models import parse_usage_date

COLUMNS = ("vendor", "account", "principal", "owner", "cost_center", "valid_from", "valid_to")
_REQUIRED = ("principal", "owner")


@dataclass(frozen=True, slots=True)
class Owner:
    """Who pays, and from which cost center; both are empty for what nobody owns."""

    name: str = ""
    cost_center: str = ""


@dataclass(frozen=True, slots=True)
class Claim:
    """One line of the file."""

    number: int
    vendor: str
    account: str
    principal: str
    owner: Owner
    valid_from: date
    valid_to: date

    def has(self, vendor: str, account: str, principal: str) -> bool:
        """Whether it claims what a principal used while it is valid."""
        return (
            self.vendor in ("", vendor)
            and self.account in ("", account)
            and (not self.principal or fnmatchcase(principal, self.principal))
        )


class Owners:
    """The claims of a file; without any, nobody owns anything."""

    def __init__(self, claims: tuple[Claim, ...] = ()) -> None:
        self._claims = claims
        self._known: dict[tuple[str, str, str], list[Claim]] = {}

    def __bool__(self) -> bool:
        return bool(self._claims)

    def change_between(self, first: date, last: date) -> bool:
        """Whether who pays may be another on one of these days than on another of them."""
        return any(first < claim.valid_from <= last or first <= claim.valid_to < last for claim in self._claims)

    def find(self, vendor: str, account: str, principal: str, day: date) -> Owner:
        """
        Return who pays for what a principal used on a day.

        :raises ConfigurationError: two lines claim it.
        """
        subject = (vendor, account, principal)
        if subject not in self._known:
            self._known[subject] = [claim for claim in self._claims if claim.has(*subject)]
        claims = [claim for claim in self._known[subject] if claim.valid_from <= day <= claim.valid_to]
        if len(claims) > 1:
            lines = " and ".join(f"{claim.number} ({claim.owner.name})" for claim in claims[:2])
            raise ConfigurationError(
                f"Lines {lines} of the owners file both claim {principal!r} of {vendor}/{account} on {day}",
                next_step="End the one before the other begins, or narrow a pattern.",
            )
        return claims[0].owner if claims else Owner()


def parse_owners(body: bytes) -> Owners:
    """
    Read the file.

    :raises ConfigurationError: it is no such CSV, or a line of it cannot be read.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _refuse("is not UTF-8") from None
    reader = csv.DictReader(io.StringIO(text, newline=""), restval="")
    columns = [name.strip() for name in reader.fieldnames or ()]
    if missing := [name for name in _REQUIRED if name not in columns]:
        raise _refuse(f"has no column {', '.join(missing)}")
    if unknown := [name for name in columns if name not in COLUMNS]:
        raise _refuse(f"has a column {unknown[0]!r}, which is none of its own")
    reader.fieldnames = columns
    return Owners(tuple(_parse_claim(reader.line_num, row) for row in reader))


def _parse_claim(number: int, row: dict[str, str]) -> Claim:
    if None in row:
        raise _refuse(f"has too many cells in line {number}")
    cells = {name: row.get(name, "").strip() for name in COLUMNS}
    if not cells["owner"]:
        raise _refuse(f"names no owner in line {number}")
    try:
        first = parse_usage_date(cells["valid_from"]) if cells["valid_from"] else date.min
        last = parse_usage_date(cells["valid_to"]) if cells["valid_to"] else date.max
    except ConfigurationError as error:
        raise _refuse(f"has no date in line {number}: {error.message}") from None
    if first > last:
        raise _refuse(f"ends before it begins in line {number}")
    owner = Owner(cells["owner"], cells["cost_center"])
    return Claim(number, cells["vendor"], cells["account"], cells["principal"], owner, first, last)


def _refuse(what: str) -> ConfigurationError:
    return ConfigurationError(f"The owners file {what}", next_step=f"Its columns are {', '.join(COLUMNS)}, in UTF-8.")
