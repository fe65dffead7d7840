"""What the tables of one stream, account and month are made from, and what their footers say of it."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from airflow_usage_provider.archive.catalog import Day, Selection, list_days
from airflow_usage_provider.tables.columns import SNAPSHOTS, declared_columns, month_schema, table_columns
from airflow_usage_provider.tables.layout import TABLES
from airflow_usage_provider.tables.timeline import list_revisions, read_snapshots
from airflow_usage_provider.vendors.schemas import find_schema

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from airflow_usage_provider.archive.objects import Objects
    from airflow_usage_provider.schema import StreamSchema
    from airflow_usage_provider.tables.layout import Piece
    from airflow_usage_provider.tables.timeline import Revision, Snapshot

FORMAT = 1  # of the tables; a higher one has everything built again


@dataclass(frozen=True, slots=True)
class MonthSources:
    """
    Everything a month's tables are made from.

    :param listing: hash of the names of all manifests there are, also of those that ``as_of`` leaves out.
    :param snapshots: in order of day and time.
    :param revisions: answers with rows, in the same order.
    """

    piece: Piece
    as_of: datetime | None
    listing: str
    schema: StreamSchema
    snapshots: tuple[Snapshot, ...]
    revisions: tuple[Revision, ...]

    def has_rows(self, table: str) -> bool:
        """Whether a table has rows in this month; without, it has no file."""
        if table == "snapshots":
            return bool(self.snapshots)
        return any(table == "history" or revision.is_current for revision in self.revisions)

    def metadata(self, table: str) -> dict[str, Any]:
        """Return what a table's footer says of what it was made from: the same from the same, and nothing of when."""
        series = self.piece.series
        return {
            "format": FORMAT,
            "table": table,
            "series": {"vendor": series.vendor, "account": series.account, "stream": series.stream},
            "usage_month": str(self.piece.month),
            "as_of": self.as_of and self.as_of.isoformat(),
            "columns": dict(SNAPSHOTS) if table == "snapshots" else table_columns(self.schema, table),
            "days": self._days(table),
            **(self._whole_month() if table == "snapshots" else {"roles": self._roles()}),
        }

    def snapshot_rows(self) -> list[dict[str, Any]]:
        """Return the rows of ``snapshots``."""
        return [_describe(snapshot) for snapshot in self.snapshots]

    def _roles(self) -> dict[str, str]:
        """Return what columns are for, by the names that the tables give them."""
        names = declared_columns(self.schema)
        return {role: names.get(value, value) for role, value in self.schema.roles.items()}

    def _whole_month(self) -> dict[str, Any]:
        """Return what ``snapshots`` says of all three tables, as it is written last."""
        return {"listing": self.listing, "has_rows": {table: self.has_rows(table) for table in TABLES}}

    def _days(self, table: str) -> dict[str, list[dict[str, Any]]]:
        days: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        if table == "snapshots":
            for snapshot in self.snapshots:
                known_to = snapshot.known_to and snapshot.known_to.isoformat()
                days[snapshot.manifest.usage_date].append(
                    {
                        "snapshot_id": snapshot.manifest.snapshot_id,
                        "manifest_sha256": snapshot.sha256,
                        "known_to": known_to,
                    }
                )
            return dict(days)
        for revision in self.revisions:
            if table == "current" and not revision.is_current:
                continue
            manifest = revision.manifest
            made_from: dict[str, Any] = {
                "snapshot_id": manifest.snapshot_id,
                "raw_sha256": [entry.raw_sha256 for entry in manifest.files],
            }
            if table == "history":
                made_from["known_to"] = revision.known_to and revision.known_to.isoformat()
            days[manifest.usage_date].append(made_from)
        return dict(days)


def read_sources(objects: Objects, piece: Piece, *, as_of: datetime | None, jobs: int) -> MonthSources:
    """
    List a month and read its manifests.

    :raises ArchiveCorruptError: one of them is none.
    """
    series, month = piece.series, piece.month
    selection = Selection(since=month.first, until=month.last)
    days = [item for item in list_days(objects, series, selection) if isinstance(item, Day)]
    snapshots = read_snapshots(objects, days, as_of=as_of, jobs=jobs)
    schema = month_schema(series, (each.manifest for each in sorted(snapshots, key=lambda each: each.known_from)))
    revisions = tuple(list_revisions(snapshots))
    return MonthSources(piece, as_of, digest_listing(days, as_of), schema, tuple(snapshots), revisions)


def digest_listing(days: Iterable[Day], as_of: datetime | None) -> str:
    """
    Hash all that decides what a month's tables hold, as far as a listing tells: manifests never change.

    What this package has of a stream's schema goes in too, as it stands for manifests that carry none.
    """
    days = list(days)
    lines = [f"{FORMAT} {as_of}", *sorted(entry.name for day in days for entry in day.manifests.values())]
    if days and (schema := find_schema(days[0].series.vendor, days[0].series.stream)):
        lines.append(str(list(schema.columns.items())))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _describe(snapshot: Snapshot) -> dict[str, Any]:
    manifest = snapshot.manifest
    names = ("vendor", "account", "stream", "snapshot_id", "rows", "revision", "maturity", "unchanged")
    return {
        **{name: getattr(manifest, name) for name in names},
        "usage_date": date.fromisoformat(manifest.usage_date),
        "snapshot_at": snapshot.known_from,
        "state": "complete" if manifest.rows else "empty",
        "known_from": snapshot.known_from,
        "known_to": snapshot.known_to,
        "manifest_key": snapshot.name,
        "manifest_sha256": snapshot.sha256,
    }
