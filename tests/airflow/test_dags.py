from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path

import airflow
import pytest

from airflow_usage_provider.bundles import UsageDagBundle

DAY = (datetime.now(UTC) - timedelta(days=2)).date()
STREAMS = ["agents", "api_keys", "api_keys_by_model", "models", "projects", "users"]
TASKS = {
    "keywordsai_users_daily": ["complete", "plan", "tell", "users.archive_users", "wait_until_settled"],
    "langdock_usage_daily": sorted(
        [
            *(f"{stream}.{task}" for stream in STREAMS for task in ("archive_export", "wait_for_export")),
            *("complete", "plan", "tell", "wait_until_settled"),
        ]
    ),
}
GROUPS = {"keywordsai_users_daily": ["users"], "langdock_usage_daily": STREAMS}
ALIASES = {"keywordsai_users_daily": "keywordsai_usage", "langdock_usage_daily": "langdock_usage"}


@pytest.fixture(scope="module")
def dags():
    """The bundled DAGs, as the bundle serves them."""
    folder = UsageDagBundle(name="usage").path
    sys.path.insert(0, str(folder))
    try:
        return {name: __import__(name).dag for name in TASKS}
    finally:
        sys.path.remove(str(folder))


@pytest.fixture
def configure(monkeypatch, archive_url):
    def _configure(**options: str) -> None:
        defaults = {
            "archive_url": archive_url,
            "settle_hours": "0",
            "lookback_days": "0",
            "langdock_streams": "api_keys",
        }
        for name, value in {**defaults, **options}.items():
            monkeypatch.setenv(f"AIRFLOW__USAGE_PROVIDER__{name.upper()}", value)

    return _configure


def run(dag, **kwargs):
    dag_run = dag.test(logical_date=datetime.combine(DAY, datetime.min.time(), UTC) + timedelta(days=1), **kwargs)
    return dag_run.state, {(ti.task_id, ti.map_index): ti.state for ti in dag_run.get_task_instances()}


def list_layout(objects):
    """The keys of an archive, without what differs from snapshot to snapshot."""
    return sorted(re.sub(r"(?<=/snapshot=)\d{8}T\d{6}Z-[0-9a-f]{8}(?=/)", "ID", key) for key in objects())


def test_ids_of_dags_tasks_groups_and_aliases_are_a_promise(dags):
    assert {name: sorted(dag.task_ids) for name, dag in dags.items()} == TASKS
    assert {name: dag.dag_id for name, dag in dags.items()} == {name: name for name in TASKS}
    for name, dag in dags.items():
        groups = {group.group_id for task in dag.tasks for group in task.iter_mapped_task_groups()}
        assert sorted(groups) == GROUPS[name]
        outlets = {(task.task_id, outlet.name) for task in dag.tasks for outlet in task.outlets}
        assert outlets == {("tell", ALIASES[name])}


@pytest.mark.parametrize("name", TASKS)
def test_a_run_is_judged_by_one_last_task_that_follows_every_archive(dags, name):
    dag = dags[name]
    (last,) = dag.leaves
    assert (last.task_id, last.trigger_rule) == ("complete", "all_success")
    archives = {task.task_id for task in dag.tasks if ".archive" in task.task_id}
    assert last.upstream_task_ids == {*archives, "tell"}
    tell = dag.get_task("tell")
    assert (tell.upstream_task_ids, tell.trigger_rule, tell.max_active_tis_per_dag) == (archives, "all_done", 1)


@pytest.mark.parametrize("name", TASKS)
def test_no_task_may_run_for_ever(dags, name):
    waiting = {"wait_until_settled", "complete"}  # reschedules, and is none
    bounded = [task for task in dags[name].tasks if task.task_id not in waiting and "wait_for" not in task.task_id]
    assert all(task.execution_timeout for task in bounded)
    sensors = [task for task in dags[name].tasks if "wait_for" in task.task_id]
    assert {task.timeout for task in sensors} <= {6 * 3600}


@pytest.mark.parametrize("name", TASKS)
def test_a_bundled_dag_is_paused_tagged_owned_and_explained(dags, name):
    dag = dags[name]
    assert dag.is_paused_upon_creation
    assert "usage" in dag.tags
    assert dag.doc_md.strip().startswith("###")
    assert not dag.catchup
    assert dag.timetable.summary == "0 0 * * *"
    assert {task.owner for task in dag.tasks} == {"airflow-usage-provider"}
    assert dag.params.dump() == {"usage_date": None}


