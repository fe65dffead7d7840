"""The closes of months, which lie beside the archive's raw data; that itself is never looked at."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_usage_provider.tables.close import CLOSES
from airflow_usage_provider.ui.store import NotThereError, UnreadableTableError

if TYPE_CHECKING:
    from airflow_usage_provider.tables.layout import Month
    from airflow_usage_provider.ui.store import TableStore

MOST = 60  # the latest
_LARGEST = 1024 * 1024
_LARGEST_REPORT = 16 * 1024 * 1024
_FOLDER = re.compile(r"[0-9A-Za-z-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Close:
    """
    One close, in words.

    :param folder: its name below the month's.
    :param revised: how many days it says were revised since the close before it.
    """

    month: str
    folder: str
    as_of: str
    totals: str
    revised: int
    root: str


def read_closes(store: TableStore) -> list[Close]:
    """
    Read the latest closes of an archive.

    :raises NotThereError: there is none.
    :raises UnreadableTableError: one is no close.
    """
    found = sorted((each.name for each in store.find(CLOSES, "/close.json")), reverse=True)
    if not found:
        raise NotThereError("No month is closed yet", next_step="Switch on the DAG usage_month_close.")
    return [_read(store, name) for name in found[:MOST]]


def read_report(store: TableStore, month: Month, folder: str) -> bytes:
    """
    Read the report of a close.

    :raises NotThereError: there is none.
    """
    if not _FOLDER.fullmatch(folder):
        raise NotThereError(f"{folder!r} is no close", next_step="Choose one of the page Closes.")
    return store.read(f"{CLOSES}{month}/{folder}/report.html", _LARGEST_REPORT)


def _read(store: TableStore, name: str) -> Close:
    try:
        said = json.loads(store.read(name, _LARGEST))
        totals = ", ".join(f"{total} {currency}" for currency, total in said["totals"].items())
        month, folder, _ = name.removeprefix(CLOSES).split("/")
        revised = len(said.get("revised", ()))
        return Close(month, folder, _say(said["as_of"]), totals, revised, str(said["root"]))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UnreadableTableError(f"{store.uri(name)} is no close", next_step="Find out who wrote it.") from None


def _say(as_of: str) -> str:
    return f"{datetime.fromisoformat(as_of).astimezone(UTC):%Y-%m-%d %H:%M} UTC"
