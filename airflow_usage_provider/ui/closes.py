"""The closes of months, which lie beside the archive's raw data; that itself is never looked at."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_usage_provider.ui.spend import NotThereError
from airflow_usage_provider.ui.store import UnreadableTableError

if TYPE_CHECKING:
    from airflow_usage_provider.ui.store import TableStore

CLOSES = "closes/"
MOST = 60  # the latest
_LARGEST = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Close:
    """One close, in words."""

    month: str
    as_of: str
    totals: str
    root: str
    report: str


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


def _read(store: TableStore, name: str) -> Close:
    try:
        said = json.loads(store.read(name, _LARGEST))
        totals = ", ".join(f"{total} {currency}" for currency, total in said["totals"].items())
        report = store.uri(f"{name.rpartition('/')[0]}/report.html")
        return Close(str(said["month"]), str(said["as_of"]), totals, str(said["root"]), report)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UnreadableTableError(f"{store.uri(name)} is no close", next_step="Find out who wrote it.") from None