@pytest.mark.parametrize("name", TASKS)
def test_tasks_that_ask_the_vendor_run_in_its_pool(name):
    vendor = name.partition("_")[0]
    folder = UsageDagBundle(name="usage").path
    code = f"import sys; sys.path.insert(0, {str(folder)!r}); import {name} as m\n"
    code += "print(*sorted(task.task_id for task in m.dag.tasks if task.pool == 'ours'))"
    env = {**os.environ, f"AIRFLOW__USAGE_PROVIDER__{vendor.upper()}_POOL": "ours"}
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True)
    last = answer.stdout.splitlines()[-1]  # Airflow 3.0 logs to standard output too
    assert last.split() == [task for task in TASKS[name] if "." in task]


@pytest.mark.parametrize(
    ("streams", "groups"),
    [
        ("workflows", ["workflows"]),
        ("models:source, models:deployment,models:source", ["models_by_deployment", "models_by_source"]),
        ("invoices", ["invoices"]),  # the run says that there is no such stream
        ("api keys,,../x", ["langdock"]),
        ("api_keys:model,api_keys_by_model", ["api_keys_by_model"]),
    ],
)
def test_a_group_is_named_after_its_stream_and_a_wrong_one_does_not_keep_the_dag_away(streams, groups):
    folder = UsageDagBundle(name="usage").path
    code = f"import sys; sys.path.insert(0, {str(folder)!r}); import langdock_usage_daily as m\n"
    code += "print(*sorted({task.split('.')[0] for task in m.dag.task_ids if '.' in task}))"
    env = {**os.environ, "AIRFLOW__USAGE_PROVIDER__LANGDOCK_STREAMS": streams}
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True)
    assert answer.stdout.splitlines()[-1].split() == groups


@pytest.mark.parametrize("name", TASKS)
def test_parsing_does_without_servers_and_a_valid_configuration_and_imports_nothing_heavy(name):
    folder = UsageDagBundle(name="usage").path
    code = f"""
import socket, sys, airflow.sdk, airflow.timetables.interval, airflow.providers.standard.sensors.date_time
def refuse(*_): raise AssertionError("a socket while parsing")
socket.socket.connect = refuse
before = set(sys.modules)
sys.path.insert(0, {str(folder)!r})
import {name}
print({{'requests', 'boto3', 'pandas', 'pyarrow', 'numpy'}} & (set(sys.modules) - before))
"""
    env = {**os.environ, "AIRFLOW__USAGE_PROVIDER__LOOKBACK_DAYS": "nonsense"}
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True)
    assert answer.stdout.splitlines()[-1] == "set()"


def test_the_bundle_serves_the_packaged_files_and_the_package_exports_the_dags():
    folder = UsageDagBundle(name="usage").path
    assert {path.stem for path in folder.glob("*.py")} >= set(TASKS)
    packaged = Path(str(resources.files("airflow_usage_provider"))) / "dags"
    if not packaged.is_dir():
        pytest.skip("a source checkout has its DAGs beside the package")
    code = "from airflow_usage_provider.dags.langdock_usage_daily import dag; print(dag.dag_id)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.split()[-1] == "langdock_usage_daily"


def test_the_users_dag_archives_the_day_of_its_interval(airflow_database, dags, connect_vendors, configure, objects):
    connect_vendors()
    configure(lookback_days="1")
    state, tasks = run(dags["keywordsai_users_daily"])
    assert state == "success"
    assert set(tasks.values()) == {"success"}
    assert list_layout(objects) == [
        f"raw/vendor=keywordsai/account=acme/stream=users/usage_date={day}/snapshot=ID/{name}"
        for day in (DAY - timedelta(days=1), DAY)
        for name in ("_manifest.json", "part-00000.jsonl.gz")
    ]


def test_every_snapshot_is_written_with_the_arguments_of_the_configuration(
    airflow_database, dags, connect_vendors, configure, objects, archive_url, s3_server
):
    connect_vendors()
    configure(s3_extra_args='{"Metadata": {"team": "data"}}')
    state, _ = run(dags["keywordsai_users_daily"])
    assert state == "success"
    client, prefix = s3_server.client(), archive_url.removeprefix(f"s3://{s3_server.bucket}/")
    heads = [client.head_object(Bucket=s3_server.bucket, Key=f"{prefix}/{key}") for key in objects()]
    assert [head["Metadata"].get("team") for head in heads] == ["data", "data"]


def test_the_usage_dag_archives_every_stream_of_every_account(
    airflow_database, dags, connect_vendors, configure, set_connection, sandbox, objects
):
    connect_vendors()
    downloads = {"allow_insecure_download": True, "allow_private_download": True}
    set_connection("langdock_berlin", conn_type="langdock", host=sandbox.url, password="sk-berlin", extra=downloads)
    configure(langdock_conn_ids="langdock_default,langdock_berlin")
    state, tasks = run(dags["langdock_usage_daily"])
    assert state == "success"
    assert sum(task.endswith(".archive_export") for task, _ in tasks) == 12
    assert list_layout(objects) == [
        f"raw/vendor=langdock/account={account}/stream={stream}/usage_date={DAY}/snapshot=ID/{name}"
        for account in ("acme", "langdock_berlin")
        for stream in STREAMS
        for name in ("_manifest.json", "part-00000.csv.gz")
    ]


