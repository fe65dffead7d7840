from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import pytest

from airflow_usage_provider.archive.keys import ArchiveLocation, Series
from airflow_usage_provider.archive.snapshot import Archive
from airflow_usage_provider.compat import AirflowFailException
from airflow_usage_provider.models import FileFormat, StreamFacts, UsageWindow
from airflow_usage_provider.operators import alerts
from airflow_usage_provider.operators.alerts import UsageBudgetOperator, UsageSpikeOperator
from airflow_usage_provider.vendors.langdock.schemas import export_schema

KEYS = Series("langdock", "Müller", "api_keys")
DAY = date(2026, 10, 30)


@pytest.fixture
def store(s3_server, archive_url, connect_vendors):
    """Archive an answer of one row."""
    connect_vendors()
    client = s3_server.client()

    def _store(day: date, cost: str) -> None:
        archive = Archive(client=client, location=ArchiveLocation.parse(archive_url))
        with archive.open_snapshot(
            Series("langdock", "Müller", "api_keys"), UsageWindow(day), FileFormat.CSV
        ) as snapshot:
            snapshot.write(f"api_key_id,requests,total_cost_usd\na,1,{cost}\n".encode())
            facts = StreamFacts(rows=1, columns=("api_key_id", "requests", "total_cost_usd"))
            snapshot.commit(facts, maturity="final", request={}, schema=export_schema("api_keys"))

    return _store


@pytest.fixture
def context():
    pushed: list[list[str]] = []
    return {
        "ti": SimpleNamespace(xcom_push=lambda _, value: pushed.append(value), pushed=pushed),
        "dag_run": SimpleNamespace(logical_date=datetime(2026, 10, 31, tzinfo=UTC)),
    }


def test_a_budget_nearly_spent_notifies_and_one_that_is_passed_fails(store, archive_url, context):
    store(DAY, "9.5")
    told = []

    def check(limit: str) -> list[str]:
        operator = UsageBudgetOperator(
            task_id="budget", archive_url=archive_url, by="principal", budgets={"a": limit}, warn=[told.append]
        )
        return operator.execute(context)

    assert check("100") == []
    assert check("10") == ["a has spent 9.5 of 10 USD"]
    assert told == [context]
    with pytest.raises(AirflowFailException, match=r"a has spent 9\.5 of 9 USD"):
        check("9")
    with pytest.raises(AirflowFailException, match="'much' is no amount"):
        check("much")


def test_a_spike_fails_or_notifies_and_the_cost_of_the_day_is_a_gauge(store, archive_url, context, monkeypatch):
    for week in range(1, 6):
        store(DAY - timedelta(weeks=week), "1")
    store(DAY, "50")
    sent = []
    monkeypatch.setattr(
        alerts, "Stats", SimpleNamespace(gauge=lambda name, value, tags: sent.append((name, value, tags)))
    )
    told = []
    spike = UsageSpikeOperator(task_id="spike", archive_url=archive_url, fail=False, warn=[told.append])
    sentence = "langdock/Müller/api_keys 2026-10-30: 50 USD, 5 such weekdays before 1"
    assert spike.execute(context) == [sentence]
    assert told == [context]
    tags = {"vendor": "langdock", "account": "M_ller", "stream": "api_keys", "currency": "USD"}
    assert sent == [("usage_provider.archive.cost", 50.0, tags)]
    with pytest.raises(AirflowFailException, match="50 USD"):
        UsageSpikeOperator(task_id="spike", archive_url=archive_url).execute(context)
