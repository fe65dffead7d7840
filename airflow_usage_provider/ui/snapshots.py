"""The table of snapshots: which days are archived, and which changed after they were."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

from airflow_usage_provider.archive.keys import Series
from airflow_usage_provider.tables.layout import Month, Piece
from airflow_usage_provider.ui.spend import list_months
from airflow_usage_provider.ui.store import NotThereError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow_usage_provider.ui.store import Table, TableStore

SNAPSHOTS = "snapshots/"
#: What a page says of a day, in the order of its key.
STATES = ("complete", "empty", "provisional", "revised", "lagging", "missing", "awaited")
_MONTH = "usage_month="
_COLUMNS = (
    *("vendor", "account", "stream", "usage_date", "snapshot_id", "snapshot_at", "state", "rows", "revision"),
    *("maturity", "unchanged", "known_to", "manifest_key", "manifest_sha256"),
)
_MAKE = "Switch on the DAG usage_tables, or run usage-archive tables ARCHIVE --month YYYY-MM --to TABLES_URL."


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One row of the table."""

    series: Series
    usage_date: date
    snapshot_id: str
    snapshot_at: datetime
    state: str
    rows: int
    revision: int
    maturity: str
    unchanged: bool
    known_to: datetime | None
    manifest_key: str
    manifest_sha256: str

    @property
    def name(self) -> str:
        """``vendor/account/stream``."""
        return f"{self.series.vendor}/{self.series.account}/{self.series.stream}"


@dataclass(frozen=True, slots=True)
class Expected:
    """
    What should be there by now.

    :param lookback_days: how many days before it a run pulls again.
    :param settled_at: when the run of a day begins to pull.
    """

    now: datetime
    lookback_days: int
    settled_at: Callable[[date], datetime]

    def judge(self, day: date, answer: Snapshot | None) -> str:
        """Return what a page says of a day: one of :data:`STATES`."""
        if answer is None:
            return "missing" if self.settled_at(day) <= self.now else "awaited"
        if answer.maturity == "provisional" and self.settled_at(self._day_of_last_pull(day)) <= self.now:
            return "lagging"
        if answer.revision > 1:
            return "revised"
        return "provisional" if answer.state == "complete" and answer.maturity == "provisional" else answer.state

    def _day_of_last_pull(self, day: date) -> date:
        """Return the day whose run finds that the last pull of another day should have been: one day of grace."""
        return day + timedelta(days=self.lookback_days + 1)


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
    states: Mapping[Series, Sequence[str]]
    changes: Sequence[tuple[Snapshot, Snapshot]]


def read_coverage(store: TableStore, month: Month | None, expected: Expected) -> Coverage:
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
    snapshots: list[Snapshot] = store.load(found, "snapshots", reduce_snapshots)
    last = min(chosen.last, expected.now.astimezone(UTC).date() - timedelta(days=1))
    days = [chosen.first + timedelta(days=number) for number in range((last - chosen.first).days + 1)]
    current: defaultdict[Series, dict[date, Snapshot]] = defaultdict(dict)
    for each in sorted(snapshots, key=lambda each: each.name):
        if each.series.is_daily:
            current[each.series] |= {each.usage_date: each} if each.known_to is None else {}
    states = {series: [expected.judge(day, own.get(day)) for day in days] for series, own in current.items()}
    return Coverage(month=chosen, months=months, days=days, states=states, changes=_find_changes(snapshots))


def read_day(store: TableStore, series: Series, usage_date: date) -> list[Snapshot]:
    """
    Read the snapshots of a day, the newest first.

    :raises NotThereError: there is none.
    """
    found = store.find(Piece(series, Month.of(usage_date)).name("snapshots"))
    snapshots: list[Snapshot] = store.load(found, "snapshots", reduce_snapshots)
    own = [each for each in snapshots if (each.series, each.usage_date) == (series, usage_date)]
    if not own:
        raise NotThereError(f"There is no snapshot of that stream and {usage_date} among the tables", next_step=_MAKE)
    return sorted(own, key=lambda each: (each.snapshot_at, each.snapshot_id), reverse=True)


def reduce_snapshots(table: Table) -> list[Snapshot]:
    """Return the rows of one file."""
    snapshots = []
    for batch in table.batches(*_COLUMNS):
        for row in batch.to_pylist():
            series = Series(row.pop("vendor"), row.pop("account"), row.pop("stream"))
            snapshots.append(Snapshot(series=series, **{**row, "snapshot_at": row["snapshot_at"].astimezone(UTC)}))
    return snapshots


def _find_changes(snapshots: Sequence[Snapshot]) -> list[tuple[Snapshot, Snapshot]]:
    changes = []
    ordered = sorted(snapshots, key=lambda each: (each.name, each.usage_date, each.snapshot_at, each.revision))
    for _, group in groupby(ordered, key=lambda each: (each.series, each.usage_date)):
        answers = [each for each in group if not each.unchanged]
        changes += list(pairwise(answers))
    return sorted(changes, key=lambda pair: (pair[1].snapshot_at, pair[1].name), reverse=True)
