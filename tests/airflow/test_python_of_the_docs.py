"""The Python of the docs runs as it stands."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import pytest
from blocks import find_blocks

DAY = (datetime.now(UTC) - timedelta(days=2)).date().isoformat()
#: A text of every block by its page, and of pages whose blocks are run elsewhere the test that does.
RUN_HERE = {
    "docs/deployment/celery.md": ["airflow_local_settings"],
    "docs/deployment/managed.md": ["the DAGs of"],
    "docs/deployment/scale.md": ["ACCOUNTS"],
    "docs/how-to/own-dag.md": ["LangdockExportSensor", "get_users_df", "chargeback"],
    "docs/how-to/smallest-vendor.md": ["AcmeInvoices"],
    "docs/observability.md": ["UsageBudgetOperator"],
}
RUN_ELSEWHERE = {
    "docs/tables.md": "tests/docs/test_tables_page.py",
    "docs/vendors.md": "tests/examples/test_vendors_page.py",
}


def block(text: str) -> str:
    (page,) = [page for page, texts in RUN_HERE.items() if text in texts]
    (found,) = [each.code for each in find_blocks("python") if each.page == page and text in each.code]
    return found


def test_every_block_of_every_page_is_run():
    root = Path(__file__).parents[2]
    found = find_blocks("python")
    assert all((root / RUN_ELSEWHERE[each.page]).is_file() for each in found if each.page in RUN_ELSEWHERE)
    blocks = [each for each in found if each.page not in RUN_ELSEWHERE]
    assert {each.page for each in blocks} == set(RUN_HERE)
    for each in blocks:
        assert sum(text in each.code for text in RUN_HERE[each.page]) == 1, each


def test_the_dag_of_ones_own_is_a_dag():
    names: dict[str, object] = {}
    exec(block("LangdockExportSensor"), names)
    assert names["dag"].task_ids == ["wait", "archive"]


def test_the_dag_that_watches_money_is_a_dag():
    names: dict[str, object] = {}
    exec(block("UsageBudgetOperator"), names)
    assert sorted(names["dag"].task_ids) == ["budgets", "spikes"]


def test_the_file_for_services_without_bundles_serves_both_dags():
    code = block("the DAGs of")
    pytest.importorskip("airflow_usage_provider.dags.langdock_usage_daily", reason="only a wheel has its DAGs inside")
    names: dict[str, object] = {}
    exec(code, names)
    assert {names["keywordsai_users_daily"].dag_id, names["langdock_usage_daily"].dag_id} == {
        "keywordsai_users_daily",
        "langdock_usage_daily",
    }


def test_the_hooks_answer_with_frames(connect_vendors):
    connect_vendors()
    names: dict[str, object] = {}
    exec(block("get_users_df").replace("2026-11-20", DAY), names)
    assert len(names["users"]) > 0
    assert "model" in names["keys"].columns


def test_a_vendor_of_ones_own_is_archived(set_connection, canned_server, canned, connect_vendors, archive_url, objects):
    connect_vendors()
    server = canned_server([canned(body=b"id,total\n1,9.99\n2,0.01\n")])
    set_connection("acme_default", conn_type="acme", host=server.url, password="k")
    names: dict[str, object] = {}
    exec(block("AcmeInvoices"), names)
    assert names["AcmeHook"]().test_connection() == (True, f"{server.url} accepted the API key.")
    assert server.requests[-1][0] == "/me"
    assert list(names["AcmeHook"](acme_conn_id="acme_default").get_df("invoices", usage_date=DAY)["total"]) == [
        Decimal("9.99"),
        Decimal("0.01"),
    ]
    operator = names["AcmeInvoicesToS3Operator"](task_id="archive", archive_url=archive_url, usage_date=DAY)
    (summary,) = operator.execute({})
    assert (summary["vendor"], summary["stream"], summary["rows"]) == ("acme", "invoices", 2)
    assert any(key.startswith("raw/vendor=acme/account=acme_default/stream=invoices/") for key in objects())


def test_the_shards_of_the_scale_page_are_dags():
    names: dict[str, object] = {}
    exec(block("ACCOUNTS"), names)
    shards = [dag for name, dag in names.items() if name.startswith("langdock_usage_")]
    assert [dag.dag_id for dag in shards] == [f"langdock_usage_{number:02}" for number in range(5)]
    assert all(dag.task_ids == ["archive"] for dag in shards)


def test_the_settings_of_the_celery_page_import_early_and_change_one_dag(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["airflow", "celery", "worker"])
    names: dict[str, object] = {}
    exec(block("airflow_local_settings"), names)
    task = SimpleNamespace(dag_id="langdock_usage_daily", retry_delay=timedelta(minutes=5))
    other = SimpleNamespace(dag_id="other", retry_delay=timedelta(minutes=5))
    names["task_policy"](task)
    names["task_policy"](other)
    assert (task.retry_delay, other.retry_delay) == (timedelta(minutes=1), timedelta(minutes=5))


PRODUCER = """
from airflow_usage_provider.operators.langdock import LangdockExportToS3Operator

with DAG("produce", schedule=None):
    LangdockExportToS3Operator(task_id="archive", archive_url="{url}", usage_date="{day}")
DAG("named_as_its_uri", schedule=Asset("langdock/acme/api_keys"))
"""
QUEUED = """
from airflow.models.asset import AssetDagRunQueue
from airflow.utils.session import create_session
with create_session() as session:
    print(sorted({row.target_dag_id for row in session.query(AssetDagRunQueue)}))
"""


@pytest.mark.slow
def test_what_waits_for_assets_is_triggered_but_for_the_asset_whose_name_is_taken_for_its_uri(
    connect_vendors, archive_url, tmp_path, monkeypatch
):
    connect_vendors()
    (tmp_path / "dags").mkdir()
    producer = PRODUCER.format(url=archive_url, day=DAY)
    (tmp_path / "dags" / "waiting.py").write_text(block("chargeback") + producer)
    bundles = [
        {
            "name": "dags-folder",
            "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
            "kwargs": {"path": str(tmp_path / "dags")},
        }
    ]
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", f"sqlite:///{tmp_path}/airflow.db")
    monkeypatch.setenv("AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION", "False")
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps(bundles))
    for command in (["db", "migrate"], ["dags", "reserialize"], ["dags", "test", "produce"]):
        subprocess.run([sys.executable, "-m", "airflow", *command], check=True, capture_output=True)
    answer = subprocess.run([sys.executable, "-c", QUEUED], check=True, capture_output=True, text=True)
    assert answer.stdout.splitlines()[-1] == "['chargeback', 'chargeback_acme']"
