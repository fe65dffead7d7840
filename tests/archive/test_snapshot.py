"""Snapshots on a real S3 server: all or nothing, never overwritten, each answer traceable to its bytes."""

from __future__ import annotations

import gzip
import hashlib
import json
import random
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from airflow_usage_provider.archive.keys import ArchiveLocation, Series
from airflow_usage_provider.exceptions import (
    ArchiveCorruptError,
    ConfigurationError,
    IncompleteSnapshotError,
    SnapshotConflictError,
)
from airflow_usage_provider.models import FileFormat, UsageWindow

if TYPE_CHECKING:
    from airflow_usage_provider.archive.manifest import Manifest

DAY = date(2026, 11, 20)
SERIES = Series("langdock", "eu/acme", "api_keys")
WINDOW = UsageWindow(DAY, "Europe/Berlin")
CSV = b"a,b\n1,2\n"


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def latest(place: Any) -> Manifest | None:
    manifest: Manifest | None = place.archive.read_latest(SERIES, WINDOW)
    return manifest


def test_a_snapshot_is_a_part_and_a_manifest_beside_it(place: Any) -> None:
    manifest = place.store(CSV, columns=("a", "b"), vendor_rows=1, pages=3, duplicates=2)
    folder = (
        f"{place.location.prefix}/raw/vendor=langdock/account=eu%2Facme/stream=api_keys/usage_date=2026-11-20/"
        f"snapshot={manifest.snapshot_id}/"
    )
    assert place.list_keys() == [f"{folder}_manifest.json", f"{folder}part-00000.csv.gz"]
    assert place.archive.manifest_uri(manifest) == f"s3://archive/{folder}_manifest.json"
    assert latest(place) == manifest
    assert manifest.snapshot_id.startswith("20261121T020003Z-")
    assert manifest.snapshot_at == "2026-11-21T02:00:03+00:00"
    assert (manifest.revision, manifest.previous, manifest.unchanged, manifest.empty) == (1, None, False, False)
    assert (manifest.rows, manifest.vendor_rows, manifest.pages, manifest.duplicates) == (1, 1, 3, 2)
    assert (manifest.account, manifest.usage_date, manifest.timezone) == ("eu/acme", "2026-11-20", "Europe/Berlin")
    assert manifest.window_requested == WINDOW.as_dict()


@pytest.mark.parametrize(("compression", "suffix"), [("gzip", ".csv.gz"), ("none", ".csv")])
def test_the_part_is_the_answer_byte_for_byte_and_hashed_both_ways(place: Any, compression: str, suffix: str) -> None:
    manifest = place.store(CSV, archive=place.open(compression=compression))
    (entry,) = manifest.files
    stored = place.read(entry.key)
    assert entry.key.endswith(f"part-00000{suffix}")
    assert (gzip.decompress(stored) if compression == "gzip" else stored) == CSV
    assert (entry.bytes, entry.sha256) == (len(stored), sha256(stored))
    assert (entry.raw_bytes, entry.raw_sha256) == (len(CSV), sha256(CSV))
    assert (entry.rows, entry.content_type, entry.compression) == (1, "text/csv", compression)
    head = place.client.head_object(Bucket=place.location.bucket, Key=entry.key)
    assert head["ContentType"] == ("application/gzip" if compression == "gzip" else "text/csv")
    assert "ContentEncoding" not in head


def test_json_lines_are_named_so(place: Any) -> None:
    with place.begin(place.open(compression="none"), FileFormat.JSON_LINES) as snapshot:
        snapshot.write(memoryview(b'{"a":1}\n'))
        entry = place.commit(snapshot).files[0]
    assert entry.key.endswith("/part-00000.jsonl")
    assert entry.content_type == "application/x-ndjson"


def test_the_same_bytes_give_the_same_gzip_whenever_and_in_whatever_pieces(place: Any) -> None:
    body = random.Random(1).randbytes(50_000) + b"0" * 50_000
    first = place.store(body).files[0]
    place.client.delete_object(Bucket=place.location.bucket, Key=first.key)
    with place.begin() as snapshot:
        for start in range(0, len(body), 777):
            snapshot.write(body[start : start + 777])
        second = place.commit(snapshot).files[0]
    assert first.key != second.key
    assert first.sha256 == second.sha256
    assert place.read(second.key)[4:8] == b"\0\0\0\0"


