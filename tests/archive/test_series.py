"""One series, one question, one chain: each manifest holds what it follows, and a stranger's object ends no day."""

from __future__ import annotations

import hashlib
import json
from datetime import date, timedelta
from typing import Any

import pytest

from airflow_usage_provider.archive.keys import Series
from airflow_usage_provider.archive.manifest import MAX_MANIFEST_BYTES, Manifest
from airflow_usage_provider.exceptions import (
    ArchiveCorruptError,
    ConfigurationError,
    InvalidBodyError,
    SnapshotConflictError,
)
from airflow_usage_provider.models import FileFormat, StreamFacts, UsageWindow

SERIES = Series("langdock", "eu/acme", "api_keys")
DAY = date(2026, 11, 20)
WINDOW = UsageWindow(DAY, "Europe/Berlin")
CSV = b"a,b\n1,2\n"
QUESTION = {"method": "POST", "path": "/export/models", "timezone": "UTC", "parameters": {"utc_offset": 1.0}}
OTHER = {**QUESTION, "timezone": "Europe/Berlin"}
REQUEST = {"method": "POST", "path": "/export/models"}


def archive_answer(
    place: Any, body: bytes = CSV, *, late: Any = None, window: Any = WINDOW, **settings: Any
) -> Manifest:
    place.now += timedelta(minutes=1)
    with place.archive.open_snapshot(SERIES, window, FileFormat.CSV, **settings) as snapshot:
        snapshot.write(body)
        manifest: Manifest = snapshot.commit(
            StreamFacts(rows=1, columns=("a",)), maturity="final", request=REQUEST, question=late
        )
    return manifest


def test_each_manifest_holds_the_hash_of_the_one_before_as_it_is_stored(place: Any) -> None:
    first, second, third = place.store(CSV), place.store(CSV), place.store(b"a,b\n1,3\n")
    assert (first.previous, first.previous_sha256) == (None, None)
    for manifest, previous in ((second, first), (third, second)):
        stored = place.read(place.archive.manifest_key(SERIES, DAY, previous.snapshot_id))
        assert manifest.previous == previous.snapshot_id
        assert manifest.previous_sha256 == hashlib.sha256(stored).hexdigest()


@pytest.mark.parametrize("said", [{"question": OTHER}, {"late": OTHER}], ids=["when opened", "when committed"])
def test_an_answer_to_another_question_is_refused_with_both_spelled_out(place: Any, said: Any) -> None:
    archive_answer(place, question=QUESTION)
    before = place.list_keys()
    with pytest.raises(
        ConfigurationError,
        match=r'answers another question: timezone was "UTC" and is "Europe/Berlin".*new_question="accept"',
    ):
        archive_answer(place, **said)
    assert place.list_keys() == before
    same = archive_answer(place, question={**QUESTION, "parameters": {"utc_offset": 1}, "environment": None})
    assert same.unchanged


def test_a_question_that_is_accepted_goes_on_with_the_revision_and_counts_from_then_on(place: Any) -> None:
    archive_answer(place, question=QUESTION)
    with place.archive.open_snapshot(SERIES, WINDOW, FileFormat.CSV, question=OTHER, new_question="accept") as snapshot:
        assert "Europe/Berlin" in snapshot.asks_anew
    changed = archive_answer(place, b"a,b\n9,9\n", question=OTHER, new_question="accept")
    assert (changed.revision, changed.question) == (2, {**OTHER, "parameters": {"utc_offset": "1"}})
    with pytest.raises(ConfigurationError, match=r'timezone was "Europe/Berlin" and is "UTC"'):
        archive_answer(place, question=QUESTION)


def test_who_says_nothing_of_the_question_is_not_compared(place: Any) -> None:
    assert archive_answer(place).question is None
    assert archive_answer(place, question=QUESTION).unchanged
    assert archive_answer(place).question is None
    assert archive_answer(place, question=OTHER).question is not None


def test_another_day_may_have_another_question(place: Any) -> None:
    archive_answer(place, question=QUESTION)
    assert archive_answer(place, question=OTHER, window=UsageWindow(date(2026, 11, 21))).revision == 1


def copy_folder(place: Any, source: Manifest, folder: str) -> None:
    """What somebody does with ``aws s3 cp --recursive``."""
    prefix = place.archive.manifest_key(SERIES, DAY, source.snapshot_id).rpartition("/")[0]
    for key in place.list_keys():
        if key.startswith(prefix):
            target = f"{place.location.prefix}/raw/{folder}{key.removeprefix(prefix)}"
            place.client.put_object(Bucket=place.location.bucket, Key=target, Body=place.read(key))


def test_a_copied_snapshot_is_what_its_key_says_and_the_next_run_follows_it(place: Any) -> None:
    first = place.store(CSV)
    copy = "20261121T090000Z-00000001"
    day = "vendor=langdock/account=eu%2Facme/stream=api_keys/usage_date=2026-11-20"
    copy_folder(place, first, f"{day}/snapshot={copy}")
    latest = place.archive.read_latest(SERIES, WINDOW)
    assert latest.snapshot_id == copy
    assert place.archive.manifest_uri(latest).endswith(f"snapshot={copy}/_manifest.json")
    following = place.store(CSV)
    assert (following.previous, following.unchanged, following.files) == (copy, True, first.files)
    assert place.archive.read_latest(SERIES, WINDOW) == following


