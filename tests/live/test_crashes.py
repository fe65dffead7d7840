"""What is killed leaves one answer: SIGKILL at the worst moments, then Airflow's own retry."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from airflow_usage_provider.archive.keys import ArchiveLocation, Series
from airflow_usage_provider.archive.snapshot import ABANDONED_AFTER, Archive
from airflow_usage_provider.testing.s3 import S3Server, find_free_ports
from sandbox.airflow_standalone import AirflowStandalone
from sandbox.demo import describe_environment
from sandbox.gate import Gate

pytestmark = [pytest.mark.live, pytest.mark.timeout(400)]
DAY = (datetime.now(UTC) - timedelta(days=2)).date().isoformat()
ROWS = 300_000  # about 25 MB: three whole parts and a rest
SCENARIOS = ("create", "part", "complete", "before_manifest", "after_manifest", "s3_gone", "vendor_gone", "triggerer")
DAGS = f"""
from datetime import datetime, timedelta
from airflow.sdk import DAG
from airflow_usage_provider.operators.langdock import LangdockExportToS3Operator
from airflow_usage_provider.sensors.langdock import LangdockExportSensor

for name in {SCENARIOS!r}:
    retries = dict(retries=4, retry_delay=timedelta(seconds=1))
    with DAG(name, schedule=None, start_date=datetime(2026, 1, 1), is_paused_upon_creation=False) as dag:
        archive = LangdockExportToS3Operator(
            task_id="archive", archive_url=f"s3://archive/{{name}}", usage_date="{DAY}", compression="none", **retries)
        if name == "triggerer":
            LangdockExportSensor(
                task_id="wait", langdock_conn_id="langdock_slow", usage_date="{DAY}", deferrable=True,
                poke_interval=6, **retries) >> archive
    globals()[name] = dag
