"""The snapshots of one day, each with what its manifest says: the only objects of raw that a page reads.

The table names them. Nothing of raw is listed, and a manifest counts only if it is the one the table was made from.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_usage_provider.archive.keys import MANIFEST_NAME, ArchiveKey
from airflow_usage_provider.archive.manifest import MAX_MANIFEST_BYTES, Manifest
from airflow_usage_provider.archive.parallel import map_in_order
from airflow_usage_provider.exceptions import UsageProviderError
from airflow_usage_provider.ui.snapshots import read_day
from airflow_usage_provider.ui.store import UnreadableTableError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from airflow_usage_provider.archive.keys import Series
    from airflow_usage_provider.ui.snapshots import Snapshot
    from airflow_usage_provider.ui.store import TableStore

MOST = 20  # manifests of a day, the newest
_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Told:
    """
    What a manifest says beyond the table.

    :param size: bytes of its parts, as they lie in S3; ``raw_size`` as the vendor sent them.
    :param run: ids of DAG and run; None if no run of Airflow archived it.
    """

    size: int
    raw_size: int
    run: tuple[str, str] | None


@dataclass(frozen=True, slots=True)
class DaySnapshot:
    """
    A snapshot of a day.

    :param uri: of its manifest.
    :param told: None if its manifest could not be read, and ``problem`` says why.
    """

    snapshot: Snapshot
    uri: str
    told: Told | None
    problem: str


@dataclass(frozen=True, slots=True)
class DayOfStream:
    """A day of a stream, the newest snapshot first; ``more`` of them are not looked at."""

    series: Series
    usage_date: date
    snapshots: Sequence[DaySnapshot]
    more: int


def read_day_of_stream(tables: TableStore, archive: TableStore, series: Series, usage_date: date) -> DayOfStream:
    """
    Read a day.

    :raises NotThereError: the tables have no snapshot of it.
    """
    found = read_day(tables, series, usage_date)
    shown = map_in_order(lambda each: _look(archive, each), found[:MOST], _AT_ONCE)
    return DayOfStream(series, usage_date, list(shown), len(found[MOST:]))


def _look(archive: TableStore, snapshot: Snapshot) -> DaySnapshot:
    uri = archive.uri(snapshot.manifest_key)
    try:
        return DaySnapshot(snapshot, uri, _read(archive, snapshot, uri), "")
    except UsageProviderError as error:
        return DaySnapshot(snapshot, uri, None, str(error))


def _read(archive: TableStore, snapshot: Snapshot, uri: str) -> Told:
    key = ArchiveKey.parse(snapshot.manifest_key)
    own = ArchiveKey(snapshot.series, snapshot.usage_date, snapshot.snapshot_id, MANIFEST_NAME)
    body = archive.read(snapshot.manifest_key, MAX_MANIFEST_BYTES) if key == own else b""
    if hashlib.sha256(body).hexdigest() != snapshot.manifest_sha256:
        raise UnreadableTableError(
            f"{uri} is not the manifest that the table was made from", next_step="Run usage-archive verify."
        )
    manifest = Manifest.from_json(body, key=uri)
    run = tuple(str(manifest.airflow.get(name) or "") for name in ("dag_id", "run_id"))
    return Told(
        sum(entry.bytes for entry in manifest.files),
        sum(entry.raw_bytes for entry in manifest.files),
        (run[0], run[1]) if all(run) else None,
    )
