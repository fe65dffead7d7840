"""The ``[usage_provider]`` section as the bundled DAGs use it: read when a run begins, never while a DAG is parsed."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_usage_provider.exceptions import ConfigurationError
from airflow_usage_provider.models import UsageWindow, resolve_usage_date

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

SECTION = "usage_provider"


def read_option(name: str) -> str:
    """
    Return an option that must not be empty.

    :raises ConfigurationError: it is.
    """
    value = _find(SECTION, name)
    if not value:
        raise ConfigurationError(
            f"[{SECTION}] {name} is not set",
            next_step=f"Set it in airflow.cfg, or AIRFLOW__{SECTION.upper()}__{name.upper()} in the environment.",
        )
    return value


def read_list(name: str) -> list[str]:
    """
    Return an option's values, separated by commas, each once.

    :raises ConfigurationError: there is none.
    """
    values = list(dict.fromkeys(entry for part in read_option(name).split(",") if (entry := part.strip())))
    if not values:
        raise ConfigurationError(f"[{SECTION}] {name} names nothing", next_step="Name at least one.")
    return values


def read_number(name: str) -> float:
    """
    Return an option that is a number, 0 or more.

    :raises ConfigurationError: it is not.
    """
    text = read_option(name)
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise ConfigurationError(f"[{SECTION}] {name} is {text!r}", next_step="Set a number, 0 or more.")
    return number


def read_tables_url() -> str:
    """
    Return where tables go: ``tables_url``, or ``tables`` below ``archive_url``.

    :raises ConfigurationError: neither is set.
    """
    return _find(SECTION, "tables_url") or f"{read_option('archive_url').rstrip('/')}/tables"


def read_owners_url() -> str | None:
    """Return where the file of owners is; None if there is none."""
    return _find(SECTION, "owners_url") or None


def read_close_day() -> int:
    """
    Return the day of the month on which the month before it is closed.

    :raises ConfigurationError: not every month has it.
    """
    day = read_number("close_day")
    if day not in range(1, 29):
        raise ConfigurationError(
            f"[{SECTION}] close_day is {read_option('close_day')!r}", next_step="Set a day from 1 to 28."
        )
    return int(day)


def _find(section: str, name: str) -> str:
    """Return an option as it is set, or its default, empty if there is none."""
    from airflow.configuration import conf

    from airflow_usage_provider.get_provider_info import get_provider_info

    options = get_provider_info()["config"].get(section, {}).get("options", {})
    default = options.get(name, {}).get("default", "")
    return str(conf.get(section, name, fallback=default) or "").strip()


def plan_window(context: Mapping[str, Any]) -> UsageWindow:
    """Return the day a run is for."""
    timezone = read_option("timezone")
    return UsageWindow.parse(resolve_usage_date(context, timezone), timezone)


def plan_settled_at(window: UsageWindow) -> datetime:
    """Return when the figures of a day are taken as settled."""
    return window.end + timedelta(hours=read_number("settle_hours"))


def plan_keywordsai(window: UsageWindow) -> list[dict[str, Any]]:
    """Return the arguments of each account's tasks."""
    common = _common_arguments(window)
    return [{**common, "keywordsai_conn_id": conn_id} for conn_id in read_list("keywordsai_conn_ids")]


def plan_langdock(window: UsageWindow) -> list[dict[str, Any]]:
    """
    Return the arguments of the tasks of each account and stream.

    :raises ConfigurationError: a stream or grouping is unknown.
    """
    from airflow_usage_provider.vendors.langdock.api import ExportQuery

    common = _common_arguments(window)
    streams: list[dict[str, Any]] = []
    for entry in read_list("langdock_streams"):
        stream, _, group_by = entry.partition(":")
        query = ExportQuery(window=window, stream=stream.strip(), group_by=group_by.strip() or None)
        streams.append({"stream": query.stream, "group_by": query.group_by})
    conn_ids = read_list("langdock_conn_ids")
    return [{**common, "langdock_conn_id": conn_id, **stream} for conn_id in conn_ids for stream in streams]


def _common_arguments(window: UsageWindow) -> dict[str, Any]:
    return {
        "archive_url": read_option("archive_url"),
        "aws_conn_id": read_option("aws_conn_id"),
        "usage_date": window.usage_date.isoformat(),
        "timezone": window.timezone,
        "lookback_days": int(read_number("lookback_days")),
    }