"""


class Vendor:
    """The sandbox as a process that can be killed and started again on its ports."""

    def __init__(self) -> None:
        self.ports = [str(port) for port in find_free_ports(2)]
        self.url = f"http://127.0.0.1:{self.ports[0]}"
        self.start()

    def start(self) -> None:
        command = ["--port", self.ports[0], "--download-port", self.ports[1], "--signing-secret", "s"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sandbox", *command], stdout=subprocess.PIPE, start_new_session=True, text=True
        )
        assert self.process.stdout.readline()  # it says when it serves

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    """Airflow, an S3 server behind a gate, and the vendors, all of which may be killed."""
    home = tmp_path_factory.mktemp("crash")
    vendor = Vendor()
    try:
        with S3Server() as s3, Gate(s3.endpoint_url) as gate:
            environment = describe_environment(vendor, s3)
            aws = json.loads(environment["AIRFLOW_CONN_AWS_DEFAULT"])
            aws["extra"]["endpoint_url"] = gate.url
            langdock = json.loads(environment["AIRFLOW_CONN_LANGDOCK_DEFAULT"])
            slow = {**langdock, "password": "sk-slow;ready_after_requests=2"}
            langdock["password"] = f"sk-acme;rows={ROWS}"
            environment |= {
                "AIRFLOW_CONN_AWS_DEFAULT": json.dumps(aws),
                "AIRFLOW_CONN_LANGDOCK_DEFAULT": json.dumps(langdock),
                "AIRFLOW_CONN_LANGDOCK_SLOW": json.dumps(slow),
                "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "4",
                "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "15",
                "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
                "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
            }
            (home / "dags").mkdir()
            (home / "dags" / "crashes.py").write_text(DAGS)
            with AirflowStandalone(home, env=environment) as airflow:
                await_true(
                    lambda: set(SCENARIOS) <= {dag["dag_id"] for dag in airflow.api("GET", "/api/v2/dags")["dags"]}
                )
                yield airflow, gate, s3, vendor
    finally:
        vendor.kill()


def await_true(condition, seconds=120.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.3)


def trigger(airflow, name):
    airflow.api("POST", f"/api/v2/dags/{name}/dagRuns", {"logical_date": None})


def kill_peer(hold):
    """Kill the process whose request is held: the task, and nothing else."""
    assert hold.reached.wait(90), "the request never came"
    (pid,) = {
        connection.pid
        for connection in psutil.net_connections("tcp4")
        if connection.raddr and (connection.laddr.port, connection.raddr.port) == hold.ports
    }
    os.kill(pid, signal.SIGKILL)
    hold.released.set()


def await_success(airflow, name):
    def is_done():
        (run,) = airflow.api("GET", f"/api/v2/dags/{name}/dagRuns")["dag_runs"]
        assert run["state"] != "failed"
        return run["state"] == "success"

    await_true(is_done, 150)
    path = f"/api/v2/dags/{name}/dagRuns/~/taskInstances?limit=10"
    return {task["task_id"]: task["try_number"] for task in airflow.api("GET", path)["task_instances"]}


def assert_one_answer(s3, name):
    """One manifest, whose part is there and whole; what a killed try left open goes with a run some hours later."""
    client = s3.client()
    keys = [entry["Key"] for entry in client.list_objects_v2(Bucket=s3.bucket, Prefix=f"{name}/")["Contents"]]
    (key,) = [key for key in keys if key.endswith("/_manifest.json")]
    manifest = json.loads(client.get_object(Bucket=s3.bucket, Key=key)["Body"].read())
    (part,) = manifest["files"]
    body = client.get_object(Bucket=s3.bucket, Key=part["key"])["Body"].read()
    assert hashlib.sha256(body).hexdigest() == part["sha256"]
    assert body.count(b"\n") - 1 == manifest["rows"]
    uploads = client.list_multipart_uploads(Bucket=s3.bucket, Prefix=f"{name}/").get("Uploads", [])
    assert not any(part["key"] == upload["Key"] for upload in uploads)
    later = datetime.now(UTC) + ABANDONED_AFTER + timedelta(minutes=1)
    archive = Archive(client=client, location=ArchiveLocation(s3.bucket, name), now=lambda: later)
    archive.sweep(Series(*(manifest[field] for field in ("vendor", "account", "stream"))))
    assert not client.list_multipart_uploads(Bucket=s3.bucket, Prefix=f"{name}/").get("Uploads")
    return manifest, keys


def put_manifest(name):
    return lambda method, target: method == "PUT" and f"/{name}/" in target and target.endswith("_manifest.json")


MOMENTS = {
    "create": (lambda method, target: method == "POST" and "/create/" in target and "?uploads" in target, False),
    "part": (lambda method, target: "/part/" in target and "partNumber=2" in target, False),
    "complete": (lambda method, target: method == "POST" and "/complete/" in target and "?uploadId=" in target, True),
    "before_manifest": (put_manifest("before_manifest"), False),
    "after_manifest": (put_manifest("after_manifest"), True),
}


@pytest.mark.parametrize("name", MOMENTS)
def test_a_task_that_is_killed_leaves_one_answer_after_its_retry(stage, name):
    airflow, gate, s3, _ = stage
    matches, answered = MOMENTS[name]
    hold = gate.hold(matches, answered=answered)
    trigger(airflow, name)
    kill_peer(hold)
    tries = await_success(airflow, name)
    assert tries["archive"] >= 2
    manifest, keys = assert_one_answer(s3, name)
    assert manifest["rows"] == ROWS
    assert manifest["airflow"]["try_number"] == (1 if name == "after_manifest" else tries["archive"])
    orphans = len(keys) - 2
    assert orphans == (1 if name in {"complete", "before_manifest"} else 0)  # a part that no manifest names


def test_an_s3_server_that_is_killed_mid_transfer_leaves_one_answer(stage):
    airflow, gate, s3, _ = stage
    hold = gate.hold(lambda _, target: "/s3_gone/" in target and "partNumber=2" in target)
    trigger(airflow, "s3_gone")
    assert hold.reached.wait(90)
    s3.kill()
    hold.released.set()
    s3.start()
    await_success(airflow, "s3_gone")
    assert_one_answer(s3, "s3_gone")


def test_a_vendor_that_is_killed_mid_transfer_leaves_one_answer(stage):
    airflow, gate, s3, vendor = stage
    hold = gate.hold(lambda _, target: "/vendor_gone/" in target and "partNumber=1" in target)
    trigger(airflow, "vendor_gone")
    assert hold.reached.wait(90)
    vendor.kill()
    hold.released.set()
    vendor.start()
    await_success(airflow, "vendor_gone")
    assert_one_answer(s3, "vendor_gone")


def test_a_triggerer_that_is_killed_while_waiting_is_replaced_and_the_sensor_ends(stage):
    airflow, _, s3, _ = stage
    trigger(airflow, "triggerer")
    path = "/api/v2/dags/triggerer/dagRuns/~/taskInstances?limit=10"
    await_true(
        lambda: any(
            task["state"] == "deferred" and (task["trigger"] or {}).get("id")
            for task in airflow.api("GET", path)["task_instances"]
        )
    )
    triggerers = [
        process
        for process in psutil.process_iter(["cmdline", "environ"])
        if "triggerer" in " ".join(process.info["cmdline"] or [])
        and (process.info["environ"] or {}).get("AIRFLOW_HOME") == str(airflow.home)
    ]
    assert triggerers
    for process in triggerers:
        process.kill()
    port = find_free_ports(1)[0]
    with Path(airflow.home, "second-triggerer.log").open("wb") as log:
        replacement = subprocess.Popen(
            [str(airflow.python), "-m", "airflow", "triggerer", "--skip-serve-logs"],
            env={**airflow.env, "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(port)},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        await_success(airflow, "triggerer")
        assert_one_answer(s3, "triggerer")
    finally:
        os.killpg(replacement.pid, signal.SIGKILL)
        replacement.wait()
