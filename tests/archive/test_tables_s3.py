"""Tables in a bucket: conditional writes, lost races, stores without conditions, the same bytes as in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from samples import FIRST, SECOND, Shelf, download

from airflow_usage_provider.archive.catalog import Selection
from airflow_usage_provider.archive.keys import ArchiveLocation
from airflow_usage_provider.archive.objects import S3Objects
from airflow_usage_provider.exceptions import ArchiveAccessError, ConfigurationError
from airflow_usage_provider.tables.check import check_tables
from airflow_usage_provider.tables.target import FolderTarget
from airflow_usage_provider.tables.target_s3 import S3Target
from airflow_usage_provider.tables.update import Outcome, update_tables

pytest.importorskip("pyarrow")

pytestmark = pytest.mark.slow


@pytest.fixture
def shelf(s3_client) -> Shelf:
    shelf = Shelf(s3_client, "archive")
    shelf.store(1, FIRST, 2)
    return shelf


def target_of(shelf: Shelf, client: Any = None) -> S3Target:
    location = ArchiveLocation(shelf.location.bucket, f"{shelf.location.prefix}/tables")
    return S3Target(client or shelf.client, location)


def build(shelf: Shelf, target: Any = None) -> list[Outcome]:
    objects = S3Objects(shelf.client, shelf.location)
    return list(update_tables(objects, target or target_of(shelf), Selection(), jobs=2))


class Meddling:
    """A client that lets something happen right before its first write, or forgets conditions."""

    def __init__(self, client: Any, *, before_put: Any = None, forget: bool = False, refuse: bool = False) -> None:
        self._client = client
        self._before_put = before_put
        self._forget = forget
        self._refuse = refuse
        self.puts = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def put_object(self, **arguments: Any) -> Any:
        self.puts += 1
        if self._before_put:
            meddle, self._before_put = self._before_put, None
            meddle()
        if self._refuse:
            from botocore.exceptions import ClientError

            answer = {"Error": {"Code": "NotImplemented"}, "ResponseMetadata": {"HTTPStatusCode": 501}}
            raise ClientError(answer, "PutObject")
        if self._forget:
            arguments = {name: value for name, value in arguments.items() if name not in ("IfMatch", "IfNoneMatch")}
        return self._client.put_object(**arguments)


def list_tables(shelf: Shelf) -> dict[str, str]:
    answer = shelf.client.list_objects_v2(Bucket=shelf.location.bucket, Prefix=f"{shelf.location.prefix}/tables/")
    prefix = f"{shelf.location.prefix}/tables/"
    return {entry["Key"].removeprefix(prefix): entry["ETag"] for entry in answer.get("Contents", [])}


def test_a_bucket_and_a_synced_folder_give_the_same_bytes(shelf, tmp_path):
    shelf.store(2, SECOND, 2)
    build(shelf)
    copy = download(shelf.read_all(), tmp_path / "copy")
    stored = {
        path.relative_to(tmp_path / "copy/tables"): path for path in (tmp_path / "copy/tables").rglob("*.parquet")
    }
    list(update_tables(copy.objects, FolderTarget(tmp_path / "built"), Selection(), jobs=2))
    built = {path.relative_to(tmp_path / "built"): path for path in (tmp_path / "built").rglob("*.parquet")}
    assert {name: path.read_bytes() for name, path in built.items()} == {
        name: path.read_bytes() for name, path in stored.items()
    }
    assert len(built) == 3


def test_a_second_run_writes_nothing(shelf):
    build(shelf)
    before = list_tables(shelf)
    client = Meddling(shelf.client)
    (outcome,) = build(shelf, target_of(shelf, client))
    assert (outcome.written, client.puts, list_tables(shelf)) == ((), 0, before)


@pytest.mark.parametrize("is_first", [True, False])
def test_who_loses_a_race_builds_again_and_nothing_newer_is_undone(shelf, is_first):
    if not is_first:
        build(shelf)
        shelf.store(2, FIRST, 2)

    def overtake() -> None:
        shelf.store(3, SECOND, 2)
        build(shelf)

    client = Meddling(shelf.client, before_put=overtake)
    (outcome,) = build(shelf, target_of(shelf, client))
    assert outcome.error is None
    objects = S3Objects(shelf.client, shelf.location)
    found = check_tables(objects, target_of(shelf), Selection())
    assert list(found) == []
    footer = target_of(shelf).find("current/langdock_api_keys/usage_month=2026-01/eu%2Facme.parquet").footer
    assert "2026-01-03" in footer["usage_provider.days"]


def test_a_store_that_forgets_conditions_is_told_apart(shelf):
    (outcome,) = build(shelf, target_of(shelf, Meddling(shelf.client, forget=True)))
    assert isinstance(outcome.error, ArchiveAccessError)
    assert "does not heed the conditions of writes" in str(outcome.error)


def test_a_store_that_refuses_conditions_is_told_apart_and_nothing_is_written(shelf):
    (outcome,) = build(shelf, target_of(shelf, Meddling(shelf.client, refuse=True)))
    assert "refuses conditional writes" in str(outcome.error)
    assert list_tables(shelf) == {}


def test_a_build_that_is_killed_leaves_the_old_objects_and_the_next_one_ends_it(shelf):
    build(shelf)
    before = list_tables(shelf)
    shelf.store(2, SECOND, 2)

    def die() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(shelf, target_of(shelf, Meddling(shelf.client, before_put=die)))
    assert list_tables(shelf) == before
    assert build(shelf)[0].written == ("current", "history", "snapshots")


def test_a_month_revised_to_nothing_loses_its_object(shelf):
    build(shelf)
    shelf.store(1, b"", 0)
    build(shelf)
    assert {name.partition("/")[0] for name in list_tables(shelf)} == {"history", "snapshots"}


def test_a_footer_larger_than_what_is_read_first_is_read(shelf, monkeypatch):
    monkeypatch.setattr("airflow_usage_provider.tables.target_s3.TAIL", 100)
    build(shelf)
    assert build(shelf)[0].written == ()


def test_an_object_that_is_no_parquet_file_is_replaced(shelf):
    build(shelf)
    for body in (b"", b"not Parquet"):
        key = f"{shelf.location.prefix}/tables/snapshots/usage_month=2026-01/langdock.eu%2Facme.api_keys.parquet"
        shelf.put(key, body)
        assert build(shelf)[0].written == ("snapshots",)


@pytest.mark.parametrize("below", ["raw", "raw/vendor=langdock", "seals"])
def test_a_target_among_the_raw_objects_is_refused(shelf, below):
    location = ArchiveLocation(shelf.location.bucket, f"{shelf.location.prefix}/{below}")
    with pytest.raises(ConfigurationError, match="of the archive"):
        build(shelf, S3Target(shelf.client, location))


def test_duckdb_reads_the_bucket_as_the_docs_say(shelf, s3_server, tmp_path):
    duckdb = pytest.importorskip("duckdb")
    extensions = Path(duckdb.__file__).parents[1] / "duckdb_ext/extensions"
    extension = next(extensions.glob(f"v{duckdb.__version__}/*/httpfs.duckdb_extension"), None)
    if extension is None:
        pytest.skip("duckdb-ext-httpfs is not installed for this version of DuckDB")
    shelf.store(2, SECOND, 2)
    build(shelf)
    connection = duckdb.connect()
    connection.execute(f"LOAD '{extension}'")
    host = s3_server.endpoint_url.removeprefix("http://")
    connection.execute(
        f"CREATE SECRET (TYPE s3, KEY_ID '{s3_server.access_key}', SECRET '{s3_server.secret_key}', "
        f"ENDPOINT '{host}', URL_STYLE 'path', USE_SSL false)"
    )
    total = connection.execute(
        f"SELECT sum(total_cost_usd) FROM read_parquet('{shelf.url}/tables/current/langdock_api_keys/**/*.parquet')"
    ).fetchone()
    assert str(total[0]) == "3.700000000000000000"


def test_the_command_builds_in_a_bucket_and_says_what(shelf, s3_server, capsys, monkeypatch):
    from airflow_usage_provider.cli import main

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret_key)
    arguments = ["tables", shelf.url, "--endpoint-url", s3_server.endpoint_url, "--region", "us-east-1"]
    assert main([*arguments, "--month", "2026-01"]) == 0
    assert "langdock/eu/acme/api_keys 2026-01: current, history, snapshots" in capsys.readouterr().out
    assert main([*arguments, "--check"]) == 0
    assert capsys.readouterr().out == "0 findings\n"
    assert main([*arguments, "--ddl", "athena"]) == 0
    assert f"LOCATION '{shelf.url}/tables/current/langdock_api_keys/'" in capsys.readouterr().out
