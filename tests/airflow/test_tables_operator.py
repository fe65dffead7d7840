from __future__ import annotations

import json
import sys
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_usage_provider.archive.keys import ArchiveLocation, Series
from airflow_usage_provider.archive.snapshot import Archive
from airflow_usage_provider.bundles import UsageDagBundle
from airflow_usage_provider.compat import AirflowFailException
from airflow_usage_provider.models import FileFormat, StreamFacts, UsageWindow
from airflow_usage_provider.operators.tables import UsageTablesOperator, plan_tables
from airflow_usage_provider.vendors.langdock.schemas import export_schema

KEYS, MODELS = Series("langdock", "acme", "api_keys"), Series("langdock", "acme", "models")
DAY = date(2026, 10, 5)


@pytest.fixture
def store(s3_server, archive_url):
    """Archive an answer of one row."""
    client = s3_server.client()
    clock = iter(datetime(2026, 10, 6, tzinfo=UTC) + timedelta(hours=hours) for hours in range(100))

    def _store(cost: str, day: date = DAY, series: Series = KEYS) -> None:
        name = "api_key_id" if series is KEYS else "name"
        archive = Archive(client=client, location=ArchiveLocation.parse(archive_url), now=lambda: next(clock))
        with archive.open_snapshot(series, UsageWindow(day), FileFormat.CSV) as snapshot:
            snapshot.write(f'{name},total_cost_usd\na,"{cost}"\n'.encode())
            snapshot.commit(
                StreamFacts(rows=1, columns=(name, "total_cost_usd")),
                maturity="final",
                request={},
                schema=export_schema(series.stream),
            )

    return _store


class Events(dict):
    """Outlet events, as a task's context has them."""

    def __missing__(self, alias):
        self[alias] = SimpleNamespace(told=[], add=lambda asset, extra: self[alias].told.append((asset.name, extra)))
        return self[alias]

    @property
    def told(self) -> list[tuple[str, dict]]:
        return [event for each in self.values() for event in each.told]


def execute(archive_url: str, **arguments):
    events = Events()
    operator = UsageTablesOperator(task_id="tables", archive_url=archive_url, **arguments)
    return operator.execute({"outlet_events": events}), events.told


def test_it_builds_what_lags_tells_of_each_table_and_then_is_quiet(connect_vendors, archive_url, store, objects):
    connect_vendors()
    store("1.5")
    store("2", series=MODELS)
    built, told = execute(archive_url)
    assert [(each["table"], each["month"], each["changed"]) for each in built] == [
        ("langdock_api_keys", "2026-10", True),
        ("langdock_models", "2026-10", True),
    ]
    assert told == [
        (f"usage_tables/{table}", {"table": table, "months": '["2026-10"]'})
        for table in ("langdock_api_keys", "langdock_models")
    ]
    table = objects()["tables/current/langdock_api_keys/usage_month=2026-10/acme.parquet"]
    assert str(pq.read_table(pa.BufferReader(table))["total_cost_usd"][0]) == "1.500000000000000000"
    assert execute(archive_url) == ([], [])


def test_a_pull_without_news_is_not_told_of(connect_vendors, archive_url, store):
    connect_vendors()
    store("1")
    execute(archive_url)
    store("1")
    built, told = execute(archive_url)
    assert [each["written"] for each in built] == [["snapshots"]]
    assert told == []


def test_months_and_streams_narrow_it(connect_vendors, archive_url, store):
    connect_vendors()
    store("1")
    store("2", date(2026, 11, 5))
    store("3", series=MODELS)
    assert [each["month"] for each in execute(archive_url, months=["2026-11"], stream="api_keys")[0]] == ["2026-11"]
    assert [each["month"] for each in execute(archive_url, months="2026-09, 2026-10", stream="api_keys")[0]] == [
        "2026-10"
    ]


def test_money_that_cannot_be_read_fails_for_good_after_the_other_months_are_built(
    connect_vendors, archive_url, store, objects
):
    connect_vendors()
    store("1")
    store("1,5", date(2026, 11, 5))
    with pytest.raises(AirflowFailException, match=r"1 of 2 months were not built.*column total_cost_usd: '1,5'"):
        execute(archive_url)
    assert any("usage_month=2026-10" in name for name in objects() if name.startswith("tables/current"))


@pytest.mark.parametrize("inside", ["raw", "raw/tables"])
def test_a_tables_url_among_the_raw_objects_fails_for_good(connect_vendors, archive_url, store, inside):
    connect_vendors()
    store("1")
    with pytest.raises(AirflowFailException, match="inside raw/ of the archive"):
        execute(archive_url, tables_url=f"{archive_url}/{inside}")


