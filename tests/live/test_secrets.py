"""No API key and no signed URL stays anywhere: canaries go through real Airflow at DEBUG, then everything is searched.

What Airflow's masker hides is not all there is to hide: it knows connection passwords as a whole, and no signed URL.
"""

from __future__ import annotations

import json
import re
import sqlite3
import time
from datetime import UTC, datetime, timedelta

import pytest

from sandbox.airflow_standalone import AirflowStandalone
from sandbox.canary import files, find_secrets, make_digits, objects, tables
from sandbox.demo import BUNDLES, describe_environment
from sandbox.server import Sandbox

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]
DAY = (datetime.now(UTC) - timedelta(days=2)).date().isoformat()

#: Task: what it runs, the switches of its key (``wrong``: no key at all), how it ends, and after how many tries.
TASKS = {
    "users": ("users", "", "success", 1),
    "users_retried": ("users", "error=500;error_times=5", "success", 2),
    "users_wrong_key": ("users", "wrong", "failed", 1),
    "users_html": ("users", "body=html", "failed", 2),
    "users_redirected": ("users", "redirect=other", "failed", 1),
    "export": ("export", "", "success", 1),
    "export_json": ("json", "", "success", 1),
    "export_stored": ("export", "byok=1", "success", 1),
    "export_cut_once": ("export", "download=cut;download_times=1", "success", 2),
    "export_cut": ("export", "download=cut_chunked", "failed", 2),
    "export_redirected": ("export", "download=redirect", "success", 1),
    "export_lost": ("export", "download=redirect_loop", "failed", 2),
    "export_html": ("export", "body=html", "failed", 2),
    "export_wrong_key": ("export", "wrong", "failed", 1),
    "export_public_only": ("export", "", "failed", 1),
    "wait": ("deferred", "ready_after_requests=2", "success", 1),
    "wait_too_long": ("deferred", "ready_after_requests=1000", "failed", 1),
    "poke": ("poke", "ready_after_requests=1", "success", 1),
    "poke_too_long": ("poke", "ready_after_requests=1000", "failed", 1),
    "poke_wrong_key": ("poke", "wrong", "failed", 1),
}
DAGS = f"""
from datetime import datetime, timedelta
from pathlib import Path
from airflow.sdk import DAG, BaseHook, task
from airflow_usage_provider.operators.keywordsai import KeywordsAIUsersToS3Operator
from airflow_usage_provider.operators.langdock import LangdockExportToS3Operator
from airflow_usage_provider.sensors.langdock import LangdockExportSensor

@task
def leak(ti=None):
    password = BaseHook.get_connection("leak").password
    Path(__file__).parent.with_name("leaked.txt").write_text(password)
    ti.xcom_push("leak", password)

with DAG("canaries", schedule=None, start_date=datetime(2026, 1, 1), is_paused_upon_creation=False) as dag:
    for name, (kind, *_) in {TASKS!r}.items():
        options = dict(task_id=name, usage_date="{{{{ '{DAY}' }}}}", retries=1, retry_delay=timedelta(seconds=1))
        if kind == "users":
            KeywordsAIUsersToS3Operator(keywordsai_conn_id=name, archive_url=f"s3://archive/{{name}}", **options)
        elif kind in ("export", "json"):
            LangdockExportToS3Operator(
                langdock_conn_id=name, archive_url=f"s3://archive/{{name}}",
                output_format="json" if kind == "json" else "csv", **options)
        else:
            LangdockExportSensor(
                langdock_conn_id=name, deferrable=kind == "deferred", poke_interval=4 if kind == "deferred" else 1,
                timeout=4 if name.endswith("too_long") else 60, **options)
    leak()
"""


class Stage:
    """What ran, and where to look afterwards."""

    def __init__(self, home, s3):
        self.home, self.s3 = home, s3
        self.key_canary, self.leak_canary = make_digits(), make_digits()
        self.answers: list[object] = []  # of the API
        self.triggers: set[str] = set()  # rows that live as long as a task is deferred

    def key(self, name):
        switches = TASKS[name][1]
        if switches == "wrong":
            return f"nope-{self.key_canary}"
        return ";".join(filter(None, [f"sk-{name}", f"latency=0.000000{self.key_canary}", switches]))

    def connection(self, name, template):
        extra = {**template["extra"], "account": "acme"}
        if name.endswith("public_only"):
            del extra["allow_private_download"]
        return {**template, "password": self.key(name), "extra": extra}

    def places(self):
        yield from files(self.home)
        yield from tables(self.home / "airflow.db")
        yield from objects(self.s3.client(), self.s3.bucket)
        yield "answers of the API", json.dumps(self.answers).encode()
        yield "trigger rows", "\n".join(self.triggers).encode()

    def watch(self, airflow):
        """Keep the rows of triggers, wait for the run's end, return its tasks."""
        deadline = time.monotonic() + 200
        while True:
            database = sqlite3.connect(f"file:{self.home}/airflow.db?mode=ro", uri=True, timeout=30)
            self.triggers |= {repr(row) for row in database.execute("SELECT * FROM trigger")}
            self.triggers |= {str(row) for row in database.execute("SELECT next_kwargs FROM task_instance")}
            database.close()
            (run,) = airflow.api("GET", "/api/v2/dags/canaries/dagRuns")["dag_runs"]
            if run["state"] in ("success", "failed"):
                return airflow.api("GET", "/api/v2/dags/canaries/dagRuns/~/taskInstances?limit=100")["task_instances"]
            assert time.monotonic() < deadline, "the run did not end in time"
            time.sleep(0.5)

    def test_connections(self, airflow, templates):
        """Test good and bad connections through the API; each with what its sentence must say."""
        for name, is_good in [("users", True), ("users_wrong_key", False), ("export", True), ("export_html", False)]:
            connection = self.connection(name, templates[name.split("_")[0]])
            connection |= {"connection_id": f"tested_{name}", "extra": json.dumps(connection["extra"])}
            answer = airflow.api("POST", "/api/v2/connections/test", connection)
            self.answers.append(answer)
            assert answer["status"] is is_good, answer["message"]


