from __future__ import annotations

import sys
from datetime import date
from pathlib import Path

import pytest
from folders import DAY, KEYS, FolderArchive

from airflow_usage_provider.archive.catalog import Selection
from airflow_usage_provider.archive.keys import Series
from airflow_usage_provider.exceptions import ConfigurationError, UnreadableValueError
from airflow_usage_provider.schema import StreamSchema
from airflow_usage_provider.tables.check import check_tables
from airflow_usage_provider.tables.target import FolderTarget
from airflow_usage_provider.tables.update import update_tables

SCHEMA = StreamSchema(columns={"key": "text", "cost": "money"})
NOVEMBER = date(2026, 11, 5)


@pytest.fixture
def archive(tmp_path) -> FolderArchive:
    return FolderArchive(tmp_path / "archive")


def store(archive: FolderArchive, cost: str | None, day: date = DAY, **settings) -> None:
    body = f'key,cost\na,"{cost}"\n'.encode() if cost is not None else b""
    archive.store(body, int(cost is not None), day=day, schema=SCHEMA, **settings)


def list_files(archive: FolderArchive) -> dict[str, tuple[int, int]]:
    """Names of the tables' files, and what changes when one is replaced."""
    root = archive.folder / "tables"
    stats = {path.relative_to(root).as_posix(): path.stat() for path in root.rglob("*") if path.is_file()}
    return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in stats.items()}


def list_changed(before: dict, after: dict) -> set[str]:
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    return {name.partition("/")[0] for name in changed}


def check(archive: FolderArchive, **selected) -> list[tuple[str, str]]:
    objects, target = archive.objects, FolderTarget(archive.folder / "tables")
    found = check_tables(objects, target, Selection(**selected), jobs=2)
    return sorted((finding.kind, finding.name.partition("/")[0]) for finding in found)


def test_a_second_run_writes_nothing_and_opens_no_manifest(archive, monkeypatch):
    store(archive, "1")
    archive.build()
    before = list_files(archive)
    monkeypatch.setattr("airflow_usage_provider.tables.timeline.read_manifest_bytes", None)
    (outcome,) = archive.build()
    assert (outcome.written, outcome.is_changed) == ((), False)
    assert list_files(archive) == before


def test_a_pull_without_news_adds_to_snapshots_alone(archive):
    store(archive, "1")
    archive.build()
    before = list_files(archive)
    store(archive, "1")
    (outcome,) = archive.build()
    assert list_changed(before, list_files(archive)) == {"snapshots"}
    assert (outcome.written, outcome.is_changed) == (("snapshots",), False)
    assert len(archive.read("snapshots")) == 2


def test_only_the_month_that_changed_is_built_again(archive):
    store(archive, "1")
    store(archive, "2", NOVEMBER)
    archive.build()
    before = list_files(archive)
    store(archive, "3", NOVEMBER)
    october, november = archive.build()
    assert (october.is_changed, november.is_changed) == (False, True)
    changed = {name for name, stat in list_files(archive).items() if before.get(name) != stat}
    assert all("usage_month=2026-11" in name for name in changed)
    assert len(changed) == 3


def test_a_month_that_is_revised_to_nothing_loses_its_current_file_and_snapshots_says_why(archive):
    store(archive, "1")
    archive.build()
    store(archive, None)
    archive.build()
    assert {name.partition("/")[0] for name in list_files(archive)} == {"history", "snapshots"}
    assert [row["state"] for row in archive.read("snapshots")] == ["complete", "empty"]
    assert archive.read("history")[0]["known_to"] is not None
    assert check(archive) == []


def test_a_month_without_rows_has_a_row_in_snapshots_for_each_day(archive):
    store(archive, None)
    archive.build()
    assert set(list_files(archive)) == {"snapshots/usage_month=2026-10/langdock.acme.api_keys.parquet"}
    assert [(row["usage_date"], row["state"], row["rows"]) for row in archive.read("snapshots")] == [(DAY, "empty", 0)]
    assert archive.build()[0].written == ()


