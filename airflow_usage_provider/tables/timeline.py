"""What was known of each day, and from when until when: the manifests of a month, in the order of their snapshots.

The answer as of a time is the newest manifest whose ``snapshot_at`` is not later. So a snapshot is the answer from its
own ``snapshot_at`` to the earliest one behind it, and a revision from its first snapshot to the next revision's.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC
from itertools import groupby
from typing import TYPE_CHECKING

from airflow_usage_provider.archive.catalog import read_manifest_bytes, read_time
from airflow_usage_provider.archive.manifest import Manifest
from airflow_usage_provider.archive.parallel import map_in_order
from airflow_usage_provider.exceptions import ArchiveCorruptError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from airflow_usage_provider.archive.catalog import Day
    from airflow_usage_provider.archive.objects import Objects, StoredObject


@dataclass(frozen=True, slots=True)
class Snapshot:
    """
    One snapshot of a day, read.

    :param name: of its manifest, relative to the archive.
    :param sha256: of the manifest's bytes.
    :param known_from: its ``snapshot_at``.
    :param known_to: when another one became the answer, exclusive; None while it is the answer.
    """

    day: Day
    manifest: Manifest
    name: str
    sha256: str
    known_from: datetime
    known_to: datetime | None = None

    @property
    def is_current(self) -> bool:
        """Whether it is the day's answer."""
        return self.known_to is None


@dataclass(frozen=True, slots=True)
class Revision:
    """One answer of a day: its first snapshot, known until another answer was."""

    first: Snapshot
    known_to: datetime | None

    @property
    def manifest(self) -> Manifest:
        """The manifest that brought the answer."""
        return self.first.manifest

    @property
    def is_current(self) -> bool:
        """Whether it is the day's answer."""
        return self.known_to is None


def read_snapshots(objects: Objects, days: Iterable[Day], *, as_of: datetime | None, jobs: int) -> list[Snapshot]:
    """
    Read every manifest of some days, in order of day and snapshot.

    :param as_of: leave out what was archived later; None: nothing.
    :raises ArchiveCorruptError: one is not a manifest of where it lies.
    """
    entries = [(day, snapshot_id, entry) for day in days for snapshot_id, entry in day.manifests.items()]
    read = map_in_order(lambda each: _read(objects, *each), entries, jobs)
    known = (snapshot for snapshot in read if as_of is None or snapshot.known_from <= as_of)
    return [snapshot for _, group in groupby(known, lambda each: each.day) for snapshot in _with_ends(list(group))]


def list_revisions(snapshots: Iterable[Snapshot]) -> list[Revision]:
    """Return every answer that has rows; pulls that changed nothing do not split one, and an empty one ends one."""
    revisions = []
    for _, run in groupby(snapshots, lambda each: (each.day, *_answer(each.manifest))):
        same = list(run)
        if same[0].manifest.rows:
            revisions.append(Revision(same[0], same[-1].known_to))
    return revisions


def _read(objects: Objects, day: Day, snapshot_id: str, entry: StoredObject) -> Snapshot:
    where = objects.uri(entry.name)
    body = read_manifest_bytes(objects, entry)
    manifest = Manifest.from_json(body, key=where)
    series = day.series
    own = (series.vendor, series.account, series.stream, day.usage_date.isoformat(), snapshot_id)
    said = (manifest.vendor, manifest.account, manifest.stream, manifest.usage_date, manifest.snapshot_id)
    if own != said:
        raise ArchiveCorruptError(f"{where} is the manifest of another place", next_step="Run usage-archive verify.")
    return Snapshot(day, manifest, entry.name, hashlib.sha256(body).hexdigest(), read_time(manifest).astimezone(UTC))


def _with_ends(snapshots: Sequence[Snapshot]) -> list[Snapshot]:
    """Say of each snapshot of a day when it ceased to be the answer; one that never was has no time between."""
    ended: list[Snapshot] = []
    end: datetime | None = None
    for snapshot in reversed(snapshots):
        known_to = None if end is None else max(end, snapshot.known_from)
        ended.append(replace(snapshot, known_to=known_to))
        end = snapshot.known_from if end is None else min(end, snapshot.known_from)
    return ended[::-1]


def _answer(manifest: Manifest) -> tuple[object, ...]:
    return manifest.revision, manifest.rows, tuple(entry.raw_sha256 for entry in manifest.files)