@pytest.fixture(scope="module")
def stage(s3_server, tmp_path_factory):
    """The home, the archive and the secrets after the run; Airflow has ended, so that all is written."""
    home = tmp_path_factory.mktemp("secrets")
    (home / "dags").mkdir()
    (home / "dags" / "canaries.py").write_text(DAGS)
    stage = Stage(home, s3_server)
    with Sandbox(signing_secret="of the canaries") as vendors:
        environment = describe_environment(vendors, s3_server)
        vendor_names = {"users": "KEYWORDSAI", "export": "LANGDOCK"}
        templates = {
            kind: json.loads(environment.pop(f"AIRFLOW_CONN_{name}_DEFAULT")) for kind, name in vendor_names.items()
        }
        for name in TASKS:
            connection = stage.connection(name, templates["users" if name.startswith("users") else "export"])
            environment[f"AIRFLOW_CONN_{name.upper()}"] = json.dumps(connection)
        stored = json.loads(environment.pop("AIRFLOW_CONN_EXPORT_STORED"))
        environment |= {
            "AIRFLOW_CONN_LEAK": json.dumps({"conn_type": "langdock", "password": f"nope-{stage.leak_canary}"}),
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(BUNDLES[:1]),
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "DEBUG",
            "AIRFLOW__LOGGING__CELERY_LOGGING_LEVEL": "DEBUG",
            "AIRFLOW__LOGGING__FAB_LOGGING_LEVEL": "DEBUG",
        }
        with AirflowStandalone(home, env=environment) as airflow:
            stored |= {"connection_id": "export_stored", "extra": json.dumps(stored["extra"])}
            stage.answers.append(airflow.api("POST", "/api/v2/connections", stored))
            deadline = time.monotonic() + 60
            while "canaries" not in {dag["dag_id"] for dag in airflow.api("GET", "/api/v2/dags")["dags"]}:
                assert time.monotonic() < deadline, airflow.api("GET", "/api/v2/importErrors")
                time.sleep(0.3)
            airflow.api("POST", "/api/v2/dags/canaries/dagRuns", {"logical_date": None})
            stage.test_connections(airflow, templates)
            stage.tasks = stage.watch(airflow)
            for path in ("connections", "dags/~/dagRuns/~/taskInstances/~/xcomEntries", "assets/events", "eventLogs"):
                stage.answers.append(airflow.api("GET", f"/api/v2/{path}?limit=1000"))
            stage.answers.append(stage.tasks)
        downloads = [request for request in vendors.requests if request.port_role == "download"]
    stage.signatures = {request.query["X-Sandbox-Signature"] for request in downloads if request.query}
    stage.tokens = {re.search(r"([0-9a-f]{16})\.csv$", request.path)[1] for request in downloads if request.query}
    return stage


def test_every_task_ended_as_it_should(stage):
    ends = {task["task_id"]: (task["state"], task["try_number"]) for task in stage.tasks}
    # A trigger that fires before the scheduler has seen the task defer makes Airflow try it again: no try is counted.
    ends |= {name: (ends[name][0], 1) for name, (kind, *_) in TASKS.items() if kind == "deferred"}
    assert ends == {name: tuple(end) for name, (_, _, *end) in TASKS.items()} | {"leak": ("success", 1)}


def test_no_api_key_is_anywhere(stage):
    assert find_secrets([stage.key_canary], stage.places()) == {}


def test_no_signed_url_is_anywhere(stage):
    assert len(stage.signatures) > 15
    assert len(stage.tokens) > 15
    assert find_secrets(stage.signatures | stage.tokens, stage.places()) == {}


def test_the_search_finds_what_a_task_leaks_and_nowhere_else(stage):
    found = find_secrets([stage.leak_canary], stage.places())
    places = {name.removesuffix("-wal") for name in found[stage.leak_canary]}
    # Airflow 3.3's supervisor prints every XCom it is sent at DEBUG, unmasked, to the scheduler's standard output.
    assert places - {"standalone.log"} == {"leaked.txt", "airflow.db", "table xcom"}


def test_the_places_that_were_searched_are_not_empty(stage):
    places = dict(stage.places())
    assert any("Trigger fired event" in data.decode(errors="replace") for name, data in places.items() if "log" in name)
    assert b"DEBUG" in places["standalone.log"] or b"debug" in places["standalone.log"]
    assert b"LangdockExportTrigger" in places["trigger rows"]
    assert b"tested" not in places["table connection"]
    assert b"export_stored" in places["table connection"]
    assert stage.answers[0]["connection_id"] == "export_stored"
    assert b"usage_date" in places["table rendered_task_instance_fields"]
    assert b"langdock" in places["table asset_event"]
    assert any(b"_manifest.json" in data and name.startswith("object users/") for name, data in places.items())
