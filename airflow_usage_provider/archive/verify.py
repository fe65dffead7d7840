"""Proves an archive against itself: every manifest, the chain of every day, every byte of every part.

A day is one piece of work, done by one thread, with memory for its manifests and one chunk. Each object is read once,
however many manifests name it. Nothing is changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from airflow_usage_provider.archive.catalog import map_in_order
from airflow_usage_provider.archive.checks import RESTORE, Finding, check_chain, check_manifest
from airflow_usage_provider.archive.keys import ArchiveKey, ArchiveLocation
from airflow_usage_provider.archive.parts import digest_part
from airflow_usage_provider.exceptions import ArchiveCorruptError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airflow_usage_provider.archive.catalog import Catalog, Day
    from airflow_usage_provider.archive.manifest import FileEntry, Manifest
    from airflow_usage_provider.archive.objects import Objects
    from airflow_usage_provider.archive.parts import PartDigest

IN_FLIGHT = timedelta(hours=24)  # a part without a manifest is left behind once its snapshot was begun longer ago
_SECOND = "%Y%m%dT%H%M%SZ"
_COMPARE = "Restore the part if it was changed, the manifest if that was."


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was read and found in one day, or in the archive as a whole."""

    findings: tuple[Finding, ...] = ()
    snapshots: int = 0
    objects: int = 0
    bytes: int = 0


def verify_archive(objects: Objects, catalog: Catalog, *, now: datetime, jobs: int) -> Iterator[Report]:
    """
    Yield a report for the listing, one for each day in order, and one for the gaps.

    :param now: tells parts in flight from parts left behind.
    :param jobs: days read at the same time.
    :raises ArchiveAccessError: an object may not be read.
    :raises ArchiveUnavailableError: the archive does not answer.
    """
    yield Report(findings=tuple(_find_foreign(catalog)))
    yield from map_in_order(lambda day: verify_day(objects, day, now=now), catalog.days, jobs)
    yield Report(findings=tuple(_find_gaps(catalog)))


def verify_day(objects: Objects, day: Day, *, now: datetime) -> Report:
    """Check one day: its manifests, their chain, and the parts they name."""
    findings: list[Finding] = []
    manifests: dict[str, Manifest] = {}
    for snapshot_id, entry in day.manifests.items():
        manifest, found = check_manifest(objects, day, snapshot_id, entry)
        findings += found
        if manifest:
            manifests[snapshot_id] = manifest
    findings += check_chain(day, manifests)
    named = _collect_parts(objects, day, manifests.values())
    sizes = [entry.size for entry in day.manifests.values()]
    for name, entries in named.items():
        if name in day.parts:
            found, size = _check_part(objects, name, entries)
            findings += found
            sizes.append(size)
        else:
            problem = f"is named by {len(entries)} manifest{'s' * (len(entries) != 1)}, but does not exist"
            findings.append(Finding("missing part", name, problem, RESTORE))
    findings += _find_orphans(day, named, manifests, now)
    return Report(findings=tuple(findings), snapshots=len(day.manifests), objects=len(sizes), bytes=sum(sizes))


def _collect_parts(objects: Objects, day: Day, manifests: Iterable[Manifest]) -> dict[str, list[FileEntry]]:
    """All that a day's manifests say of each of its parts."""
    named: dict[str, list[FileEntry]] = {}
    for entry in (entry for manifest in manifests for entry in manifest.files):
        name = objects.resolve(entry.key)
        if name and name.startswith(day.prefix):
            named.setdefault(name, []).append(entry)
    return named


def _check_part(objects: Objects, name: str, entries: list[FileEntry]) -> tuple[list[Finding], int]:
    try:
        digest = digest_part(objects, name)
    except ArchiveCorruptError as error:
        return [Finding("unreadable", name, error.message, error.next_step or RESTORE)], 0
    problems = dict.fromkeys(problem for entry in entries if (problem := _compare(digest, entry)))
    return [Finding("altered part", name, problem, _COMPARE) for problem in problems], digest.bytes


def _compare(digest: PartDigest, entry: FileEntry) -> str | None:
    """Say how a part differs from an entry; the first difference explains those that follow from it."""
    if digest.bytes != entry.bytes:
        return f"has {digest.bytes} bytes, its manifest says {entry.bytes}"
    if digest.sha256 != entry.sha256:
        return f"has SHA-256 {digest.sha256}, its manifest says {entry.sha256}"
    if digest.raw_bytes is None:
        return "is a damaged gzip file, and was one when it was archived"
    if digest.raw_bytes != entry.raw_bytes:
        return f"has {digest.raw_bytes} bytes once decompressed, its manifest says {entry.raw_bytes}"
    if digest.raw_sha256 != entry.raw_sha256:
        return f"has SHA-256 {digest.raw_sha256} once decompressed, its manifest says {entry.raw_sha256}"
    if digest.lines not in (None, entry.rows):
        return f"has {digest.lines} records, its manifest says {entry.rows}"
    return None


def _find_orphans(
    day: Day, named: dict[str, list[FileEntry]], manifests: dict[str, Manifest], now: datetime
) -> Iterator[Finding]:
    for name in sorted(day.parts.keys() - named.keys()):
        key = ArchiveKey.parse(name)
        if key is None or (key.snapshot_id in day.manifests and key.snapshot_id not in manifests):
            continue  # the manifest that should name it is a finding itself
        begun = datetime.strptime(key.snapshot_id.partition("-")[0], _SECOND).replace(tzinfo=UTC)
        if now - begun < IN_FLIGHT:
            step = "Nothing to do: a run may still be writing it."
            yield Finding("uncommitted", name, "is named by no manifest yet", step, is_failure=False)
        else:
            step = "Restore the manifest if one was deleted; otherwise a run that failed left it: delete it."
            yield Finding("orphan", name, "is named by no manifest", step)


def _find_foreign(catalog: Catalog) -> Iterator[Finding]:
    for entry in catalog.foreign:
        yield Finding("foreign", entry.name, "is not of the archive", "Move it elsewhere, and find out who wrote it.")


def _find_gaps(catalog: Catalog) -> Iterator[Finding]:
    for series, first, last in catalog.gap_ranges():
        days = f"{first}" if first == last else f"{first} to {last} ({(last - first).days + 1} days)"
        prefix = series.prefix(ArchiveLocation("", ""))
        yield Finding("gap", prefix, f"has no snapshot of {days}", "Archive these days again.", is_failure=False)
