"""
Both bundled DAGs in a real Airflow, and beside them those of the example packages, installed as anybody's would be.

Scheduler, dag-processor, triggerer and API server are processes of their own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sandbox.airflow_standalone import AirflowStandalone
from sandbox.demo import BUNDLES, describe_environment
from sandbox.runs import DAG_IDS, archive_days, await_dags, await_runs

pytestmark = [pytest.mark.live, pytest.mark.timeout(400)]
DAYS = [(datetime.now(UTC) - timedelta(days=back)).date() for back in (3, 2, 1)]
EXAMPLES = {"openai": {"costs", "completions"}, "anthropic": {"costs", "messages"}}
ROOT = Path(__file__).parents[2]


@contextmanager
def serve_example(name: str) -> Iterator[str]:
    """Run an example's own server; its address."""
    command = [sys.executable, str(ROOT / "examples" / name / "server.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def install_examples(site: Path, urls: dict[str, str]) -> dict[str, str]:
    """Unpack the wheels of the examples, where EXAMPLES has them; what Airflow has to be told."""
    for wheel in Path(os.environ["EXAMPLES"]).glob("*.whl"):
        zipfile.ZipFile(wheel).extractall(site)
    bundles = [
        {
            "name": name,
            "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
            "kwargs": {"path": str(site / f"airflow_usage_{name}" / "dags")},
        }
        for name in urls
    ]
    connections = {
        f"AIRFLOW_CONN_{name.upper()}_USAGE_DEFAULT": json.dumps(
            {"conn_type": f"{name}_usage", "host": url, "password": "sk-admin", "extra": {"account": "acme"}}
        )
        for name, url in urls.items()
    }
    return {
        "PYTHONPATH": str(site),
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([*BUNDLES, *bundles]),
        **connections,
    }


@pytest.fixture(scope="module")
def airflow(running_sandbox, s3_server, tmp_path_factory):
    """Airflow after three days, with a Langdock account whose exports are not ready at once."""
    environment = describe_environment(running_sandbox, s3_server)
    langdock = json.loads(environment["AIRFLOW_CONN_LANGDOCK_DEFAULT"])
    langdock["password"] = "sk-acme;ready_after_requests=1"
    environment |= {
        "AIRFLOW_CONN_LANGDOCK_DEFAULT": json.dumps(langdock),
        "AIRFLOW__USAGE_PROVIDER__ARCHIVE_URL": f"s3://{s3_server.bucket}/live",
        "AIRFLOW__USAGE_PROVIDER__LANGDOCK_STREAMS": "api_keys",
        "AIRFLOW__USAGE_PROVIDER__LOOKBACK_DAYS": "0",
    }
    with ExitStack() as stack:
        if "EXAMPLES" in os.environ:
            urls = {name: stack.enter_context(serve_example(name)) for name in EXAMPLES}
            environment |= install_examples(tmp_path_factory.mktemp("site"), urls)
        server = stack.enter_context(AirflowStandalone(tmp_path_factory.mktemp("live"), env=environment))
        await_dags(server)
        archive_days(server, DAYS)
        yield server


def task_instances(airflow, dag_id):
    path = f"/api/v2/dags/{dag_id}/dagRuns/~/taskInstances?limit=1000"
    return airflow.api("GET", path)["task_instances"]


@pytest.mark.parametrize("dag_id", DAG_IDS)
def test_every_task_succeeded(airflow, dag_id):
    tasks = task_instances(airflow, dag_id)
    assert {task["state"] for task in tasks} == {"success"}
    assert len({task["dag_run_id"] for task in tasks}) == len(DAYS)


def test_the_sensor_waited_in_the_triggerer(airflow):
    logs = "\n".join(path.read_text() for path in Path(airflow.home, "logs").rglob("*wait_for_export*/**/*.log*"))
    assert logs.count("Pausing task as DEFERRED") == len(DAYS)
    assert "The export api_keys of" in logs


def test_every_day_has_one_snapshot_that_keeps_its_word(airflow, s3_server):
    client = s3_server.client()
    keys = [entry["Key"] for entry in client.list_objects_v2(Bucket=s3_server.bucket, Prefix="live/")["Contents"]]
    manifests = [key for key in keys if key.endswith("/_manifest.json")]
    manifests = [key for key in manifests if key.split("vendor=")[1].split("/")[0] not in EXAMPLES]
    days = {(key.split("vendor=")[1].split("/")[0], key.split("usage_date=")[1][:10]) for key in manifests}
    assert days == {(vendor, day.isoformat()) for vendor in ("keywordsai", "langdock") for day in DAYS}
    assert len(manifests) == len(days)
    for key in manifests:
        manifest = json.loads(client.get_object(Bucket=s3_server.bucket, Key=key)["Body"].read())
        assert manifest["airflow"]["dag_id"] in DAG_IDS
        (part,) = manifest["files"]
        assert client.head_object(Bucket=s3_server.bucket, Key=part["key"])["ContentLength"] == part["bytes"]


def test_a_finished_task_links_to_its_snapshot_in_s3(airflow, s3_server):
    task = next(task for task in task_instances(airflow, "langdock_usage_daily") if "archive" in task["task_id"])
    path = f"/api/v2/dags/langdock_usage_daily/dagRuns/{task['dag_run_id']}/taskInstances/{task['task_id']}/links"
    links = airflow.api("GET", f"{path}?map_index={task['map_index']}")["extra_links"]
    assert links["Snapshot in S3"].startswith(
        f"https://console.aws.amazon.com/s3/buckets/{s3_server.bucket}?prefix=live/raw/vendor%3Dlangdock/"
    )


def test_the_streams_assets_have_an_event_for_each_day(airflow):
    events = airflow.api("GET", "/api/v2/assets/events?limit=100")["asset_events"]
    days = {(event["extra"]["vendor"], event["extra"]["usage_date"]) for event in events}
    assert days == {(vendor, day.isoformat()) for vendor in ("keywordsai", "langdock") for day in DAYS}


def test_the_provider_and_its_connection_forms_are_known_to_the_api(airflow):
    providers = airflow.api("GET", "/api/v2/providers?limit=200")["providers"]
    assert "airflow-usage-provider" in {provider["package_name"] for provider in providers}


def test_tables_are_built_of_what_was_archived(airflow, s3_server):
    airflow.api("PATCH", "/api/v2/dags/usage_tables", {"is_paused": False})
    airflow.api("POST", "/api/v2/dags/usage_tables/dagRuns", {"logical_date": None})
    await_runs(airflow, 1, ["usage_tables"])
    client = s3_server.client()
    listing = client.list_objects_v2(Bucket=s3_server.bucket, Prefix="live/tables/current/")["Contents"]
    tables = {entry["Key"].removeprefix("live/tables/current/").partition("/")[0] for entry in listing}
    assert tables >= {"keywordsai_users", "langdock_api_keys"}


@pytest.mark.skipif("EXAMPLES" not in os.environ, reason="make test builds the wheels of the examples")
def test_packages_of_others_are_found_by_their_entry_points_and_archive_beside_ours(airflow, s3_server):
    providers = airflow.api("GET", "/api/v2/providers?limit=200")["providers"]
    assert {f"airflow-usage-{name}" for name in EXAMPLES} <= {each["package_name"] for each in providers}
    archive_days(airflow, DAYS[-1:], [f"{name}_usage_daily" for name in EXAMPLES])
    client = s3_server.client()
    for name, streams in EXAMPLES.items():
        listing = client.list_objects_v2(Bucket=s3_server.bucket, Prefix=f"live/raw/vendor={name}/account=acme/")
        keys = [entry["Key"] for entry in listing["Contents"] if entry["Key"].endswith("/_manifest.json")]
        assert {key.split("stream=")[1].split("/")[0] for key in keys} == streams
        for key in keys:
            manifest = json.loads(client.get_object(Bucket=s3_server.bucket, Key=key)["Body"].read())
            assert manifest["rows"] > 0
            assert manifest["schema"]["identity"]
            assert manifest["window_returned"]