def test_a_body_of_many_parts_arrives_whole(place: Any) -> None:
    block = random.Random(7).randbytes(1 << 20)
    hashed = hashlib.sha256()
    with place.begin(place.open(compression="none")) as snapshot:
        for number in range(30):
            piece = number.to_bytes(2, "big") + block
            hashed.update(piece)
            snapshot.write(piece)
        assert snapshot.raw_bytes == 30 * len(piece)
        assert place.list_keys() == []
        assert len(place.list_uploads()) == 1
        (entry,) = place.commit(snapshot).files
    stored = place.read(entry.key)
    assert entry.bytes == entry.raw_bytes == len(stored) == 30 * len(piece)
    assert entry.sha256 == entry.raw_sha256 == sha256(stored) == hashed.hexdigest()
    head = place.client.head_object(Bucket=place.location.bucket, Key=entry.key)
    assert head["ETag"].strip('"').endswith("-4")
    assert place.list_uploads() == []


def test_the_same_answer_again_points_at_the_earlier_part(place: Any) -> None:
    first, second, third = (place.store(CSV) for _ in range(3))
    assert second.unchanged
    assert third.unchanged
    assert first.files == second.files == third.files
    assert [m.revision for m in (first, second, third)] == [1, 1, 1]
    assert (second.previous, third.previous) == (first.snapshot_id, second.snapshot_id)
    assert latest(place) == third
    assert len([key for key in place.list_keys() if "part-" in key]) == 1


def test_the_same_large_answer_again_leaves_no_upload_behind(place: Any) -> None:
    body = random.Random(3).randbytes(9 << 20)
    plain = place.open(compression="none")
    first, second = (place.store(body, archive=plain) for _ in range(2))
    assert second.unchanged
    assert second.files == first.files
    assert place.list_uploads() == []
    assert len(place.list_keys()) == 3


def test_another_answer_is_the_next_revision_and_leaves_the_first_alone(place: Any) -> None:
    first = place.store(CSV, columns=("a", "b"))
    before = {key: place.read(key) for key in place.list_keys()}
    second = place.store(b"a,c\n1,3\n", columns=("a", "c"))
    third = place.store(CSV, columns=("a", "b"))
    assert [m.revision for m in (first, second, third)] == [1, 2, 3]
    assert not second.unchanged
    assert not third.unchanged
    assert (second.columns_added, second.columns_removed) == (("c",), ("b",))
    assert first.columns_added == first.columns_removed == ()
    assert third.files[0].key != first.files[0].key
    assert {key: place.read(key) for key in before} == before


def test_a_day_without_records_is_a_manifest_without_files(place: Any) -> None:
    first, second = place.store(b"", 0), place.store(b"a,b\n", 0, columns=("a", "b"))
    assert first.empty
    assert first.files == ()
    assert (first.revision, first.unchanged) == (1, False)
    assert second.empty
    assert (second.revision, second.unchanged, second.previous) == (1, True, first.snapshot_id)
    assert all(key.endswith("_manifest.json") for key in place.list_keys())


def test_a_day_revised_to_nothing_and_back_supersedes_each_time(place: Any) -> None:
    first, gone, back = place.store(CSV, columns=("a", "b")), place.store(b"", 0), place.store(CSV, columns=("a", "b"))
    assert [m.revision for m in (first, gone, back)] == [1, 2, 3]
    assert [m.empty for m in (first, gone, back)] == [False, True, False]
    assert [m.unchanged for m in (first, gone, back)] == [False, False, False]
    assert gone.columns_removed == back.columns_added == ()
    assert place.read(back.files[0].key) == place.read(first.files[0].key)
    assert latest(place) == back


def test_an_earlier_part_that_vanished_is_written_again(place: Any) -> None:
    first = place.store(CSV)
    place.client.delete_object(Bucket=place.location.bucket, Key=first.files[0].key)
    second = place.store(CSV)
    assert (second.unchanged, second.revision) == (False, 1)
    assert gzip.decompress(place.read(second.files[0].key)) == CSV


def test_an_earlier_part_of_another_size_is_not_trusted(place: Any) -> None:
    first = place.store(CSV)
    place.client.put_object(Bucket=place.location.bucket, Key=first.files[0].key, Body=b"short")
    second = place.store(CSV)
    assert not second.unchanged
    assert gzip.decompress(place.read(second.files[0].key)) == CSV


def test_a_snapshot_that_fails_leaves_nothing(place: Any) -> None:
    def fail() -> None:
        with place.begin() as snapshot:
            snapshot.write(CSV)
            raise IncompleteSnapshotError("cut")

    with pytest.raises(IncompleteSnapshotError, match="cut"):
        fail()
    assert place.list_keys() == []
    assert latest(place) is None


def test_a_large_snapshot_that_fails_aborts_its_upload(place: Any) -> None:
    def fail() -> None:
        with place.begin(place.open(compression="none")) as snapshot:
            snapshot.write(bytes(20 << 20))
            assert len(place.list_uploads()) == 1
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert place.list_uploads() == []
    assert place.list_keys() == []


