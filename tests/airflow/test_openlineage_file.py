"""OpenLineage's own provider and client write the events of a run of a bundled DAG to a file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import airflow
import pytest

pytest.importorskip("airflow.providers.openlineage")
DAY = (datetime.now(UTC) - timedelta(days=2)).date()


def run_dag(archive_url: str, transport: dict[str, Any]) -> None:
    """Run the Langdock DAG in a process of its own: OpenLineage reads its settings when it is imported."""
    settings = {
        "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(transport),
        # Every attribute of an operator; what went with Airflow 3.0 recurses into some without end.
        "AIRFLOW__OPENLINEAGE__INCLUDE_FULL_TASK_INFO": str(airflow.__version__ >= "3.1"),
        "AIRFLOW__USAGE_PROVIDER__ARCHIVE_URL": archive_url,
        "AIRFLOW__USAGE_PROVIDER__LANGDOCK_STREAMS": "api_keys",
        "AIRFLOW__USAGE_PROVIDER__LOOKBACK_DAYS": "1",
        "AIRFLOW__USAGE_PROVIDER__SETTLE_HOURS": "0",
    }
    moment = (DAY + timedelta(days=1)).isoformat()
    command = [sys.executable, "-m", "airflow", "dags", "test", "langdock_usage_daily", moment]
    ran = subprocess.run(
        command, env={**os.environ, **settings}, capture_output=True, text=True, timeout=250, check=False
    )
    assert ran.returncode == 0, ran.stdout[-5000:] + ran.stderr[-5000:]


def read_events(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_finished_task_tells_its_datasets_and_their_size_and_no_secret(
    airflow_database, connect_vendors, archive_url, objects, sandbox, s3_server, canary, tmp_path
):
    connect_vendors(f"sk-{canary}")
    file = tmp_path / "events.jsonl"
    run_dag(archive_url, {"type": "file", "log_file_path": str(file), "append": True})

    job = "langdock_usage_daily.api_keys.archive_export"
    (event,) = (e for e in read_events(file) if e["job"]["name"] == job and e["eventType"] == "COMPLETE")
    (went,), (came,) = event["inputs"], event["outputs"]
    assert (went["namespace"], went["name"]) == (sandbox.url.replace("http", "langdock"), "acme/api_keys")
    assert came["namespace"] == f"s3://{s3_server.bucket}"
    prefix = archive_url.removeprefix(f"s3://{s3_server.bucket}/")
    assert came["name"] == f"{prefix}/raw/vendor=langdock/account=acme/stream=api_keys"
    bodies = objects()
    manifests = [json.loads(body) for key, body in bodies.items() if key.endswith("_manifest.json")]
    parts = [body for key, body in bodies.items() if key.endswith(".csv.gz")]
    statistics = came["outputFacets"]["outputStatistics"]
    assert len(manifests) == statistics["fileCount"] == 2
    assert statistics["rowCount"] == sum(manifest["rows"] for manifest in manifests) > 0
    assert statistics["size"] == sum(map(len, parts))

    told = file.read_text()
    downloads = [request for request in sandbox.requests if request.port_role == "download"]
    secrets = {value for request in downloads for value in request.query.values() if len(value) > 12}
    assert secrets
    assert not [secret for secret in (canary, s3_server.secret_key, *secrets) if secret in told]
