"""The DAG that closes a month, run through: whole, sealed and reported, or failed in the task that says why."""

from __future__ import annotations

import json
import sys
from datetime import UTC, date, datetime, timedelta

import pytest

from airflow_usage_provider.archive.keys import ArchiveLocation, Series
from airflow_usage_provider.archive.snapshot import Archive
from airflow_usage_provider.bundles import UsageDagBundle
from airflow_usage_provider.models import FileFormat, StreamFacts, UsageWindow
from airflow_usage_provider.operators.close import plan_close, write_focus_files
from airflow_usage_provider.vendors.langdock.schemas import export_schema

KEYS = Series("langdock", "acme", "api_keys")
MONTH = (datetime.now(UTC).date().replace(day=1) - timedelta(days=1)).replace(day=1)
DAYS = [MONTH + timedelta(days=n) for n in range(31) if (MONTH + timedelta(days=n)).month == MONTH.month]


@pytest.fixture
def store(s3_server, archive_url):
    """Archive an answer of one row."""
    client = s3_server.client()

    def _store(day: date, cost: str, **facts) -> None:
        archive = Archive(client=client, location=ArchiveLocation.parse(archive_url))
        with archive.open_snapshot(KEYS, UsageWindow(day), FileFormat.CSV) as snapshot:
            snapshot.write(f"api_key_id,requests,total_cost_usd\na,1,{cost}\n".encode())
            snapshot.commit(
                StreamFacts(rows=1, columns=("api_key_id", "requests", "total_cost_usd"), **facts),
                maturity="final",
                request={"method": "POST", "path": "/export/api-keys"},
                schema=export_schema("api_keys"),
            )

    return _store


@pytest.fixture
def close(monkeypatch, airflow_database, connect_vendors, archive_url):
    """Run the DAG, and return the state of each of its tasks."""
    connect_vendors()
    monkeypatch.setenv("AIRFLOW__USAGE_PROVIDER__ARCHIVE_URL", archive_url)
    monkeypatch.syspath_prepend(str(UsageDagBundle(name="usage").path))
    dag = __import__("usage_month_close").dag

    def _close(**params) -> dict[str, str]:
        run = dag.test(logical_date=None, run_conf=params or None)
        return {ti.task_id: str(ti.state) for ti in run.get_task_instances()}

    yield _close
    sys.modules.pop("usage_month_close", None)


def closes(objects) -> list[dict]:
    return [json.loads(body) for name, body in sorted(objects().items()) if name.endswith("/close.json")]


def test_a_whole_month_is_sealed_reported_and_closed_again_beside_the_first(close, store, objects):
    for day in DAYS:
        store(day, "0.10")
    states = close()
    assert set(states.values()) == {"success"}
    assert sorted(states) == ["focus", "plan", "reconcile", "report", "seal", "tables", "verify"]
    (first,) = closes(objects)
    month = f"{MONTH:%Y-%m}"
    assert first["totals"] == {"USD": f"{len(DAYS) / 10:.2f}"}
    assert f"tables/focus/1.4/billing_month={month}/langdock.acme.parquet" in objects()
    assert f"tables/current/langdock_api_keys/usage_month={month}/acme.parquet" in objects()
    store(DAYS[3], "0.35")
    assert set(close().values()) == {"success"}
    again = closes(objects)
    assert again[0] == first
    assert again[1]["difference"] == {"USD": "0.25"}


@pytest.mark.parametrize("names", ["True", "False"])
def test_names_are_written_only_if_the_setting_says_so(
    monkeypatch, connect_vendors, archive_url, store, objects, names
):
    connect_vendors()
    monkeypatch.setenv("AIRFLOW__USAGE_PROVIDER__ARCHIVE_URL", archive_url)
    monkeypatch.setenv("AIRFLOW__USAGE_PROVIDER__PRINCIPAL_NAMES", names)
    store(DAYS[0], "0.10")
    write_focus_files(plan_close({"params": {"month": f"{MONTH:%Y-%m}"}}))
    body = objects()[f"tables/focus/1.4/billing_month={MONTH:%Y-%m}/langdock.acme.parquet"]
    assert (b"x_PrincipalName" in body) is (names == "True")


def test_a_month_with_missing_days_fails_in_verify_and_nothing_is_sealed(close, store, objects):
    store(DAYS[0], "0.10")
    states = close()
    assert (states["plan"], states["verify"], states["seal"]) == ("success", "failed", "upstream_failed")
    assert {name.partition("/")[0] for name in objects()} == {"raw"}
    assert set(close(partial=True).values()) == {"success"}
    assert closes(objects)[0]["totals"] == {"USD": "0.10"}


def test_a_comparison_that_is_skipped_does_not_keep_a_month_open(close, store, objects):
    for day in DAYS:
        store(day, "0.10", envelope={"aggregation_data": {"monthly_cost": "99"}})
    assert close()["verify"] == "failed"
    assert set(close(skip=["vendor totals"]).values()) == {"success"}
    assert closes(objects)[0]["reconciliation"]["skipped"] == ["vendor totals"]
    with pytest.raises(ValueError, match="vendor total"):
        close(skip=["vendor total"])
