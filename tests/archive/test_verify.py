"""A sound archive is clean whatever its history; whatever is tampered with is found and named."""

from __future__ import annotations

import gzip
import hashlib
import json
import random
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from samples import FIRST, JSON_FIRST, NOW, USERS, Copy, Shelf, download, live

from airflow_usage_provider.archive.catalog import Selection, load_catalog
from airflow_usage_provider.archive.objects import CHUNK_SIZE, FolderObjects, S3Objects
from airflow_usage_provider.archive.parts import decompress, digest_part
from airflow_usage_provider.archive.verify import verify_archive, verify_day

DAY_1, DAY_2, DAY_3, DAY_5 = (f"usage_date=2026-01-0{day}" for day in (1, 2, 3, 5))
CSV_PARTS, JSON_PARTS = "part-*.csv.gz", "part-*.jsonl"


def manifests(day: str, series: str = "stream=api_keys") -> str:
    return f"{series}/{day}/*/_manifest.json"


@pytest.fixture
def copy(s3_client: Any, tmp_path: Path) -> Copy:
    return download(live(s3_client)[1], tmp_path)


def test_a_sound_archive_is_clean_and_everything_in_it_was_read(copy: Copy) -> None:
    assert copy.findings() == []
    reports = list(copy.reports())
    files = [path for path in copy.folder.rglob("*") if path.is_file()]
    assert sum(report.snapshots for report in reports) == 12
    assert sum(report.objects for report in reports) == len(files) == 12 + 7
    assert sum(report.bytes for report in reports) == sum(path.stat().st_size for path in files)


def test_a_bucket_is_verified_like_its_copy(s3_client: Any, copy: Copy) -> None:
    shelf, _ = live(s3_client)
    objects = S3Objects(s3_client, shelf.location)
    reports = list(verify_archive(objects, Selection(), now=NOW, jobs=4))
    assert reports == list(copy.reports())


def test_a_bucket_that_was_tampered_with_is_found_out(s3_client: Any) -> None:
    shelf = Shelf(s3_client, "archive")
    part = shelf.store(1, JSON_FIRST, 2, series=USERS).files[0].key
    shelf.put(f"{shelf.location.prefix}/raw/notes.txt", b"x")
    shelf.put(f"{shelf.location.prefix}/raw/", b"")
    shelf.put(part, JSON_FIRST[:-1] + b" ")
    objects = S3Objects(s3_client, shelf.location)
    reports = verify_archive(objects, Selection(), now=NOW, jobs=4)
    found = [finding for report in reports for finding in report.findings]
    assert [finding.kind for finding in found] == ["foreign", "altered part"]
    assert objects.uri(found[1].name) == f"s3://archive/{part}"


def test_the_gap_is_told_and_no_failure(copy: Copy) -> None:
    (gap,) = [finding for report in copy.reports() for finding in report.findings]
    assert (gap.kind, gap.is_failure, gap.problem) == ("gap", False, "has no snapshot of 2026-01-04")
    assert gap.name == "raw/vendor=langdock/account=eu%2Facme/stream=api_keys"


def test_each_object_is_read_once_although_three_manifests_name_it(copy: Copy) -> None:
    reads: list[str] = []

    class Counting(FolderObjects):
        def chunks(self, name: str) -> Iterator[bytes | memoryview]:
            reads.append(name)
            return FolderObjects.chunks(self, name)

    objects = Counting(copy.folder)
    list(verify_archive(objects, Selection(), now=NOW, jobs=2))
    assert sorted(reads) == sorted(entry.name for entry in objects.list("raw/"))


def test_a_selection_is_all_that_is_read(copy: Copy) -> None:
    copy.find(CSV_PARTS, 0).unlink()
    assert copy.findings(vendor="keywordsai") == []
    assert copy.findings(since=date(2026, 1, 2)) == []
    assert [kind for kind, _ in copy.findings(account="eu/acme", stream="api_keys")] == ["missing part"]


def flip_last_byte(path: Path) -> None:
    body = bytearray(path.read_bytes())
    body[-1] ^= 1
    path.write_bytes(body)