def test_a_snapshot_copied_from_another_day_lends_neither_its_part_nor_its_run(place: Any) -> None:
    other = UsageWindow(date(2026, 11, 19))
    with place.archive.open_snapshot(SERIES, WINDOW, FileFormat.CSV) as snapshot:
        snapshot.write(CSV)
        first = snapshot.commit(
            StreamFacts(rows=1), maturity="final", request=REQUEST, airflow={"dag_id": "d", "run_id": "r"}
        )
    target = "vendor=langdock/account=eu%2Facme/stream=api_keys/usage_date=2026-11-19"
    copy_folder(place, first, f"{target}/snapshot={first.snapshot_id}")
    latest = place.archive.read_latest(SERIES, other)
    assert (latest.usage_date, latest.airflow) == ("2026-11-19", {})
    again = archive_answer(place, window=other)
    assert not again.unchanged
    assert again.files[0].key.startswith(f"{place.location.prefix}/raw/{target}/snapshot={again.snapshot_id}/")
    assert again.previous == first.snapshot_id


@pytest.mark.parametrize(
    "name",
    ["20261399T000000Z-0000abcd", "00000101T000000Z-0000abcd", "20261121T250000Z-0000abcd", "latest"],
)
def test_a_manifest_of_an_odd_id_is_foreign(place: Any, name: str) -> None:
    first = place.store(CSV)
    key = place.archive.manifest_key(SERIES, DAY, name)
    place.client.put_object(Bucket=place.location.bucket, Key=key, Body=b"{}")
    assert place.store(CSV).previous == first.snapshot_id
    place.client.delete_object(Bucket=place.location.bucket, Key=key)


def test_a_newest_id_at_the_end_of_the_calendar_is_said_to_be_in_the_way(place: Any) -> None:
    first = place.store(CSV)
    day = "vendor=langdock/account=eu%2Facme/stream=api_keys/usage_date=2026-11-20"
    copy_folder(place, first, f"{day}/snapshot=99991231T235959Z-00000000")
    with pytest.raises(ArchiveCorruptError, match=r"99991231T235959Z-00000000.*nothing sorts behind it"):
        place.store(CSV)


def test_a_manifest_larger_than_readers_take_is_refused_and_leaves_nothing(place: Any) -> None:
    with pytest.raises(InvalidBodyError, match=r"manifest of 2026-11-20 would have \d{8} bytes.*vendor langdock"):
        place.store(CSV, envelope={"more": "x" * MAX_MANIFEST_BYTES})
    assert place.list_keys() == []


def test_a_newest_manifest_that_is_far_too_large_is_not_read_whole(place: Any) -> None:
    key = place.archive.manifest_key(SERIES, DAY, "20261121T020003Z-7f3a91c2")
    place.client.put_object(Bucket=place.location.bucket, Key=key, Body=bytes(MAX_MANIFEST_BYTES + 2))
    with pytest.raises(ArchiveCorruptError, match="too large for a manifest"):
        place.store(CSV)
    place.client.delete_object(Bucket=place.location.bucket, Key=key)


def test_a_header_of_thousands_of_new_names_is_compared_in_one_pass(place: Any) -> None:
    class Name(str):
        compared = 0

        def __eq__(self, other: object) -> bool:
            Name.compared += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    place.store(CSV, columns=tuple(f"old{number}" for number in range(16_000)))
    manifest = place.store(b"a\n1\n", columns=tuple(Name(f"new{number}") for number in range(16_000)))
    assert len(manifest.columns_added) == len(manifest.columns_removed) == 16_000
    assert Name.compared < 100_000


def test_decimals_of_a_manifest_are_strings(place: Any) -> None:
    with place.begin() as snapshot:
        snapshot.write(CSV)
        facts = StreamFacts(rows=1, envelope={"costs": [0.1, {"more": 5.2e-05}], "count": 3, "more": None})
        request = {**REQUEST, "parameters": {"timezone_offset": -5.5}}
        manifest = snapshot.commit(facts, maturity="final", request=request)
    document = json.loads(place.read(place.archive.manifest_key(SERIES, DAY, manifest.snapshot_id)))
    assert document["envelope"] == {"costs": ["0.1", {"more": "5.2e-05"}], "count": 3, "more": None}
    assert document["request"]["parameters"] == {"timezone_offset": "-5.5"}


class Calls:
    """Which operations left for S3."""

    def __init__(self, client: Any) -> None:
        self.names: list[str] = []
        client.meta.events.register("before-send.s3", self)

    def __call__(self, request: Any, event_name: str, **_: Any) -> None:
        self.names.append(event_name.rpartition(".")[2])

    def take(self) -> list[str]:
        taken, self.names[:] = list(self.names), []
        return taken