def test_records_without_a_byte_are_not_committed(place: Any) -> None:
    with pytest.raises(IncompleteSnapshotError, match="3 records without a byte"):
        place.store(b"", 3)
    assert place.list_keys() == []


def test_the_newest_snapshot_stays_newest_though_the_clock_steps_back(place: Any) -> None:
    first = place.store(CSV)
    place.now = datetime(2026, 11, 21, 1, 0, tzinfo=UTC)
    second = place.store(b"a,b\n1,3\n")
    assert second.snapshot_id > first.snapshot_id
    assert second.previous == first.snapshot_id
    assert latest(place) == second


def test_two_snapshots_of_one_second_are_told_apart(place: Any) -> None:
    first = place.store(CSV)
    place.now -= timedelta(minutes=1)
    second = place.store(b"a,b\n1,3\n")
    assert second.snapshot_id > first.snapshot_id
    assert latest(place) == second


@pytest.mark.parametrize("theirs", [CSV, b"a,b\n9,9\n"])
def test_who_commits_after_another_run_has_to_read_the_day_again(place: Any, theirs: bytes) -> None:
    def commit_late() -> None:
        with place.begin() as slow:
            slow.write(CSV)
            place.now += timedelta(minutes=1)
            others.append(place.store(theirs))
            place.commit(slow)

    others: list[Manifest] = []
    with pytest.raises(SnapshotConflictError, match=r"2026-11-20 in the meantime.*Read the day again"):
        commit_late()
    assert latest(place) == others[0]
    assert len(place.list_keys()) == 2
    again = place.store(CSV)
    assert (again.previous, again.unchanged) == (others[0].snapshot_id, theirs == CSV)


def test_uploads_that_a_killed_run_left_hours_ago_go_with_the_next_commit_of_the_series(place: Any) -> None:
    killed = place.begin(place.open(compression="none"))
    killed.write(bytes(9 << 20))
    place.now += timedelta(hours=7)
    with place.archive.open_snapshot(SERIES, UsageWindow(date(2026, 11, 21)), FileFormat.CSV) as snapshot:
        snapshot.write(CSV)
        place.commit(snapshot)
    assert place.list_uploads() == []
    killed.__exit__(None, None, None)


def test_an_upload_that_is_live_is_let_be(place: Any) -> None:
    body = random.Random(11).randbytes(9 << 20)
    with place.begin(place.open(compression="none")) as slow:
        slow.write(body)
        place.now += timedelta(hours=5)
        place.store(CSV)
        assert len(place.list_uploads()) == 1
        with pytest.raises(SnapshotConflictError):
            place.commit(slow)
    assert place.list_uploads() == []
    place.client.create_multipart_upload(Bucket=place.location.bucket, Key=f"{place.location.prefix}/raw/theirs")
    place.now += timedelta(days=1)
    place.store(CSV, archive=place.open())
    assert len(place.list_uploads()) == 1  # of somebody else's making


def test_a_day_is_not_confused_with_another_day_stream_or_account(place: Any) -> None:
    place.store(CSV)
    other = UsageWindow(date(2026, 11, 2), "Europe/Berlin")
    assert place.archive.read_latest(SERIES, other) is None
    for series in (Series("langdock", "eu/acme", "api_keys_by_model"), Series("langdock", "eu", "api_keys")):
        assert place.archive.read_latest(series, WINDOW) is None


def test_strangers_beside_a_snapshot_are_passed_over(place: Any) -> None:
    manifest = place.store(CSV)
    prefix = SERIES.day_prefix(place.location, DAY)
    for name in ("snapshot=zzz/broken/_manifest.json", "snapshot=20991231T000000Z-00000000/part-00000.csv.gz", "note"):
        place.client.put_object(Bucket=place.location.bucket, Key=prefix + name, Body=b"")
    assert latest(place) == manifest


def test_more_snapshots_than_one_listing_holds_are_all_looked_at(
    place: Any, client_as: Any, canned_server: Any, canned: Any
) -> None:
    manifest = place.store(CSV)

    def list_keys(snapshot_id: str, more: str) -> Any:
        key = place.archive.manifest_key(SERIES, DAY, snapshot_id)
        return canned(body=f"<ListBucketResult><Contents><Key>{key}</Key></Contents>{more}</ListBucketResult>".encode())

    more = "<IsTruncated>true</IsTruncated><NextContinuationToken>t2</NextContinuationToken>"
    newest = place.archive.manifest_key(SERIES, DAY, manifest.snapshot_id)
    server = canned_server(
        [
            list_keys("20260101T000000Z-00000000", more),
            list_keys(manifest.snapshot_id, ""),
            canned(body=place.read(newest)),
        ]
    )
    archive = place.open(client=client_as(endpoint_url=server.url))
    assert archive.read_latest(SERIES, WINDOW) == manifest
    assert "continuation-token=t2" in server.requests[1][0]
    assert server.requests[2][0].endswith(f"snapshot={manifest.snapshot_id}/_manifest.json".replace("=", "%3D"))