TAMPERINGS: dict[str, tuple[Callable[[Copy], Any], list[tuple[str, str]]]] = {
    "a flipped byte": (
        lambda copy: flip_last_byte(copy.find(CSV_PARTS)),
        [("altered part", "has SHA-256")],
    ),
    "a flipped byte of what is not compressed": (
        lambda copy: flip_last_byte(copy.find(JSON_PARTS)),
        [("altered part", "has SHA-256")],
    ),
    "a part cut off": (
        lambda copy: copy.find(CSV_PARTS).write_bytes(copy.find(CSV_PARTS).read_bytes()[:-5]),
        [("altered part", "bytes, its manifest says")],
    ),
    "a part two manifests name, emptied": (
        lambda copy: copy.find(f"{DAY_2}/*/{CSV_PARTS}").write_bytes(b""),
        [("altered part", "has 0 bytes")],
    ),
    "a part two manifests name, deleted": (
        lambda copy: copy.find(f"{DAY_2}/*/{CSV_PARTS}").unlink(),
        [("missing part", "is named by 2 manifests, but does not exist")],
    ),
    "the first manifest of a day deleted": (
        lambda copy: copy.find(manifests(DAY_5)).unlink(),
        [("broken chain", "which has no manifest"), ("orphan", "is named by no manifest")],
    ),
    "the newest manifest of a day deleted": (
        lambda copy: copy.find(manifests(DAY_5), 2).unlink(),
        [("orphan", "is named by no manifest")],
    ),
    "a manifest that is no JSON": (
        lambda copy: copy.find(manifests(DAY_1)).write_bytes(b"{"),
        [("invalid manifest", "is not JSON")],
    ),
    "a manifest nested without end": (
        lambda copy: copy.find(manifests(DAY_1)).write_bytes(b"[" * 100_000),
        [("invalid manifest", "is not JSON")],
    ),
    "a manifest of something else": (
        lambda copy: copy.find(manifests(DAY_1)).write_bytes(b"[]"),
        [("invalid manifest", "does not meet the schema at $: [] is not of type 'object'")],
    ),
    "a manifest of a later version": (
        lambda copy: copy.edit(copy.find(manifests(DAY_1)), manifest_version=2),
        [("unreadable", "Manifest version 2 is newer")],
    ),
    "a field against the schema": (
        lambda copy: copy.edit(copy.find(manifests(DAY_1)), maturity="x" * 1000),
        [("invalid manifest", "does not meet the schema at $.maturity: 'xxx")],
    ),
    "another vendor": (
        lambda copy: copy.edit(copy.find(manifests(DAY_1)), vendor="respan"),
        [("altered manifest", "says vendor 'respan', its key 'langdock'")],
    ),
    "another account, stream, date and id": (
        lambda copy: copy.edit(
            copy.find(manifests(DAY_1)),
            account="eu",
            stream="users",
            usage_date="2026-01-02",
            snapshot_id="20260102T020000Z-00000000",
        ),
        [("altered manifest", f"says {name}") for name in ("account", "stream", "usage_date", "snapshot_id")],
    ),
    "more rows than the files have": (
        lambda copy: copy.edit(copy.find(manifests(DAY_1)), rows=3),
        [("altered manifest", "says 3 rows, its files have 2")],
    ),
    "more records than the part has": (
        lambda copy: copy.edit(
            copy.find(manifests(DAY_1, "stream=users"), 0), rows=3, files=lambda files: [files[0] | {"rows": 3}]
        ),
        [("broken chain", "which follows it, says"), ("altered part", "has 2 records, its manifest says 3")],
    ),
    "another raw hash": (
        lambda copy: copy.edit(copy.find(manifests(DAY_1)), files=lambda files: [files[0] | {"raw_sha256": "0" * 64}]),
        [("altered part", "once decompressed, its manifest says 0000")],
    ),
    "another raw size": (
        lambda copy: copy.edit(copy.find(manifests(DAY_1)), files=lambda files: [files[0] | {"raw_bytes": 1}]),
        [("altered part", "has more bytes once decompressed than the 1 its manifest says")],
    ),
    "two hashes of what is not compressed": (
        lambda copy: copy.edit(
            copy.find(manifests(DAY_1, "stream=users"), 1), files=lambda files: [files[0] | {"raw_bytes": 1}]
        ),
        [("altered manifest", "two sizes or hashes"), ("altered part", "once decompressed")],
    ),
    "another compression": (
        lambda copy: copy.edit(copy.find(manifests(DAY_1)), files=lambda files: [files[0] | {"compression": "none"}]),
        [("altered manifest", "two sizes"), ("altered manifest", "says compression 'none'")],
    ),
    "a part of another day": (
        lambda copy: copy.edit(
            copy.find(manifests(DAY_1)),
            files=lambda files: [files[0] | {"key": files[0]["key"].replace(DAY_1, DAY_2)}],
        ),
        [("altered manifest", "names a part that does not belong to its day"), ("orphan", "is named by no manifest")],
    ),
    "a part outside the archive": (
        lambda copy: copy.edit(
            copy.find(manifests(DAY_1)), files=lambda files: [files[0] | {"key": "../../etc/passwd.gz"}]
        ),
        [("altered manifest", "names a part that does not belong to its day"), ("orphan", "is named by no manifest")],
    ),
    "a revision too many": (
        lambda copy: copy.edit(copy.find(manifests(DAY_2), 3), revision=3),
        [("broken chain", "is revision 3, must be 2 after revision 2")],
    ),
    "a revision that is hidden": (
        lambda copy: copy.edit(copy.find(manifests(DAY_5), 2), revision=2),
        [("broken chain", "is revision 2, must be 3 after revision 2")],
    ),
    "a first snapshot that is no first revision": (
        lambda copy: copy.edit(copy.find(manifests(DAY_1)), revision=2),
        [("broken chain", "is revision 2, but follows none")],
    ),
    "a predecessor that is later": (
        lambda copy: copy.edit(copy.find(manifests(DAY_1)), previous="20270101T000000Z-00000000"),
        [("broken chain", "which is not older")],
    ),
    "a predecessor left out": (
        lambda copy: copy.edit(copy.find(manifests(DAY_3), 1), previous=None, unchanged=False),
        [("broken chain", "follows none, though")],
    ),
    "unchanged, but not": (
        lambda copy: copy.edit(copy.find(manifests(DAY_5), 2), unchanged=True),
        [("broken chain", "is unchanged, but names other files")],
    ),
    "an empty day with rows": (
        lambda copy: copy.edit(copy.find(manifests(DAY_3), 0), rows=1),
        [("invalid manifest", "does not meet the schema at $.rows")],
    ),
    "an object beside the snapshots": (
        lambda copy: copy.find(DAY_1).joinpath("notes.txt").write_bytes(b""),
        [("foreign", "is not of the archive")],
    ),
    "an object in a snapshot": (
        lambda copy: copy.find(CSV_PARTS).with_name("_SUCCESS").write_bytes(b""),
        [("foreign", "is not of the archive")],
    ),
    "a day that is none": (
        lambda copy: copy.find(CSV_PARTS).parents[1].rename(copy.find(DAY_1).with_name("usage_date=2026-02-30")),
        [("foreign", "is not of the archive")] * 2,
    ),
    "an account written another way": (
        lambda copy: copy.find("account=eu%2Facme").rename(copy.find("vendor=langdock") / "account=eu%2facme"),
        [("foreign", "is not of the archive")] * 15,
    ),
}


