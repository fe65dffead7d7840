"""Proves an archive against itself and a seal: every manifest, the chain of every day, every byte of every part.

A day is one piece of work, done by one thread, with memory for its manifests and one chunk. Each object is read once,
however many manifests name it. Nothing is changed.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from airflow_usage_provider.archive.catalog import Day, iter_catalog, read_current
from airflow_usage_provider.archive.checks import RESTORE, CheckedManifest, Finding, check_chain, check_manifest
from airflow_usage_provider.archive.gaps import Gap
from airflow_usage_provider.archive.keys import ArchiveKey, ArchiveLocation, read_snapshot_time
from airflow_usage_provider.archive.objects import StoredObject
from airflow_usage_provider.archive.parallel import map_in_order
from airflow_usage_provider.archive.parts import digest_part
from airflow_usage_provider.exceptions import ArchiveCorruptError, ConfigurationError
from airflow_usage_provider.models import load_zone

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import tzinfo

    from airflow_usage_provider.archive.catalog import Selection
    from airflow_usage_provider.archive.keys import Series
    from airflow_usage_provider.archive.manifest import FileEntry
    from airflow_usage_provider.archive.objects import Objects
    from airflow_usage_provider.archive.parts import PartDigest
    from airflow_usage_provider.archive.seal import Seal

IN_FLIGHT = timedelta(hours=24)  # a part without a manifest is left behind once its snapshot was begun longer ago
_DAY = timedelta(days=1)
_COMPARE = "Restore the part if it was changed, the manifest if that was."
_STRANGER = "Move it elsewhere, and find out who wrote it."


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """
    What was read and found in one day, or beside the days.

    :param series: whose day it is; None for what is no day.
    :param rows: of the day's newest answer; None where it was not read.
    :param objects: that were read, or are known by an earlier seal; likewise ``bytes``.
    :param hashes: SHA-256 of the manifests that hold and the parts they name, by name, in order.
    """

    series: Series | None = None
    findings: tuple[Finding, ...] = ()
    snapshots: int = 0
    objects: int = 0
    bytes: int = 0
    rows: int | None = None
    hashes: Mapping[str, str] = field(default_factory=dict)


def verify_archive(
    objects: Objects,
    selection: Selection,
    *,
    now: datetime,
    jobs: int,
    has_times: bool = False,
    is_current: bool = False,
    seal: Seal | None = None,
    is_trusted: bool = False,
) -> Iterator[Report]:
    """
    Yield a report for each day, each gap, and each object that is not of the archive, in order.

    :param now: tells parts in flight from parts left behind.
    :param jobs: days read at the same time.
    :param has_times: hold the times of the objects against those in the manifests.
    :param is_current: count gaps until yesterday in the zone of each series, in place of its last day.
    :param seal: hold the archive against it too.
    :param is_trusted: do not read again what the seal holds.
    :raises ArchiveAccessError: an object may not be read.
    :raises ArchiveUnavailableError: the archive does not answer.
    """

    def find_end(last: Day | None) -> date | None:
        return selection.until or (_find_yesterday(objects, last, now) if is_current else None)

    def check(pair: tuple[Day | Gap | StoredObject | None, Mapping[str, str]]) -> Report:
        item, sealed = pair
        if item is None:
            return Report(findings=tuple(_find_lost(sealed)))
        if isinstance(item, Gap):
            return Report(findings=(_describe_gap(item),))
        if isinstance(item, StoredObject):
            return Report(findings=(Finding("foreign", item.name, "is not of the archive", _STRANGER),))
        known = sealed if is_trusted else {}
        if known and known.keys() == item.names:
            return _take_over(item, known)
        report = verify_day(objects, item, now=now, has_times=has_times, known=known)
        if seal is None:
            return report
        lost = _find_lost(name for name in sealed if name not in item.names)
        return replace(report, findings=(*report.findings, *lost, *seal.compare(item, sealed, report.hashes)))

    items = iter_catalog(objects, selection, jobs=jobs, now=now, find_end=find_end, must_exist=False)
    pairs = seal.join(items, selection) if seal else ((item, {}) for item in items)
    yield from map_in_order(check, pairs, jobs)


def verify_day(
    objects: Objects, day: Day, *, now: datetime, has_times: bool = False, known: Mapping[str, str] | None = None
) -> Report:
    """
    Check one day: its manifests, their chain, and the parts they name.

    :param known: hashes of parts that need not be read, by name.
    """
    known = known or {}
    findings = list(_find_odd_day(day, now))
    checked: dict[str, CheckedManifest] = {}
    for snapshot_id in day.manifests:
        manifest, found = check_manifest(objects, day, snapshot_id, now, has_times=has_times)
        findings += found
        if manifest:
            checked[snapshot_id] = manifest
    findings += check_chain(day, checked)
    hashes = {day.manifests[snapshot_id].name: each.sha256 for snapshot_id, each in checked.items()}
    sizes = [entry.size for entry in day.manifests.values()]
    named = _collect_parts(objects, day, checked.values())
    for name, entries in named.items():
        if name not in day.parts:
            problem = f"is named by {len(entries)} manifest{'s' * (len(entries) != 1)}, but does not exist"
            findings.append(Finding("missing part", name, problem, RESTORE))
        elif name in known:
            hashes[name] = known[name]
            sizes.append(day.parts[name].size)
        else:
            digest, found = _check_part(objects, name, entries)
            findings += found
            hashes |= {name: digest.sha256} if digest else {}
            sizes.append(digest.bytes if digest else 0)
    findings += _find_orphans(day, named, checked, now)
    return Report(
        series=day.series,
        findings=tuple(findings),
        snapshots=len(day.manifests),
        objects=len(sizes),
        bytes=sum(sizes),
        rows=list(checked.values())[-1].manifest.rows if checked else None,
        hashes=dict(sorted(hashes.items())),
    )


def _take_over(day: Day, known: Mapping[str, str]) -> Report:
    sizes = [entry.size for entry in (*day.manifests.values(), *day.parts.values())]
    return Report(series=day.series, snapshots=len(day.manifests), objects=len(sizes), bytes=sum(sizes), hashes=known)


def _find_yesterday(objects: Objects, last: Day | None, now: datetime) -> date:
    zone: tzinfo = UTC
    with suppress(ArchiveCorruptError, ConfigurationError):
        zone = load_zone(read_current(objects, last).timezone) if last else UTC
    return now.astimezone(zone).date() - _DAY


def _collect_parts(objects: Objects, day: Day, checked: Iterable[CheckedManifest]) -> dict[str, list[FileEntry]]:
    """All that a day's manifests say of each of its parts."""
    named: dict[str, list[FileEntry]] = {}
    for entry in (entry for each in checked for entry in each.manifest.files):
        name = objects.resolve(entry.key)
        if name and name.startswith(day.prefix):
            named.setdefault(name, []).append(entry)
    return named


