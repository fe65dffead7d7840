"""What must be true of a manifest, and of the manifests of one day together. Nothing but manifests is read here."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from airflow_usage_provider.archive.catalog import read_manifest_bytes, read_time
from airflow_usage_provider.archive.keys import read_snapshot_time
from airflow_usage_provider.archive.manifest import Manifest, load_manifest_schema
from airflow_usage_provider.exceptions import ArchiveCorruptError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_usage_provider.archive.catalog import Day
    from airflow_usage_provider.archive.objects import Objects

AT_ONCE = timedelta(minutes=15)  # two runs that commit closer to each other than this may not have seen each other
CLOSE = timedelta(days=1)  # a snapshot's id is the second it was begun, snapshot_at the one it was committed
RESTORE = "Restore it from the bucket's versions or from a copy."
_MAX_QUOTE = 200


@dataclass(frozen=True, slots=True)
class Finding:
    """
    Something that is not as it must be.

    :param kind: one or two words to filter by.
    :param name: the object it is about, or a prefix.
    :param problem: what is wrong.
    :param step: what to do about it, as a sentence.
    :param is_failure: False for what is only told.
    """

    kind: str
    name: str
    problem: str
    step: str
    is_failure: bool = True


@dataclass(frozen=True, slots=True)
class CheckedManifest:
    """A manifest whose fields can be relied on, and the hash of its bytes."""

    manifest: Manifest
    sha256: str


def check_manifest(
    objects: Objects, day: Day, snapshot_id: str, now: datetime, *, has_times: bool = False
) -> tuple[CheckedManifest | None, list[Finding]]:
    """
    Read a manifest and hold it against schema, place, time and itself; None if its fields cannot be relied on.

    :param has_times: whether the times of the objects are their own, to be held against what the manifest says.
    """
    entry = day.manifests[snapshot_id]
    try:
        body = read_manifest_bytes(objects, entry)
        if problem := _find_schema_error(body):
            return None, [Finding("invalid manifest", entry.name, problem, RESTORE)]
        manifest = Manifest.from_json(body, key=objects.uri(entry.name))
    except ArchiveCorruptError as error:
        return None, [Finding("unreadable", entry.name, error.message, error.next_step or RESTORE)]
    problems = [*_compare_place(objects, day, snapshot_id, manifest), *_compare_sums(manifest)]
    findings = [Finding("altered manifest", entry.name, problem, RESTORE) for problem in problems]
    odd = _compare_times(snapshot_id, manifest, entry.modified if has_times else None, now)
    findings += [Finding("odd time", entry.name, problem, "Find out who wrote it, and when.") for problem in odd]
    return CheckedManifest(manifest, hashlib.sha256(body).hexdigest()), findings


def check_chain(day: Day, checked: Mapping[str, CheckedManifest]) -> Iterator[Finding]:
    """Check that each snapshot of a day follows from an earlier one. The ids are those of the keys, in order."""
    manifests = {snapshot_id: each.manifest for snapshot_id, each in checked.items()}
    for snapshot_id, manifest in manifests.items():
        name = day.manifests[snapshot_id].name
        for problem in _compare_previous(day, snapshot_id, manifest, manifests):
            yield Finding("broken chain", name, problem, "Restore the manifest that was changed or deleted.")
        previous = checked.get(manifest.previous or "")
        if previous and manifest.previous_sha256 not in (None, previous.sha256):
            problem = (
                f"has SHA-256 {previous.sha256}, but {snapshot_id}, which follows it, says {manifest.previous_sha256}"
            )
            yield Finding("broken chain", day.manifests[manifest.previous or ""].name, problem, RESTORE)


@cache
def _load_validator() -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(load_manifest_schema())


def _find_schema_error(body: bytes) -> str | None:
    """Say the first thing that is wrong: there may be a million of them."""
    try:
        error = next(_load_validator().iter_errors(json.loads(body)), None)
    except (ValueError, RecursionError):
        return "is not JSON"
    if error is None:
        return None
    message = error.message if len(error.message) <= _MAX_QUOTE else f"{error.message[:_MAX_QUOTE]}…"
    return f"does not meet the schema at {error.json_path}: {message}"


def _compare_place(objects: Objects, day: Day, snapshot_id: str, manifest: Manifest) -> Iterator[str]:
    place = {
        "vendor": day.series.vendor,
        "account": day.series.account,
        "stream": day.series.stream,
        "usage_date": day.usage_date.isoformat(),
        "snapshot_id": snapshot_id,
    }
    for name, expected in place.items():
        if (actual := getattr(manifest, name)) != expected:
            yield f"says {name} {actual!r}, its key {expected!r}"
    for entry in manifest.files:
        if not (objects.resolve(entry.key) or "").startswith(day.prefix):
            yield f"names a part that does not belong to its day: {entry.key}"


def _compare_sums(manifest: Manifest) -> Iterator[str]:
    if (rows := sum(entry.rows for entry in manifest.files)) != manifest.rows:
        yield f"says {manifest.rows} rows, its files have {rows}"
    if manifest.vendor_rows not in (None, manifest.rows, manifest.rows + manifest.duplicates):
        yield f"says {manifest.rows} rows, and that the vendor had {manifest.vendor_rows}"
    for entry in manifest.files:
        stored, raw = (entry.bytes, entry.sha256), (entry.raw_bytes, entry.raw_sha256)
        if entry.compression == "none" and stored != raw:
            yield f"has two sizes or hashes for {entry.key}, which is not compressed"
        if (entry.compression == "gzip") != entry.key.endswith(".gz"):
            yield f"says compression {entry.compression!r} of {entry.key}"


def _compare_times(snapshot_id: str, manifest: Manifest, modified: datetime | None, now: datetime) -> Iterator[str]:
    try:
        at = read_time(manifest)
    except ArchiveCorruptError:
        yield f"says snapshot_at {manifest.snapshot_at!r}, which is no time"
        return
    begun = read_snapshot_time(snapshot_id)
    if begun and abs(at - begun) > CLOSE:
        yield f"says snapshot_at {manifest.snapshot_at}, more than a day from its id"
    if modified and abs(at - modified) > CLOSE:
        yield f"says snapshot_at {manifest.snapshot_at}, but was written at {modified:%Y-%m-%dT%H:%M:%SZ}"
    if at - now > CLOSE:
        yield f"says snapshot_at {manifest.snapshot_at}, which is not yet"


def _compare_previous(
    day: Day, snapshot_id: str, manifest: Manifest, manifests: Mapping[str, Manifest]
) -> Iterator[str]:
    skipped = [
        other
        for other in manifests
        if (manifest.previous or "") < other < snapshot_id and not _is_at_once(manifests[other], manifest)
    ]
    if skipped:
        yield f"follows {manifest.previous or 'none'}, though {skipped[-1]} lies between"
    if manifest.previous is None:
        if manifest.revision != 1 and not skipped:
            yield f"is revision {manifest.revision}, but follows none"
        return
    if manifest.previous >= snapshot_id:
        yield f"follows {manifest.previous}, which is not older"
    elif manifest.previous not in day.manifests:
        yield f"follows {manifest.previous}, which has no manifest"
    elif previous := manifests.get(manifest.previous):
        yield from _compare_answers(previous, manifest)


def _compare_answers(previous: Manifest, manifest: Manifest) -> Iterator[str]:
    is_same = [entry.raw_sha256 for entry in previous.files] == [entry.raw_sha256 for entry in manifest.files]
    expected = previous.revision + (0 if is_same else 1)
    if manifest.revision != expected:
        yield f"is revision {manifest.revision}, must be {expected} after revision {previous.revision}"
    if manifest.unchanged and manifest.files != previous.files:
        yield "is unchanged, but names other files than the snapshot it follows"


def _is_at_once(earlier: Manifest, later: Manifest) -> bool:
    """Whether the earlier one may have been committed after the later one looked for what to follow."""
    try:
        begun, ended = (datetime.fromisoformat(manifest.snapshot_at) for manifest in (earlier, later))
        return ended - begun < AT_ONCE
    except (ValueError, TypeError):  # no time, or one without a zone beside one with
        return False