@pytest.mark.parametrize(("tamper", "expected"), TAMPERINGS.values(), ids=TAMPERINGS.keys())
def test_tampering_is_found(copy: Copy, tamper: Callable[[Copy], Any], expected: list[tuple[str, str]]) -> None:
    tamper(copy)
    found = copy.findings()
    assert [kind for kind, _ in found] == [kind for kind, _ in expected]
    for (_, problem), (_, fragment) in zip(found, expected, strict=True):
        assert fragment in problem
        assert len(problem) < 300


def test_every_finding_says_what_to_do(copy: Copy) -> None:
    copy.find(CSV_PARTS).unlink()
    flip_last_byte(copy.find(JSON_PARTS))
    copy.folder.joinpath("raw/notes.txt").write_bytes(b"")
    copy.edit(copy.find(manifests(DAY_3)), revision=9)
    steps = [finding.step for report in copy.reports() for finding in report.findings]
    assert len(steps) == 7
    assert all(step.endswith(".") for step in steps)


def test_a_gzip_file_that_was_archived_damaged_is_told_apart_from_one_damaged_since(copy: Copy) -> None:
    path = copy.find(CSV_PARTS)
    for body in (gzip.compress(FIRST)[:-9], gzip.compress(FIRST) + b"more", b"no gzip"):
        path.write_bytes(body)
        entry = {"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}
        copy.edit(copy.find(manifests(DAY_1)), files=lambda files, entry=entry: [files[0] | entry])
        assert copy.findings() == [("altered part", "is a damaged gzip file, and was one when it was archived")]


def test_a_gzip_file_damaged_at_its_begin_is_hashed_to_its_end(copy: Copy) -> None:
    path = copy.find(CSV_PARTS)
    body = bytes(10) + gzip.compress(random.Random(1).randbytes(3 << 20))
    path.write_bytes(body)
    digest = digest_part(FolderObjects(path.parent), path.name)
    assert (digest.bytes, digest.sha256) == (len(body), hashlib.sha256(body).hexdigest())
    assert (digest.raw_bytes, digest.raw_sha256) == (None, None)


@pytest.mark.parametrize("size", [0, 1, CHUNK_SIZE - 1, CHUNK_SIZE, CHUNK_SIZE + 1, 5 * CHUNK_SIZE])
@pytest.mark.parametrize("step", [1000, CHUNK_SIZE])
def test_decompression_gives_every_byte_in_bounded_chunks(size: int, step: int) -> None:
    stored = gzip.compress(bytes(size))
    chunks = list(decompress(stored[at : at + step] for at in range(0, len(stored), step)))
    assert b"".join(chunks) == bytes(size)
    assert max(map(len, chunks), default=0) <= CHUNK_SIZE


def test_a_part_without_a_manifest_is_in_flight_for_a_day(copy: Copy) -> None:
    part = copy.find(CSV_PARTS, -1)
    begun = datetime(2026, 2, 28, 12, tzinfo=UTC)
    late = part.parents[1] / f"snapshot={begun:%Y%m%dT%H%M%SZ}-00000000" / part.name
    late.parent.mkdir()
    late.write_bytes(part.read_bytes())
    assert copy.findings(now=begun + timedelta(hours=23, minutes=59)) == [
        ("uncommitted", "is named by no manifest yet")
    ]
    assert copy.findings(now=begun + timedelta(hours=24)) == [("orphan", "is named by no manifest")]
    reports = copy.reports(now=begun)
    assert not any(finding.is_failure for report in reports for finding in report.findings)


def test_a_part_made_anew_because_it_was_gone_is_in_order_once_the_old_one_is_back(
    s3_client: Any, tmp_path: Path
) -> None:
    shelf = Shelf(s3_client, "archive")
    key = shelf.store(1, FIRST, 2).files[0].key
    body = shelf.read(key)
    s3_client.delete_object(Bucket=shelf.location.bucket, Key=key)
    second = shelf.store(1, FIRST, 2)
    assert (second.revision, second.unchanged) == (1, False)
    assert [kind for kind, _ in download(shelf.read_all(), tmp_path).findings()] == ["missing part"]
    shelf.put(key, body)
    assert download(shelf.read_all(), tmp_path).findings() == []


def test_two_runs_at_once_may_both_follow_the_same_snapshot(copy: Copy) -> None:
    first, second = copy.find(manifests(DAY_3), 0), copy.find(manifests(DAY_3), 1)
    at = json.loads(first.read_bytes())["snapshot_at"]
    soon = (datetime.fromisoformat(at) + timedelta(minutes=1)).isoformat()
    copy.edit(second, previous=None, unchanged=False, snapshot_at=soon)
    assert copy.findings() == []
    copy.edit(second, snapshot_at="no time")
    assert [kind for kind, _ in copy.findings()] == ["odd time", "broken chain"]


def test_a_manifest_too_large_to_be_one_is_not_read(copy: Copy) -> None:
    path = copy.find(manifests(DAY_1))
    with path.open("r+b") as file:
        file.truncate(17 << 20)
    assert copy.findings() == [("unreadable", f"Not a manifest ({17 << 20} bytes)")]


def test_an_object_that_vanishes_while_the_archive_is_read_is_a_finding(copy: Copy) -> None:
    objects = copy.objects
    catalog = load_catalog(objects, Selection())
    copy.find(CSV_PARTS).unlink()
    copy.find(manifests(DAY_5), 1).unlink()
    reports = [verify_day(objects, day, now=NOW) for day in catalog.days]
    kinds = [(finding.kind, finding.problem) for report in reports for finding in report.findings]
    assert kinds[:2] == [("unreadable", "Gone since it was listed")] * 2


def test_json_lines_are_counted_and_memory_does_not_grow_with_a_part(tmp_path: Path) -> None:
    import tracemalloc

    line = b'{"customer_identifier":"a"}\n'
    count = 40 * (1 << 20) // len(line)
    plain, packed, open_end = (tmp_path / name for name in ("part-0.jsonl", "part-0.jsonl.gz", "part-1.jsonl"))
    plain.write_bytes(line * count)
    packed.write_bytes(gzip.compress(line * count, 1))
    open_end.write_bytes(line + line[:-1])
    objects = FolderObjects(tmp_path)
    tracemalloc.start()
    digests = [digest_part(objects, path.name) for path in (plain, packed)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20
    assert [digest.lines for digest in digests] == [count, count]
    assert digests[0].raw_sha256 == digests[1].raw_sha256 == digests[0].sha256
    assert digest_part(objects, open_end.name).lines == 2
