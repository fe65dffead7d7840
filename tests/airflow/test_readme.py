"""The Python of README and docs runs as it stands."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

README = (Path(__file__).parents[2] / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
DAY = (datetime.now(UTC) - timedelta(days=2)).date().isoformat()


def block(text: str) -> str:
    (found,) = [block for block in BLOCKS if text in block]
    return found


def test_every_block_is_run_by_a_test_here():
    assert len(BLOCKS) == 4


def test_the_dag_of_ones_own_is_a_dag():
    names: dict[str, object] = {}
    exec(block("LangdockExportSensor"), names)
    assert names["dag"].task_ids == ["wait", "archive"]


def test_the_file_for_services_without_bundles_serves_both_dags():
    code = block("the DAGs of airflow-usage-provider")
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
    exec(block("AcmeInvoicesToS3Operator"), names)
    operator = names["AcmeInvoicesToS3Operator"](task_id="archive", archive_url=archive_url, usage_date=DAY)
    (summary,) = operator.execute({})
    assert (summary["vendor"], summary["stream"], summary["rows"]) == ("acme", "invoices", 2)
    assert any(key.startswith("raw/vendor=acme/account=acme_default/stream=invoices/") for key in objects())


def test_the_shards_of_the_scale_page_are_dags():
    page = Path(__file__).parents[2] / "docs" / "deployment" / "scale.md"
    (code,) = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    names: dict[str, object] = {}
    exec(code, names)
    shards = [dag for name, dag in names.items() if name.startswith("langdock_usage_")]
    assert [dag.dag_id for dag in shards] == [f"langdock_usage_{number:02}" for number in range(5)]
    assert all(dag.task_ids == ["archive"] for dag in shards)
