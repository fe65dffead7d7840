"""What must be true of a manifest, and of the manifests of one day together. Nothing but manifests is read here."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from airflow_usage_provider.archive.catalog import read_manifest_bytes
from airflow_usage_provider.archive.manifest import Manifest, load_manifest_schema
from airflow_usage_provider.exceptions import ArchiveCorruptError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_usage_provider.archive.catalog import Day
    from airflow_usage_provider.archive.objects import Objects, StoredObject

AT_ONCE = timedelta(minutes=15)  # two runs that commit closer to each other than this may not have seen each other
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


def check_manifest(
    objects: Objects, day: Day, snapshot_id: str, entry: StoredObject
) -> tuple[Manifest | None, list[Finding]]:
    """Read a manifest and hold it against schema, place and itself; None if its fields cannot be relied on."""
    try:
        body = read_manifest_bytes(objects, entry)
        if problem := _find_schema_error(body):
            return None, [Finding("invalid manifest", entry.name, problem, RESTORE)]
        manifest = Manifest.from_json(body, key=objects.uri(entry.name))
    except ArchiveCorruptError as error:
        return None, [Finding("unreadable", entry.name, error.message, error.next_step or RESTORE)]
    problems = [*_compare_place(objects, day, snapshot_id, manifest), *_compare_sums(manifest)]
    return manifest, [Finding("altered manifest", entry.name, problem, RESTORE) for problem in problems]


def check_chain(day: Day, manifests: Mapping[str, Manifest]) -> Iterator[Finding]:
    """Check that each snapshot of a day follows from an earlier one. The ids are those of the keys, in order."""
    for snapshot_id, manifest in manifests.items():
        name = day.manifests[snapshot_id].name
        for problem in _compare_previous(day, snapshot_id, manifest, manifests):
            yield Finding("broken chain", name, problem, "Restore the manifest that was changed or deleted.")


@cache
def _load_validator() -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(load_manifest_schema())


def _find_schema_error(body: bytes) -> str | None:
    from jsonschema.exceptions import best_match

    try:
        document = json.loads(body)
        error = best_match(_load_validator().iter_errors(document))
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
    for entry in manifest.files:
        stored, raw = (entry.bytes, entry.sha256), (entry.raw_bytes, entry.raw_sha256)
        if entry.compression == "none" and stored != raw:
            yield f"has two sizes or hashes for {entry.key}, which is not compressed"
        if (entry.compression == "gzip") != entry.key.endswith(".gz"):
            yield f"says compression {entry.compression!r} of {entry.key}"


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
