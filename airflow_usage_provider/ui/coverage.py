"""Which days are archived, and which changed after they were, from the table of snapshots alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any

from airflow_usage_provider.ui.spend import NotThereError, list_months

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_usage_provider.tables.layout import Month
    from airflow_usage_provider.ui.store import TableStore

SNAPSHOTS = "snapshots/"
_MONTH = "usage_month="
_COLUMNS = (
    *("vendor", "account", "stream", "usage_date", "snapshot_at"),
    *("state", "rows", "revision", "maturity", "unchanged", "known_to"),
)
_LONGER = {"weekly", "monthly", "yearly", "all"}  # listings that are not asked for every day
_MAKE = "Switch on the DAG usage_tables, or run usage-archive tables ARCHIVE --month YYYY-MM --to TABLES_URL."


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One row of the table."""

    series: str
    usage_date: date
    snapshot_at: datetime
    state: str
    rows: int
    revision: int
    maturity: str
    unchanged: bool
    known_to: datetime | None

    @property
    def condition(self) -> str:
        """What a page says of the day whose answer it is."""
        if self.revision > 1:
            return "revised"
        return "provisional" if self.state == "complete" and self.maturity == "provisional" else self.state


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """
    A month of snapshots.

    :param days: those that are over.
    :param states: of each of them, by stream.
    :param changes: an answer and the one that took its place, the latest first.
    """

    month: Month
    months: Sequence[Month]
    days: Sequence[date]
    states: Mapping[str, Sequence[str]]
    changes: Sequence[tuple[Snapshot, Snapshot]]


def read_coverage(store: TableStore, month: Month | None, today: date) -> Coverage:
    """
    Read a month; without one, the newest.

    :raises NotThereError: there is no such month, or no table at all.
    """
    months = list_months(store, SNAPSHOTS, _MONTH)
    if not months:
        raise NotThereError("There are no tables yet", next_step=_MAKE)
    chosen = month or months[0]
    if chosen not in months:
        raise NotThereError(f"There is no table of snapshots of {chosen}", next_step=_MAKE)
    found = store.find(f"{SNAPSHOTS}{_MONTH}{chosen}/")
    snapshots: list[Snapshot] = store.load(found, _COLUMNS, reduce_snapshots)
    last = min(chosen.last, today - timedelta(days=1))
    days = [chosen.first + timedelta(days=number) for number in range((last - chosen.first).days + 1)]
    current = {(each.series, each.usage_date): each for each in snapshots if each.known_to is None}
    states = {
        series: [current[series, day].condition if (series, day) in current else "missing" for day in days]
        for series in sorted({each.series for each in snapshots})
        if not _LONGER & set(series.rpartition("/")[2].split("_"))
    }
    return Coverage(month=chosen, months=months, days=days, states=states, changes=_find_changes(snapshots))


def reduce_snapshots(batches: Any) -> list[Snapshot]:
    """Return the rows of one file."""
    return [
        Snapshot(
            f"{row['vendor']}/{row['account']}/{row['stream']}",
            row["usage_date"],
            row["snapshot_at"].astimezone(UTC),
            row["state"],
            row["rows"],
            row["revision"],
            row["maturity"],
            row["unchanged"],
            row["known_to"],
        )
        for batch in batches
        for row in batch.to_pylist()
    ]


def _find_changes(snapshots: Sequence[Snapshot]) -> list[tuple[Snapshot, Snapshot]]:
    changes = []
    ordered = sorted(snapshots, key=lambda each: (each.series, each.usage_date, each.snapshot_at, each.revision))
    for _, group in groupby(ordered, key=lambda each: (each.series, each.usage_date)):
        answers = [each for each in group if not each.unchanged]
        changes += list(pairwise(answers))
    return sorted(changes, key=lambda pair: (pair[1].snapshot_at, pair[1].series), reverse=True)