DAYS = [UsageWindow(DAY - timedelta(days=back)) for back in range(8)]


def run(place: Any, archive: Any, body: bytes) -> list[Manifest]:
    """Archive eight days as one task does."""
    manifests = []
    archive.survey(SERIES, DAYS)
    for window in DAYS:
        with archive.open_snapshot(SERIES, window, FileFormat.CSV) as snapshot:
            snapshot.write(body)
            manifests.append(place.commit(snapshot))
    place.now += timedelta(minutes=1)
    return manifests


def test_a_day_costs_three_requests_beside_two_a_run_and_one_more_where_it_changed(place: Any, client_as: Any) -> None:
    client = client_as()
    calls = Calls(client)
    run(place, place.open(client=client), CSV)
    once = ["ListObjectsV2", "ListMultipartUploads"]
    new_day = ["ListObjectsV2", "PutObject", "PutObject"]
    assert sorted(calls.take()) == sorted(once + 8 * new_day)
    assert all(manifest.unchanged for manifest in run(place, place.open(client=client), CSV))
    assert sorted(calls.take()) == sorted(once + 8 * ["GetObject", "ListObjectsV2", "PutObject"])
    assert all(manifest.revision == 2 for manifest in run(place, place.open(client=client), b"a,b\n1,3\n"))
    assert sorted(calls.take()) == sorted(once + 8 * ["GetObject", *new_day])


def test_a_run_of_one_day_costs_five(place: Any, client_as: Any) -> None:
    client = client_as()
    place.store(CSV)
    calls = Calls(client)
    assert place.store(CSV, archive=place.open(client=client)).unchanged
    assert calls.take() == ["ListObjectsV2", "GetObject", "ListObjectsV2", "PutObject", "ListMultipartUploads"]


def test_days_around_those_of_a_run_are_left_out_of_its_survey(place: Any, client_as: Any) -> None:
    for day in (8, 9, 10, 11, 20):
        archive_answer(place, window=UsageWindow(date(2026, 11, day)))
    archive = place.open()
    windows = [UsageWindow(date(2026, 11, day)) for day in (11, 9, 10)]
    archive.survey(SERIES, windows)
    for window in windows:
        with archive.open_snapshot(SERIES, window, FileFormat.CSV) as snapshot:
            assert snapshot.previous.usage_date == window.usage_date.isoformat()


def test_who_commits_between_the_survey_and_the_commit_is_not_overlooked(place: Any) -> None:
    archive = place.open()
    archive.survey(SERIES, DAYS)
    theirs = archive_answer(place, b"a,b\n7,7\n", window=DAYS[1])
    with archive.open_snapshot(SERIES, DAYS[1], FileFormat.CSV) as snapshot:
        snapshot.write(CSV)
        with pytest.raises(SnapshotConflictError):
            place.commit(snapshot)
    with archive.open_snapshot(SERIES, DAYS[1], FileFormat.CSV) as snapshot:
        snapshot.write(CSV)
        assert place.commit(snapshot).previous == theirs.snapshot_id


def test_who_commits_while_a_part_takes_long_to_arrive_is_not_overlooked(place: Any, client_as: Any) -> None:
    def be_slow(event_name: str, **_: Any) -> None:
        client.meta.events.unregister("before-send.s3.PutObject", be_slow)
        place.store(b"a,b\n7,7\n")
        place.now += timedelta(seconds=3)

    client = client_as()
    with place.begin(place.open(client=client)) as snapshot:
        snapshot.write(CSV)
        client.meta.events.register("before-send.s3.PutObject", be_slow)
        with pytest.raises(SnapshotConflictError):
            place.commit(snapshot)


def test_what_a_survey_cannot_learn_each_day_asks_for_itself(place: Any, client_as: Any) -> None:
    from botocore.exceptions import ConnectionClosedError

    def fail(request: Any, **_: Any) -> None:
        if "start-after" in request.url:
            raise ConnectionClosedError(endpoint_url="s3")

    client = client_as()
    client.meta.events.register("before-send.s3.ListObjectsV2", fail)
    assert len(run(place, place.open(client=client), CSV)) == 8


def test_who_pays_is_said_with_every_call(place: Any, client_as: Any) -> None:
    def look(params: Any, model: Any, **_: Any) -> None:
        said.setdefault(model.name, set()).add(params["headers"].get("x-amz-request-payer"))

    said: dict[str, set[str | None]] = {}
    client = client_as()
    client.meta.events.register("before-call.s3", look)
    extra = {"RequestPayer": "requester"}
    large = bytes(9 << 20)
    run(place, place.open(client=client, extra_args=extra), CSV)
    place.store(large, archive=place.open(client=client, extra_args=extra, compression="none"))
    with place.begin(place.open(client=client, extra_args=extra, compression="none")) as snapshot:
        snapshot.write(b"1" + large)
    assert len(said) == 8
    assert all(payers == {"requester"} for payers in said.values())
