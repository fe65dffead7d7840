"""The installed wheel in one version of Airflow, whichever ``noxfile.py`` made: what an upgrade of Airflow may break.

The DAGs come by the file in the DAG folder, as on a managed service without bundles; ``tests/live`` has the bundle.
"""

from __future__ import annotations

import json
import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sandbox.airflow_standalone import AirflowStandalone
from sandbox.archive import ArchiveReader
from sandbox.demo import BUNDLES, describe_environment
from sandbox.runs import DAG_IDS, await_dags, await_runs, switch_on

pytestmark = [pytest.mark.live, pytest.mark.timeout(400)]
PAGE = (Path(__file__).parents[2] / "docs/deployment/managed.md").read_text()
ACCOUNT = "Müller GmbH"  # asset names are ASCII up to Airflow 3.0, and on MySQL
YESTERDAY = (datetime.now(UTC) - timedelta(days=1)).date().isoformat()


@pytest.fixture(scope="module")
def airflow(running_sandbox, s3_server, tmp_path_factory):
    """Airflow after the run that each DAG begins with when it is switched on; the export is not ready at once."""
    if "AIRFLOW_PYTHON" not in os.environ:
        pytest.skip("noxfile.py says which Airflow: make matrix, or make test for the oldest")
    home = tmp_path_factory.mktemp("version")
    (home / "dags").mkdir()
    (shim,) = re.findall(r"```python\n(# usage_dags.py: .*?)```", PAGE, re.DOTALL)
    (home / "dags" / "usage.py").write_text(shim)
    environment = describe_environment(running_sandbox, s3_server)
    langdock = json.loads(environment["AIRFLOW_CONN_LANGDOCK_DEFAULT"])
    langdock["password"] = "sk-acme;ready_after_requests=1"
    langdock["extra"]["account"] = ACCOUNT
    environment |= {
        "AIRFLOW_CONN_LANGDOCK_DEFAULT": json.dumps(langdock),
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(BUNDLES[:1]),
        "AIRFLOW__USAGE_PROVIDER__LANGDOCK_STREAMS": "api_keys",
        "AIRFLOW__USAGE_PROVIDER__LOOKBACK_DAYS": "0",
    }
    with AirflowStandalone(home, env=environment, python=os.environ["AIRFLOW_PYTHON"]) as server:
        await_dags(server)
        switch_on(server)
        await_runs(server, 1)
        yield server


def test_it_is_the_version_that_was_asked_for(airflow):
    assert airflow.api("GET", "/api/v2/version")["version"] == os.environ["AIRFLOW_VERSION"]


def test_the_provider_is_listed_with_its_connection_types(airflow):
    providers = airflow.run("providers", "list", "--output", "json")
    assert "airflow-usage-provider" in {provider["package_name"] for provider in json.loads(providers.stdout)}
    types = {kind["connection_type"]: kind for kind in airflow.api("GET", "/ui/connections/hook_meta")}
    assert (types["keywordsai"]["hook_name"], types["langdock"]["hook_name"]) == ("Keywords AI", "Langdock")
    if os.environ["AIRFLOW_VERSION"] >= "3.2":  # older ones have forms of their own only where WTForms is installed
        assert types["keywordsai"]["standard_fields"]["password"]["title"] == "API key"
        assert "allow_private_download" in types["langdock"]["extra_fields"]


def test_the_file_in_the_dag_folder_is_all_that_is_parsed_and_without_errors(airflow):
    assert airflow.api("GET", "/api/v2/importErrors")["import_errors"] == []
    dags = airflow.api("GET", "/api/v2/dags")["dags"]
    assert {dag["dag_id"] for dag in dags} == set(DAG_IDS)
    assert {Path(dag["fileloc"]).name for dag in dags} == {"usage.py"}


@pytest.mark.parametrize("dag_id", DAG_IDS)
def test_every_task_succeeded(airflow, dag_id):
    tasks = airflow.api("GET", f"/api/v2/dags/{dag_id}/dagRuns/~/taskInstances")["task_instances"]
    assert {task["state"] for task in tasks} == {"success"}
    assert {task["map_index"] for task in tasks if "." in task["task_id"]} == {0}


def test_the_sensor_waited_in_the_triggerer(airflow):
    logs = "\n".join(path.read_text() for path in Path(airflow.home, "logs").rglob("*wait_for_export*/**/*.log*"))
    assert logs.count("Pausing task as DEFERRED") == 1
    assert "The export api_keys of" in logs


def test_each_vendors_day_is_archived_and_told(airflow, s3_server):
    reader = ArchiveReader(s3_server.client(), s3_server.bucket)
    manifests = [reader.read_manifest(key) for key in reader.find_current_manifests()]
    told = {(manifest["vendor"], manifest["stream"], manifest["usage_date"]) for manifest in manifests}
    assert told == {("keywordsai", "users", YESTERDAY), ("langdock", "api_keys", YESTERDAY)}
    assert all(reader.add_up(manifest).rows == manifest["rows"] > 0 for manifest in manifests)
    events = airflow.api("GET", "/api/v2/assets/events")["asset_events"]
    assert {tuple(event["extra"][name] for name in ("vendor", "stream", "usage_date")) for event in events} == told
    assert {event["extra"]["account"] for event in events} == {"acme", ACCOUNT}
    assert {event["name"] for event in events} == {"keywordsai/acme/users", "langdock/M%C3%BCller%20GmbH/api_keys"}