def event(*days: tuple[str, str]) -> SimpleNamespace:
    snapshots = [{"vendor": "langdock", "account": "acme", "stream": stream, "usage_date": day} for stream, day in days]
    return SimpleNamespace(extra={"snapshots": json.dumps(snapshots)})


def test_the_months_of_the_triggering_events_are_planned(connect_vendors, archive_url, monkeypatch):
    monkeypatch.setenv("AIRFLOW__USAGE_PROVIDER__ARCHIVE_URL", archive_url)
    events = {
        "one": [event(("api_keys", "2026-10-31"), ("api_keys", "2026-11-01")), event(("api_keys", "2026-11-02"))],
        "two": [event(("models", "2026-11-01"))],
    }
    planned = plan_tables({"triggering_asset_events": events})
    assert [(each["stream"], each["months"]) for each in planned] == [
        ("api_keys", ["2026-10", "2026-11"]),
        ("models", ["2026-11"]),
    ]
    assert {each["tables_url"] for each in planned} == {f"{archive_url}/tables"}


def test_a_run_by_hand_or_by_the_clock_looks_at_every_stream_or_at_the_months_given(
    connect_vendors, archive_url, store, monkeypatch
):
    connect_vendors()
    monkeypatch.setenv("AIRFLOW__USAGE_PROVIDER__ARCHIVE_URL", archive_url)
    store("1")
    store("2", series=MODELS)
    for context in ({}, {"triggering_asset_events": {}, "params": {"months": None}}):
        assert [(each["stream"], each["months"]) for each in plan_tables(context)] == [
            ("api_keys", None),
            ("models", None),
        ]
    assert {each["months"] for each in plan_tables({"params": {"months": "2026-10"}})} == {"2026-10"}


@pytest.fixture
def dag():
    folder = str(UsageDagBundle(name="usage").path)
    sys.path.insert(0, folder)
    try:
        return __import__("usage_tables").dag
    finally:
        sys.path.remove(folder)


def test_the_dag_waits_for_both_aliases_or_noon_and_is_inert_until_it_is_switched_on(dag):
    assert dag.is_paused_upon_creation
    assert dag.max_active_runs == 1
    assert sorted(dag.task_ids) == ["build", "complete", "plan", "tell"]
    assert {alias.name for _, alias in dag.timetable.asset_condition.iter_asset_aliases()} == {
        "keywordsai_usage",
        "langdock_usage",
    }
    assert "12" in dag.timetable.timetable.summary


def test_a_run_without_a_date_builds_the_tables_and_the_next_one_writes_nothing(
    dag, airflow_database, connect_vendors, archive_url, store, objects, monkeypatch
):
    connect_vendors()
    monkeypatch.setenv("AIRFLOW__USAGE_PROVIDER__ARCHIVE_URL", archive_url)
    store("1")
    store("2", series=MODELS)
    first = dag.test(logical_date=None)
    assert first.state == "success", {(ti.task_id, ti.map_index): ti.state for ti in first.get_task_instances()}
    before = {name: body for name, body in objects().items() if name.startswith("tables/")}
    assert len(before) == 6
    assert sum(ti.task_id == "build" for ti in first.get_task_instances()) == 2
    assert dag.test(logical_date=None).state == "success"
    assert {name: body for name, body in objects().items() if name.startswith("tables/")} == before


def test_without_an_archive_url_the_run_fails_and_says_so(dag, airflow_database, connect_vendors):
    connect_vendors()
    run = dag.test(logical_date=None)
    assert {ti.task_id: ti.state for ti in run.get_task_instances()}["plan"] == "failed"
    assert run.state == "failed"


def test_the_catalog_of_iceberg_tables_is_opened_by_a_connection(
    connect_vendors, set_connection, archive_url, store, monkeypatch
):
    from airflow_usage_provider.operators import tables

    connect_vendors()
    set_connection(
        "lake", conn_type="generic", host="https://catalog", login="id", password="secret", extra={"warehouse": "lake"}
    )
    store("1")
    opened = []
    monkeypatch.setattr(tables, "load_iceberg", lambda name, properties: opened.append((name, properties)))
    monkeypatch.setattr(tables, "update_iceberg", lambda *_: iter(()))
    execute(archive_url, iceberg_conn_id="lake")
    assert opened == [("default", {"uri": "https://catalog", "credential": "id:secret", "warehouse": "lake"})]