def test_a_table_that_was_lost_or_half_updated_comes_back(archive):
    store(archive, "1")
    archive.build()
    next((archive.folder / "tables/current").rglob("*.parquet")).unlink()
    assert archive.build()[0].written == ("current",)
    store(archive, "2")
    history = next((archive.folder / "tables/history").rglob("*.parquet"))
    old = history.read_bytes()
    archive.build()
    history.write_bytes(old)  # as if the run had been killed between the two
    next((archive.folder / "tables/snapshots").rglob("*.parquet")).unlink()
    assert archive.build()[0].written == ("history", "snapshots")
    assert check(archive) == []


def test_money_that_cannot_be_read_leaves_what_was_there_and_stops_no_other_month(archive):
    store(archive, "1")
    archive.build()
    before = list_files(archive)
    store(archive, "1,5")
    store(archive, "2", NOVEMBER)
    objects, target = archive.objects, FolderTarget(archive.folder / "tables")
    october, november = update_tables(objects, target, Selection(), jobs=2)
    assert isinstance(october.error, UnreadableValueError)
    assert november.is_changed
    assert {name: stat for name, stat in list_files(archive).items() if "2026-10" in name} == before
    assert archive.read("current")[0]["cost"] == 1


@pytest.mark.parametrize("room", ["raw", "raw/vendor=langdock", "seals"])
def test_a_target_among_the_raw_bytes_is_refused(archive, room):
    store(archive, "1")
    with pytest.raises(ConfigurationError, match=f"inside {room.partition('/')[0]}/ of the archive"):
        archive.build(archive.folder / room)
    assert not list(archive.folder.rglob("*.parquet"))


def test_without_pyarrow_a_sentence_says_what_to_install(archive, monkeypatch):
    store(archive, "1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'airflow-usage-provider\[tables\]'"):
        archive.build()


def test_check_finds_what_lags_differs_is_missing_or_should_not_be_there(archive):
    store(archive, "1")
    store(archive, "2", NOVEMBER)
    archive.build()
    assert check(archive) == []
    place = archive.folder / "tables/current/langdock_api_keys/usage_month=2026-10/acme.parquet"
    other = archive.folder / "tables/current/langdock_api_keys/usage_month=2026-11/acme.parquet"
    body = place.read_bytes()
    rewrite(place, other)
    assert check(archive) == [("different", "current")]
    place.write_bytes(body)
    stray = archive.folder / "tables/current/langdock_api_keys/usage_month=2026-09/acme.parquet"
    stray.parent.mkdir()
    stray.write_bytes(body)
    foreign = archive.folder / "tables/current/elsewhere/usage_month=2026-10/acme.parquet"
    foreign.parent.mkdir(parents=True)
    foreign.write_bytes(body)
    assert check(archive) == [("stray", "current")] * 2
    assert check(archive, stream="api_keys") == [("stray", "current")]
    assert check(archive, since=date(2026, 10, 1), stream="api_keys") == []
    stray.unlink()
    foreign.unlink()
    store(archive, "3")
    assert check(archive) == [("lagging", table) for table in ("current", "history", "snapshots")]


def rewrite(place: Path, other: Path) -> None:
    """Give a file the rows of another under its own footer, as somebody would who changes a figure."""
    import pyarrow.parquet as pq

    footer = {
        key: value for key, value in pq.read_metadata(place).metadata.items() if key.startswith(b"usage_provider.")
    }
    with pq.ParquetWriter(place, pq.read_schema(other).remove_metadata(), compression="zstd") as writer:
        writer.write_table(pq.ParquetFile(other).read().replace_schema_metadata(None))
        writer.add_key_value_metadata(footer)


def test_a_month_that_cannot_be_built_is_a_finding(archive):
    store(archive, "1,5")
    assert check(archive)[0] == ("missing", "current")
    archive.store(b"key,cost\na,1\n", 1, schema=SCHEMA, day=NOVEMBER)
    archive.build(since=NOVEMBER)
    next(archive.folder.rglob("usage_date=2026-11-05/*/part-*")).unlink()
    assert check(archive, since=NOVEMBER) == [("unbuildable", "current")]


def test_two_accounts_are_two_files_of_one_table(archive):
    store(archive, "1")
    store(archive, "2", series=Series(KEYS.vendor, "other", KEYS.stream))
    archive.build()
    assert {row["account"]: row["cost"] for row in archive.read("current")} == {"acme": 1, "other": 2}