def test_a_newest_manifest_that_is_broken_is_an_error_and_not_passed_over(place: Any) -> None:
    key = place.archive.manifest_key(SERIES, DAY, "20261121T020003Z-7f3a91c2")
    place.client.put_object(Bucket=place.location.bucket, Key=key, Body=b"{")
    with pytest.raises(ArchiveCorruptError, match=r"Not a manifest"):
        place.store(CSV)
    place.client.delete_object(Bucket=place.location.bucket, Key=key)


def test_a_key_that_is_taken_is_never_overwritten(place: Any) -> None:
    place.client.put_object(Bucket=place.location.bucket, Key=f"{place.location.prefix}/x", Body=b"theirs")
    with pytest.raises(ArchiveCorruptError, match="exists with 6 bytes in place of 4"):
        place.archive.bucket.create(f"{place.location.prefix}/x", b"mine", content_type="text/plain")
    assert place.read(f"{place.location.prefix}/x") == b"theirs"


def test_writing_the_very_same_object_again_is_taken_for_an_answer_that_got_lost(place: Any) -> None:
    for _ in range(2):
        place.archive.bucket.create(f"{place.location.prefix}/x", b"mine", content_type="text/plain")
    assert place.read(f"{place.location.prefix}/x") == b"mine"


def test_extra_arguments_go_along_with_every_object(place: Any) -> None:
    archive = place.open(extra_args={"StorageClass": "STANDARD_IA", "Tagging": "team=data&cost=7"}, compression="none")
    place.store(CSV, archive=archive)
    place.store(random.Random(5).randbytes(9 << 20), archive=archive)
    assert len(place.list_keys()) == 4
    for key in place.list_keys():
        head = place.client.head_object(Bucket=place.location.bucket, Key=key)
        tags = place.client.get_object_tagging(Bucket=place.location.bucket, Key=key)["TagSet"]
        assert head["StorageClass"] == "STANDARD_IA"
        assert {tag["Key"]: tag["Value"] for tag in tags} == {"team": "data", "cost": "7"}


@pytest.mark.parametrize("name", ["Bucket", "Key", "Body", "IfNoneMatch", "ContentType", "ContentEncoding", "Colour"])
def test_extra_arguments_that_the_archive_decides_itself_are_refused(place: Any, name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"s3_extra_args has {name}"):
        place.open(extra_args={name: "x", "StorageClass": "STANDARD"})


def test_an_unknown_compression_is_refused(place: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"'zstd'.*gzip or none"):
        place.open(compression="zstd")


def test_an_archive_without_a_prefix_begins_at_the_bucket(place: Any) -> None:
    archive = place.open(location=ArchiveLocation(place.location.bucket, ""))
    series = Series("langdock", place.location.prefix, "api_keys")
    with archive.open_snapshot(series, WINDOW, FileFormat.CSV) as snapshot:
        snapshot.write(CSV)
        manifest = place.commit(snapshot)
    assert manifest.files[0].key.startswith(f"raw/vendor=langdock/account={place.location.prefix}/")
    assert archive.read_latest(series, WINDOW) == manifest


def test_a_manifest_tells_who_wrote_it_and_how_the_vendor_was_asked(place: Any) -> None:
    from airflow_usage_provider import __version__
    from airflow_usage_provider.models import StreamFacts

    airflow = {"dag_id": "daily", "run_id": "r", "task_id": "t", "map_index": -1, "try_number": 2}
    request = {"method": "GET", "path": "/api/users/", "parameters": {"page": 1}}
    with place.begin() as snapshot:
        snapshot.write(CSV)
        facts = StreamFacts(rows=1, envelope={"monthly_cost": "5.2e-05"}, window_returned={"from": "x"})
        manifest = snapshot.commit(facts, maturity="final", request=request, airflow=airflow)
    document = json.loads(place.read(place.archive.manifest_key(SERIES, DAY, manifest.snapshot_id)))
    assert document["airflow"] == airflow
    assert document["request"] == request
    assert document["maturity"] == "final"
    assert document["envelope"] == {"monthly_cost": "5.2e-05"}
    assert document["window_returned"] == {"from": "x"}
    assert document["tool"] == {"name": "airflow-usage-provider", "version": __version__}