def test_one_failing_account_does_not_stop_the_others(
    airflow_database, dags, connect_vendors, configure, set_connection, sandbox, objects
):
    connect_vendors()
    set_connection("langdock_berlin", conn_type="langdock", host=sandbox.url, password="nonsense")
    configure(langdock_conn_ids="langdock_berlin,langdock_default")
    state, tasks = run(dags["langdock_usage_daily"])
    assert state == "failed"
    assert tasks["api_keys.wait_for_export", 0] == "failed"
    assert tasks["api_keys.archive_export", 1] == tasks["tell", -1] == "success"
    assert tasks["complete", -1] == "upstream_failed"
    assert any("/account=acme/" in key for key in objects())


def test_a_day_given_by_hand_is_archived_in_place_of_the_runs(
    airflow_database, dags, connect_vendors, configure, objects, monkeypatch
):
    connect_vendors()
    configure()
    monkeypatch.syspath_prepend(UsageDagBundle(name="usage").path)
    wanted = (DAY - timedelta(days=20)).isoformat()
    dag = importlib.reload(sys.modules["keywordsai_users_daily"]).dag  # dag.test writes the run's params into the DAG
    state, _ = run(dag, run_conf={"usage_date": wanted})
    assert state == "success"
    assert {key.split("usage_date=")[1][:10] for key in objects()} == {wanted}


def test_the_stream_asset_gets_an_event_with_the_summary(
    airflow_database, dags, connect_vendors, configure, archive_url
):
    from airflow.models.asset import AssetEvent, AssetModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    connect_vendors()
    configure()
    run(dags["keywordsai_users_daily"])
    with create_session() as session:
        found = session.execute(
            select(AssetModel.name, AssetModel.uri, AssetEvent.extra)
            .join(AssetEvent, AssetEvent.asset_id == AssetModel.id)
            .where(AssetModel.uri.startswith(archive_url))
        ).all()
    ((name, uri, extra),) = found
    assert name == "keywordsai/acme/users"
    assert uri == f"{archive_url}/raw/vendor=keywordsai/account=acme/stream=users"
    assert extra["stream"] == "users"
    assert (extra["usage_date"], extra["revision"]) == (DAY.isoformat(), 1)
    (day,) = json.loads(extra.pop("snapshots"))
    assert day == extra
    assert {type(value) for value in extra.values()} <= {str, int, bool}  # all that Airflow 3.0 takes
    assert "sk-acme" not in json.dumps(extra)


def test_a_revised_day_says_in_its_event_how_much_it_differs(
    airflow_database, dags, connect_vendors, configure, archive_url
):
    from airflow.models.asset import AssetEvent, AssetModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    configure()
    for users in (40, 37):
        connect_vendors(f"sk-acme;users={users}")
        run(dags["keywordsai_users_daily"])
    with create_session() as session:
        extras = session.scalars(
            select(AssetEvent.extra)
            .join(AssetModel, AssetEvent.asset_id == AssetModel.id)
            .where(AssetModel.uri.startswith(archive_url))
            .order_by(AssetEvent.id)
        ).all()
    first, second = extras
    assert "rows_difference" not in first
    assert (second["revision"], second["rows_difference"]) == (2, -3)
    assert second["bytes_difference"] == second["bytes"] - first["bytes"] < 0


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"archive_url": ""}, "[usage_provider] archive_url is not set. Set it in airflow.cfg"),
        ({"lookback_days": "week"}, "[usage_provider] lookback_days is 'week'. Set a number, 0 or more."),
        ({"timezone": "Mars"}, "Unknown time zone 'Mars'."),
        (
            {"keywordsai_conn_ids": " , ", "langdock_conn_ids": " , "},
            "_conn_ids names nothing. Name at least one.",
        ),
    ],
)  # fmt: skip
def test_a_wrong_configuration_fails_the_first_task_with_one_sentence(
    airflow_database, dags, connect_vendors, configure, capfd, name, options, sentence
):
    connect_vendors()
    configure(**options)
    state, tasks = run(dags[name])
    assert state == "failed"
    assert tasks["plan", -1] == "failed"
    if airflow.__version__ >= "3.1":  # before, dag.test loses what a task logs after an XCom
        assert sentence in "".join(capfd.readouterr())