def _check_part(objects: Objects, name: str, entries: list[FileEntry]) -> tuple[PartDigest | None, list[Finding]]:
    try:
        digest = digest_part(objects, name, max(entry.raw_bytes for entry in entries))
    except ArchiveCorruptError as error:
        return None, [Finding("unreadable", name, error.message, error.next_step or RESTORE)]
    problems = dict.fromkeys(problem for entry in entries if (problem := _compare(digest, entry)))
    return digest, [Finding("altered part", name, problem, _COMPARE) for problem in problems]


def _compare(digest: PartDigest, entry: FileEntry) -> str | None:
    """Say how a part differs from an entry; the first difference explains those that follow from it."""
    if digest.bytes != entry.bytes:
        return f"has {digest.bytes} bytes, its manifest says {entry.bytes}"
    if digest.sha256 != entry.sha256:
        return f"has SHA-256 {digest.sha256}, its manifest says {entry.sha256}"
    if digest.raw_bytes is None:
        return "is a damaged gzip file, and was one when it was archived"
    if digest.raw_sha256 is None:
        return f"has more bytes once decompressed than the {entry.raw_bytes} its manifest says"
    if digest.raw_bytes != entry.raw_bytes:
        return f"has {digest.raw_bytes} bytes once decompressed, its manifest says {entry.raw_bytes}"
    if digest.raw_sha256 != entry.raw_sha256:
        return f"has SHA-256 {digest.raw_sha256} once decompressed, its manifest says {entry.raw_sha256}"
    if digest.lines not in (None, entry.rows):
        return f"has {digest.lines} records, its manifest says {entry.rows}"
    return None


def _find_orphans(
    day: Day, named: Mapping[str, list[FileEntry]], checked: Mapping[str, CheckedManifest], now: datetime
) -> Iterator[Finding]:
    for name in sorted(day.parts.keys() - named.keys()):
        key = ArchiveKey.parse(name)
        if key is None or (key.snapshot_id in day.manifests and key.snapshot_id not in checked):
            continue  # the manifest that should name it is a finding itself
        begun = read_snapshot_time(key.snapshot_id)
        if begun and now - begun < IN_FLIGHT:
            step = "Nothing to do: a run may still be writing it."
            yield Finding("uncommitted", name, "is named by no manifest yet", step, is_failure=False)
        else:
            step = "Restore the manifest if one was deleted; otherwise a run that failed left it: delete it."
            yield Finding("orphan", name, "is named by no manifest", step)


def _find_odd_day(day: Day, now: datetime) -> Iterator[Finding]:
    if day.usage_date > now.astimezone(UTC).date() + _DAY:
        yield Finding(
            "odd time", day.prefix, "is a day that is not yet", "Find out who archived it; move it elsewhere."
        )


def _find_lost(names: Iterable[str]) -> Iterator[Finding]:
    for name in names:
        yield Finding("lost", name, "is in the seal, but not in the archive", RESTORE)


def _describe_gap(gap: Gap) -> Finding:
    prefix = gap.series.prefix(ArchiveLocation("", ""))
    days = f"{gap.first}" if gap.days == 1 else f"{gap.first} to {gap.last} ({gap.days} days)"
    if not gap.is_break:
        return Finding("gap", prefix, f"has no snapshot of {days}", "Archive these days again.", is_failure=False)
    step = "Taken for a mistyped day or a new beginning, and no gap; --since counts from the day you give."
    return Finding("break", prefix, f"has no snapshot of {days}", step, is_failure=False)
