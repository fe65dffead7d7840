"""A bucket and its synced folder read the same; a listing becomes days, gaps and strangers."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from samples import API_KEYS, USERS, Copy, download, live

from airflow_usage_provider.archive.catalog import Selection, load_catalog, read_answer, read_current
from airflow_usage_provider.archive.keys import ArchiveLocation
from airflow_usage_provider.archive.objects import CHUNK_SIZE, FolderObjects, S3Objects
from airflow_usage_provider.archive.parallel import map_in_order
from airflow_usage_provider.exceptions import (
    ArchiveAccessError,
    ArchiveCorruptError,
    ArchiveUnavailableError,
    ConfigurationError,
)

NAME = "raw/vendor=langdock/account=eu%2Facme/stream=api_keys/usage_date=2026-01-01/snapshot=x/part-00000.csv"


@pytest.fixture
def copy(s3_client: Any, tmp_path: Path) -> Copy:
    return download(live(s3_client)[1], tmp_path)


def test_a_bucket_and_its_copy_list_and_read_the_same(s3_client: Any, copy: Copy) -> None:
    shelf, files = live(s3_client)
    bucket, folder = S3Objects(s3_client, shelf.location), copy.objects
    assert set(bucket.list("raw/")) == set(folder.list("raw/"))
    assert {entry.name: entry.size for entry in folder.list("raw/")} == {n: len(body) for n, body in files.items()}
    for name, body in files.items():
        assert b"".join(map(bytes, bucket.chunks(name))) == body
        assert b"".join(map(bytes, folder.chunks(name))) == body
        assert bucket.uri(name) == f"{shelf.url}/{name}"
        assert Path(folder.uri(name)).read_bytes() == body


@pytest.mark.parametrize("prefix", ["raw/vendor=keywordsai/", "raw/vendor=langdock/account=eu%2Facme/", "raw/x/"])
def test_a_prefix_is_all_that_is_listed(s3_client: Any, copy: Copy, prefix: str) -> None:
    shelf, files = live(s3_client)
    expected = {name for name in files if name.startswith(prefix)}
    assert {entry.name for entry in copy.objects.list(prefix)} == expected
    assert {entry.name for entry in S3Objects(s3_client, shelf.location).list(prefix)} == expected


def test_keys_in_manifests_are_whole_in_a_bucket_and_cut_in_a_folder(tmp_path: Path) -> None:
    bucket = S3Objects(None, ArchiveLocation("archive", "llm/usage"))
    assert bucket.resolve(f"llm/usage/{NAME}") == NAME
    assert bucket.resolve(f"llm/{NAME}") is None
    assert bucket.resolve(NAME) is None
    assert S3Objects(None, ArchiveLocation("archive", "")).resolve(NAME) == NAME
    folder = FolderObjects(tmp_path)
    assert folder.resolve(f"llm/usage/{NAME}") == folder.resolve(NAME) == NAME
    assert folder.resolve(f"raw/vendor=old/{NAME}") == NAME
    assert folder.resolve(f"draw/vendor=x/{NAME[4:]}") is None
    assert folder.resolve("part-00000.csv") is None


def test_a_large_file_comes_in_chunks(tmp_path: Path) -> None:
    tmp_path.joinpath("part").write_bytes(bytes(2 * CHUNK_SIZE + 1))
    assert [len(chunk) for chunk in FolderObjects(tmp_path).chunks("part")] == [CHUNK_SIZE, CHUNK_SIZE, 1]


class Counting(FolderObjects):
    """Notes every prefix that is listed."""

    def list(self, prefix: str, after: str = "") -> Any:
        LISTED.append((prefix, after))
        return FolderObjects.list(self, prefix, after)

    def level(self, prefix: str) -> Any:
        LEVELS.append(prefix)
        return FolderObjects.level(self, prefix)


LISTED: list[tuple[str, str]] = []
LEVELS: list[str] = []
SERIES = "raw/vendor=langdock/account=eu%2Facme/stream=api_keys/"


@pytest.mark.parametrize(
    ("since", "until", "prefix", "after"),
    [
        (None, None, "", ""),
        (2, 2, "usage_date=2026-01-02", "usage_date=2026-01-01~"),
        (2, 5, "usage_date=2026-01-0", "usage_date=2026-01-01~"),
        (2, None, "", "usage_date=2026-01-01~"),
        (None, 2, "", ""),
    ],
)
def test_only_the_days_selected_are_listed(
    copy: Copy, since: int | None, until: int | None, prefix: str, after: str
) -> None:
    LISTED.clear()
    chosen = {name: date(2026, 1, day) for name, day in (("since", since), ("until", until)) if day}
    load_catalog(Counting(copy.folder), Selection(vendor="langdock", **chosen))
    assert LISTED[0] == (SERIES + prefix, after and SERIES + after)


def test_a_vendor_that_was_named_is_all_that_is_looked_into(copy: Copy) -> None:
    LEVELS.clear()
    selection = Selection(vendor="langdock", account="eu/acme", stream="api_keys")
    assert len(load_catalog(Counting(copy.folder), selection).days) == 4
    parents = ("raw/", "raw/vendor=langdock/", "raw/vendor=langdock/account=eu%2Facme/")
    asked = {f"{parent}{name}" for parent, name in zip(parents, SERIES.split("/")[1:], strict=False)}
    assert asked <= set(LEVELS)
    assert not any("keywordsai" in prefix for prefix in LEVELS)


def test_a_store_that_lists_days_out_of_order_is_refused(copy: Copy) -> None:
    class Reversed(FolderObjects):
        def list(self, prefix: str, after: str = "") -> Any:
            return reversed([*FolderObjects.list(self, prefix, after)])

    with pytest.raises(ArchiveAccessError, match="not in order of names"):
        load_catalog(Reversed(copy.folder), Selection())


def test_a_catalog_has_the_days_with_their_snapshots_in_order(copy: Copy) -> None:
    catalog = load_catalog(copy.objects, Selection())
    assert [(day.series, day.usage_date.day, len(day.manifests), len(day.parts)) for day in catalog.days] == [
        (USERS, 1, 2, 2),
        (API_KEYS, 1, 1, 1),
        (API_KEYS, 2, 4, 2),
        (API_KEYS, 3, 2, 0),
        (API_KEYS, 5, 3, 2),
    ]
    assert all(list(day.manifests) == sorted(day.manifests) for day in catalog.days)
    assert read_current(copy.objects, catalog.days[2]).revision == 2
    assert catalog.foreign == ()


def test_the_answer_as_of_a_time_is_the_newest_that_was_known_then(copy: Copy) -> None:
    day = load_catalog(copy.objects, Selection(vendor="langdock")).days[1]
    at = datetime(2026, 1, 3, 2, tzinfo=UTC)  # and three more, an hour apart
    second = timedelta(seconds=1)

    def number(as_of: datetime | None) -> int | None:
        answer = read_answer(copy.objects, day, as_of)
        return answer and list(day.manifests).index(answer.snapshot_id)

    assert number(at - second) is None
    assert [number(at + timedelta(hours=hours)) for hours in range(5)] == [0, 1, 2, 3, 3]
    assert number(at + timedelta(hours=1) - second) == 0
    assert number(None) == 3


@pytest.mark.parametrize("snapshot_at", ["yesterday", "2026-13-02T02:00:00", ""])
def test_a_time_that_is_none_is_a_corrupt_manifest(copy: Copy, snapshot_at: str) -> None:
    copy.edit(copy.find("stream=api_keys/usage_date=2026-01-01/*/_manifest.json"), snapshot_at=snapshot_at)
    day = load_catalog(copy.objects, Selection(vendor="langdock")).days[0]
    assert read_answer(copy.objects, day) is not None
    with pytest.raises(ArchiveCorruptError, match="is no time"):
        read_answer(copy.objects, day, datetime(2026, 2, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("since", "until", "days", "gaps"),
    [
        (None, None, [1, 2, 3, 5], [(4, 4)]),
        (2, 3, [2, 3], []),
        (4, 4, [], [(4, 4)]),
        (3, 8, [3, 5], [(4, 4), (6, 8)]),
        (6, None, [], []),
        (None, 4, [1, 2, 3], [(4, 4)]),
    ],
)
def test_gaps_are_between_the_first_and_the_last_day_or_those_selected(
    copy: Copy, since: int | None, until: int | None, days: list[int], gaps: list[tuple[int, int]]
) -> None:
    chosen = {name: date(2026, 1, day) for name, day in (("since", since), ("until", until)) if day}
    catalog = load_catalog(copy.objects, Selection(vendor="langdock", **chosen))
    assert [day.usage_date.day for day in catalog.days] == days
    assert [(gap.first.day, gap.last.day) for gap in catalog.gaps] == gaps
    assert {gap.series for gap in catalog.gaps} <= {API_KEYS}


def test_gaps_of_two_streams_are_not_one(copy: Copy) -> None:
    catalog = load_catalog(copy.objects, Selection(since=date(2026, 1, 4), until=date(2026, 1, 4)))
    assert [(gap.series, gap.first.day, gap.last.day) for gap in catalog.gaps] == [
        (USERS, 4, 4),
        (API_KEYS, 4, 4),
    ]


def test_a_day_with_a_part_only_is_a_gap(copy: Copy) -> None:
    for path in copy.folder.rglob("stream=api_keys/usage_date=2026-01-02/*/_manifest.json"):
        path.unlink()
    catalog = load_catalog(copy.objects, Selection(vendor="langdock"))
    assert [day.usage_date.day for day in catalog.days] == [1, 2, 3, 5]
    assert [(gap.first.day, gap.last.day) for gap in catalog.gaps] == [(2, 2), (4, 4)]


def test_a_day_of_years_ago_is_no_begin_of_the_gaps_unless_it_is_asked_for(copy: Copy) -> None:
    day = copy.find("stream=api_keys/usage_date=2026-01-01")
    shutil.copytree(day, day.with_name("usage_date=2006-11-20"))
    selection = Selection(vendor="langdock")
    (odd, gap) = load_catalog(copy.objects, selection).gaps
    assert (odd.first, odd.last, odd.is_break) == (date(2006, 11, 21), date(2025, 12, 31), True)
    assert (gap.first, gap.last, gap.is_break) == (date(2026, 1, 4), date(2026, 1, 4), False)
    (odd, gap) = load_catalog(copy.objects, replace(selection, since=date(2006, 11, 20))).gaps
    assert not odd.is_break


def test_a_day_that_is_not_yet_ends_no_gap(copy: Copy) -> None:
    day = copy.find("stream=api_keys/usage_date=2026-01-01")
    shutil.copytree(day, day.with_name("usage_date=2062-11-20"))
    catalog = load_catalog(copy.objects, Selection(vendor="langdock"))
    assert catalog.days[-1].usage_date.year == 2062
    assert [gap.first.day for gap in catalog.gaps] == [4]


@pytest.mark.parametrize("snapshot", ["20261399T000000Z-0000abcd", "20260231T000000Z-0000abcd", "x"])
@pytest.mark.parametrize("day", ["2026-01-02", "0001-01-01", "9999-12-31"])
def test_ids_and_days_that_no_clock_has_shown_are_foreign(copy: Copy, snapshot: str, day: str) -> None:
    snapshot = "20260102T000000Z-0000abcd" if day != "2026-01-02" else snapshot
    path = copy.folder / SERIES / f"usage_date={day}/snapshot={snapshot}/part-00000.csv.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    catalog = load_catalog(copy.objects, Selection())
    assert [entry.name for entry in catalog.foreign] == [path.relative_to(copy.folder).as_posix()]
    assert len(catalog.days) == 5


def test_what_is_not_there_is_said(copy: Copy, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"is of vendor 'langdok'.*usage-archive ls"):
        load_catalog(copy.objects, Selection(vendor="langdok"))
    with pytest.raises(ConfigurationError, match="is of vendor 'langdock', stream 'users'"):
        load_catalog(copy.objects, Selection(vendor="langdock", stream="users"))
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ConfigurationError, match="there is no snapshot below raw/"):
        load_catalog(FolderObjects(empty), Selection(vendor="langdock"))
    with pytest.raises(ConfigurationError, match="is no folder"):
        FolderObjects(tmp_path / "nowhere")
    with pytest.raises(ConfigurationError, match="is later than"):
        Selection(since=date(2026, 1, 2), until=date(2026, 1, 1))


def test_files_that_cannot_be_read_are_an_error_of_this_package(tmp_path: Path) -> None:
    objects = FolderObjects(tmp_path)
    with pytest.raises(ArchiveCorruptError, match="Gone"):
        list(objects.chunks("raw"))
    tmp_path.joinpath("raw").mkdir()
    with pytest.raises(ArchiveUnavailableError, match="could not be read"):
        list(objects.chunks("raw"))


def test_a_file_in_place_of_the_folder_and_a_link_to_nowhere_are_errors(tmp_path: Path) -> None:
    objects = FolderObjects(tmp_path)
    root = tmp_path / "raw"
    root.write_bytes(b"")
    with pytest.raises(ArchiveUnavailableError, match="raw could not be read"):
        list(objects.list("raw/"))
    root.unlink()
    root.mkdir()
    root.joinpath("link").symlink_to("nowhere")
    (entry,) = objects.list("raw/")
    with pytest.raises(ArchiveCorruptError, match="a link"):
        list(objects.chunks(entry.name))


def test_a_missing_object_of_a_bucket_is_named_so(s3_client: Any) -> None:
    with pytest.raises(ArchiveCorruptError, match="Gone"):
        list(S3Objects(s3_client, ArchiveLocation("archive", "nowhere")).chunks("raw/x"))
    with pytest.raises(ArchiveAccessError, match="does not exist"):
        list(S3Objects(s3_client, ArchiveLocation("achrive", "")).list("raw/"))


def test_a_body_goes_on_where_its_connection_broke(canned_server: Any, canned: Any, s3_server: Any) -> None:
    head = {"ETag": '"tag"', "Content-Length": "10"}
    server = canned_server(
        [
            canned(200, b"01234", head, has_length=False),
            canned(206, b"567", head | {"Content-Length": "5"}, has_length=False),
            canned(206, b"89", {"ETag": '"tag"'}),
        ]
    )
    client = s3_server.client(endpoint_url=server.url)
    assert b"".join(S3Objects(client, ArchiveLocation("archive", "")).chunks("raw/x")) == b"0123456789"
    client.close()
    assert [headers.get("range") for _, headers in server.requests] == [None, "bytes=5-", "bytes=8-"]
    assert [headers.get("if-match") for _, headers in server.requests] == [None, '"tag"', '"tag"']


def test_a_body_that_breaks_again_and_again_is_given_up(canned_server: Any, canned: Any, s3_server: Any) -> None:
    server = canned_server([canned(200, b"0", {"ETag": '"tag"', "Content-Length": "9"}, has_length=False)])
    client = s3_server.client(endpoint_url=server.url)
    with pytest.raises(ArchiveUnavailableError):
        list(S3Objects(client, ArchiveLocation("archive", "")).chunks("raw/x"))
    client.close()
    assert len(server.requests) == 4


def test_an_object_in_cold_storage_is_named_so(canned_server: Any, canned: Any, s3_server: Any) -> None:
    body = b"<Error><Code>InvalidObjectState</Code><Message>x</Message></Error>"
    client = s3_server.client(endpoint_url=canned_server([canned(403, body)]).url)
    with pytest.raises(ArchiveCorruptError, match=r"storage class.*restore-object"):
        list(S3Objects(client, ArchiveLocation("archive", "")).chunks("raw/x"))
    client.close()


def test_an_object_that_may_not_be_read_is_an_access_error(canned_server: Any, canned: Any, s3_server: Any) -> None:
    body = b"<Error><Code>AccessDenied</Code><Message>x</Message></Error>"
    client = s3_server.client(endpoint_url=canned_server([canned(403, body)]).url)
    with pytest.raises(ArchiveAccessError, match="refused GetObject"):
        list(S3Objects(client, ArchiveLocation("archive", "")).chunks("raw/x"))
    client.close()


def test_work_in_threads_keeps_its_order_and_stops_at_an_error() -> None:
    assert list(map_in_order(str, range(100), 8)) == [str(number) for number in range(100)]
    done = []

    def work(number: int) -> None:
        if number == 3:
            raise ArchiveUnavailableError("no")
        done.append(number)

    with pytest.raises(ArchiveUnavailableError):
        list(map_in_order(work, range(100_000), 2))
    assert len(done) < 100_000


def test_work_is_only_so_far_ahead_of_those_who_take_it() -> None:
    begun = []
    results = map_in_order(lambda number: begun.append(number) or number, iter(range(10_000)), 2)
    assert next(results) == 0
    assert len(begun) <= 8
    results.close()  # type: ignore[attr-defined]


def test_names_come_in_the_order_of_their_bytes(tmp_path: Path) -> None:
    names = ["raw/a", "raw/a-b/x", "raw/a.txt", "raw/a0", "raw/b/c", "raw/b/d/e"]
    for name in reversed([name for name in names if name != "raw/a"]):
        tmp_path.joinpath(name).parent.mkdir(parents=True, exist_ok=True)
        tmp_path.joinpath(name).write_bytes(b"")
    objects = FolderObjects(tmp_path)
    assert [entry.name for entry in objects.list("raw/")] == names[1:]
    assert [entry.name for entry in objects.list("raw/", "raw/b/c")] == ["raw/b/d/e"]
    assert [entry.name for entry in objects.list("raw/", "raw/a.txt")] == ["raw/a0", "raw/b/c", "raw/b/d/e"]


def test_folders_may_be_nested_deeper_than_calls(tmp_path: Path) -> None:
    with contextlib.chdir(tmp_path):
        for name in ["raw", *["d"] * 1500]:
            Path(name).mkdir()
            os.chdir(name)
        Path("x").write_bytes(b"")
    (entry,) = FolderObjects(tmp_path).list("raw/")
    assert entry.name == f"raw/{'d/' * 1500}x"
    with contextlib.chdir(tmp_path / entry.name[:-1]):  # not even pytest can remove it all at once
        Path("x").unlink()
        for name in ["d"] * 1500:
            os.chdir("..")
            Path(name).rmdir()


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize("make", [make_pipe, lambda path: path.symlink_to("/dev/zero"), lambda path: path.mkdir()])
def test_only_regular_files_are_read(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "part-00000.csv")
    with pytest.raises((ArchiveCorruptError, ArchiveUnavailableError)):
        list(FolderObjects(tmp_path).chunks("part-00000.csv"))


def test_a_link_to_a_folder_is_listed_and_not_followed(copy: Copy, tmp_path: Path) -> None:
    tmp_path.joinpath("elsewhere").mkdir()
    tmp_path.joinpath("elsewhere/secret").write_bytes(b"")
    copy.folder.joinpath("raw/link").symlink_to(tmp_path / "elsewhere")
    assert [entry.name for entry in load_catalog(copy.objects, Selection()).foreign] == ["raw/link"]
