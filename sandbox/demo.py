"""The demo: real Airflow, a real S3 server, both vendors in the sandbox; three days archived, and closed as a month.

``python -m sandbox.demo`` shows what is in the archive afterwards and ends; with ``--ui`` weeks were archived before,
and Airflow stays up for a look at its pages.
Nothing of it survives: signals, failures and the normal end all stop every process it started.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import re
import shutil
import signal
import sys
import time
from collections import Counter
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import quote

from airflow_usage_provider.testing.s3 import S3Server
from sandbox.airflow_standalone import AirflowStandalone, ApiError
from sandbox.archive import ArchiveReader
from sandbox.server import Sandbox
from sandbox.tables import build_tables, show_tables

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import date

DAG_IDS = ("keywordsai_users_daily", "langdock_usage_daily")
CLOSE = "usage_month_close"
STREAMS = "api_keys,api_keys:model,models"
DAYS = 3
OWNERS = """vendor,principal,owner,cost_center
langdock,,Platform,4711
keywordsai,team/berlin/*,Berlin,4712
keywordsai,*@example.com,Sales,4713
"""
TIME_LIMIT = 600.0  # seconds for runs
FAILED = ("failed", "up_for_retry")
BUNDLES = [
    {"name": "dags-folder", "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle", "kwargs": {}},
    {"name": "usage", "classpath": "airflow_usage_provider.bundles.UsageDagBundle", "kwargs": {}},
]
ENTRY = re.compile(r"\[?\d{4}-\d\d-\d\d[T ]|[A-Z]+: ")  # how a line begins that does not continue the one before
ERROR = re.compile(r"\[(error|critical) |\b(ERROR|CRITICAL)( - |: )")
STARTED = time.monotonic()


class DemoError(Exception):
    """The demo cannot go on; the message is for the person who runs it."""


def say(text: str) -> None:
    """Print a line with the seconds since the start."""
    print(f"[{time.monotonic() - STARTED:5.1f} s] {text}", flush=True)


def describe_environment(vendors: Sandbox, s3: S3Server) -> dict[str, str]:
    """What a deployment has to set: the bundle, the archive, and three connections."""
    keywordsai = {
        "conn_type": "keywordsai",
        "host": vendors.url,
        "password": "sk-acme;revise_after=1",  # what was pulled once is revised, as vendors do
        "extra": {"account": "acme"},
    }
    langdock = {
        "conn_type": "langdock",
        "host": vendors.url,
        "password": "sk-acme;byok=1",
        "extra": {"account": "acme", "allow_insecure_download": True, "allow_private_download": True},
    }
    aws = {
        "conn_type": "aws",
        "login": s3.access_key,
        "password": s3.secret_key,
        "extra": {
            "endpoint_url": s3.endpoint_url,
            "region_name": "us-east-1",
            "config_kwargs": {"s3": {"addressing_style": "path"}},
        },
    }
    return {
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(BUNDLES),
        "AIRFLOW__USAGE_PROVIDER__ARCHIVE_URL": f"s3://{s3.bucket}/llm-usage",
        "AIRFLOW__USAGE_PROVIDER__LANGDOCK_STREAMS": STREAMS,
        "AIRFLOW__USAGE_PROVIDER__LOOKBACK_DAYS": "1",
        "AIRFLOW__USAGE_PROVIDER__SETTLE_HOURS": "0",
        "AIRFLOW_CONN_KEYWORDSAI_DEFAULT": json.dumps(keywordsai),
        "AIRFLOW_CONN_LANGDOCK_DEFAULT": json.dumps(langdock),
        "AIRFLOW_CONN_AWS_DEFAULT": json.dumps(aws),
    }


def await_dags(airflow: AirflowStandalone) -> None:
    """Return once both DAGs are parsed."""
    deadline = time.monotonic() + 90
    while not set(DAG_IDS) <= {dag["dag_id"] for dag in airflow.api("GET", "/api/v2/dags")["dags"]}:
        if time.monotonic() > deadline:
            errors = airflow.api("GET", "/api/v2/importErrors")["import_errors"]
            traces = "\n".join(error["stack_trace"] for error in errors)
            raise DemoError(f"The DAGs did not appear.\n{traces or tail(airflow.logs())}")
        time.sleep(0.5)


def switch_on(airflow: AirflowStandalone, dag_ids: Sequence[str] = DAG_IDS) -> None:
    """Unpause DAGs; each begins at once with a run for the latest day, unless that day has one."""
    for dag_id in dag_ids:
        change(airflow, "PATCH", f"/api/v2/dags/{dag_id}", {"is_paused": False})


def backfill(airflow: AirflowStandalone, days: list[date], dag_ids: Sequence[str] = DAG_IDS) -> None:
    """Order a run of DAGs for each of these days, which follow one another.

    Without ``run_on_latest_version`` Airflow 3.3 looks it up while its own audit line is pending, and locks SQLite
    against itself.
    """
    order = {
        "from_date": f"{days[0]}T00:00:00Z",
        "to_date": f"{days[-1]}T00:00:00Z",
        "max_active_runs": len(days),
        "run_on_latest_version": True,
    }
    for dag_id in dag_ids:
        change(airflow, "POST", "/api/v2/backfills", {"dag_id": dag_id, **order})


def archive_days(airflow: AirflowStandalone, days: list[date], dag_ids: Sequence[str] = DAG_IDS) -> None:
    """Backfill the days over an Airflow that has run nothing yet, and switch the DAGs on."""
    backfill(airflow, days, dag_ids)
    switch_on(airflow, dag_ids)
    await_runs(airflow, len(days), dag_ids)


def close_month(airflow: AirflowStandalone, month: str) -> dict[str, Any]:
    """Close the part of a month that is archived, and return what the close says of itself."""
    dag = f"/api/v2/dags/{CLOSE}"
    switch_on(airflow, [CLOSE])
    run = airflow.api("POST", f"{dag}/dagRuns", {"logical_date": None, "conf": {"month": month, "partial": True}})
    path = f"{dag}/dagRuns/{quote(run['dag_run_id'], safe='')}"
    deadline = time.monotonic() + TIME_LIMIT
    while (state := airflow.api("GET", path)["state"]) != "success":
        tasks = airflow.api("GET", f"{path}/taskInstances")["task_instances"]
        if failed := [task for task in tasks if task["state"] in FAILED]:
            raise DemoError(describe_failure(airflow, failed[0]))
        if state == "failed" or time.monotonic() > deadline:
            raise DemoError(f"The close of {month} ended as {state}.\n{tail(airflow.logs())}")
        time.sleep(0.5)
    told: dict[str, Any] = airflow.api("GET", f"{path}/taskInstances/report/xcomEntries/return_value")
    value = told["value"]
    return dict(json.loads(value) if isinstance(value, str) else value)


def change(airflow: AirflowStandalone, method: str, path: str, document: dict[str, Any]) -> None:
    """Call the API to change something, again for some minutes while others hold SQLite's only lock."""
    deadline = time.monotonic() + 240
    while True:
        try:
            airflow.api(method, path, document)
        except ApiError as error:
            if error.status < 500 or time.monotonic() > deadline:
                raise
            time.sleep(1)
        else:
            return


def await_runs(airflow: AirflowStandalone, count: int, dag_ids: Sequence[str] = DAG_IDS) -> None:
    """Return once the DAGs have so many runs, all of which succeeded; say whenever the counts change.

    :raises DemoError: a task failed, or it takes too long.
    """
    deadline = time.monotonic() + TIME_LIMIT
    shown: dict[str, str] = {}
    while True:
        runs_left = 0
        for dag_id in dag_ids:
            tasks = airflow.api("GET", f"/api/v2/dags/{dag_id}/dagRuns/~/taskInstances?limit=1000")["task_instances"]
            counts = describe_counts(tasks)
            if shown.get(dag_id) != counts:
                shown[dag_id] = counts
                say(f"{dag_id:<23} {counts}")
            if failed := [task for task in tasks if task["state"] in FAILED]:
                raise DemoError("\n\n".join(describe_failure(airflow, task) for task in failed[:3]))
            runs = airflow.api("GET", f"/api/v2/dags/{dag_id}/dagRuns?limit=100")["dag_runs"]
            runs_left += max(count, len(runs)) - sum(run["state"] == "success" for run in runs)
        if not runs_left:
            return
        if time.monotonic() > deadline:
            raise DemoError(f"Not done after {TIME_LIMIT:g} s.\n{tail(airflow.logs())}")
        time.sleep(1)


def describe_counts(tasks: list[dict[str, Any]]) -> str:
    """Count tasks by state: ``7 success, 2 running``."""
    counts = Counter(task["state"] or "waiting" for task in tasks)
    return ", ".join(f"{count} {state}" for state, count in sorted(counts.items())) or "no task yet"


def describe_failure(airflow: AirflowStandalone, task: dict[str, Any]) -> str:
    """Name a failed task, with the end of its log; without an error there, with the errors of Airflow's processes."""
    path = f"/api/v2/dags/{task['dag_id']}/dagRuns/{quote(task['dag_run_id'], safe='')}/taskInstances/{task['task_id']}"
    log = airflow.api("GET", f"{path}/logs/{task['try_number']}?map_index={task['map_index']}&full_content=true")
    lines = [
        f"{task['dag_id']}, run {task['dag_run_id']}: {task['task_id']}, map index {task['map_index']}, {task['state']}"
    ]
    lines.append("The end of its log:")
    entries = [entry for entry in log["content"] if entry.get("level")]
    for entry in entries[-25:]:
        lines.append(f"  {entry.get('timestamp') or '':<27.27} {entry['level']:<8} {entry['event']}")
        lines += [f"    {error['exc_type']}: {error['exc_value']}" for error in entry.get("error_detail") or ()]
    if not {"error", "critical"} & {entry["level"] for entry in entries}:  # not the task failed, but what runs it
        lines += ["It holds no error. Errors of Airflow's processes:", *find_errors(airflow.logs())[-40:]]
    return "\n".join(lines)


def find_errors(log: str) -> list[str]:
    """The errors in the log of ``airflow standalone``, each with the end of its traceback.

    Such as *Error updating Task Instance state* of the API server, which then sets a task that succeeded to failed.
    """
    components: dict[str, list[str]] = {}
    for line in log.splitlines():
        component, _, text = line.partition("|")
        components.setdefault(component.strip(), []).append(text.strip()[:300])
    found: list[str] = []
    for component, lines in components.items():
        starts = [number for number, line in enumerate(lines) if ENTRY.match(line)]
        for start, end in pairwise([*starts, len(lines)]):
            if ERROR.search(lines[start]):
                found += [f"  {component}: {line}" for line in [lines[start], *lines[start + 1 : end][-4:]]]
    return found


def tail(text: str, count: int = 30) -> str:
    """The last lines of a text."""
    return "\n".join(text.splitlines()[-count:])


def show_archive(reader: ArchiveReader) -> None:
    """Print the archive: its tree, one manifest, and the totals of each day."""
    print("\nThe archive: stream, day, snapshot, files with their size in bytes\n")
    show_tree(reader.list_sizes())
    current = {key: reader.read_manifest(key) for key in reader.find_current_manifests()}
    key = max(current, key=lambda each: current[each]["revision"])
    print(f"\nOne manifest, of revision {current[key]['revision']}\n\n{key}")
    print(json.dumps(current[key], indent=2, ensure_ascii=False))
    print("\nTotals, from the parts that each day's newest manifest names\n")
    print(
        f"{'day':<10}  {'vendor':<10}  {'stream':<17} {'revision':>8} {'rows':>6} {'requests':>10} {'cost (USD)':>16}"
    )
    for totals in map(reader.add_up, current.values()):
        print(
            f"{totals.day:<10}  {totals.vendor:<10}  {totals.stream:<17} {totals.revision:>8} {totals.rows:>6}"
            f" {totals.requests:>10} {totals.cost:>16.8f}"
        )
    print("\nStreams of one vendor show the same usage from several sides; their costs are not to be added up.")


def show_tree(sizes: dict[str, int]) -> None:
    """Print each stream with its days below, each day's snapshots with the size of their files in bytes."""
    snapshots: dict[str, dict[str, list[str]]] = {}
    for key, size in sorted(sizes.items()):
        stream, mark, rest = key.partition("/usage_date=")
        folder, _, name = rest.rpartition("/")
        snapshots.setdefault(stream, {}).setdefault(mark[1:] + folder, []).append(f"{name} {size}")
    for stream, folders in snapshots.items():
        print(f"{stream}/")
        for folder, files in folders.items():
            print(f"  {folder}/  {', '.join(files)}")


def stop_on_signals() -> None:
    """Make each signal that ends a program raise, once, so that what was started is stopped in order."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def stop(number: int, _frame: object) -> NoReturn:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise SystemExit(128 + number)

    for each in numbers:
        signal.signal(each, stop)


@contextmanager
def claim(home: Path) -> Iterator[None]:
    """Empty the demo's directory for this process alone.

    :raises DemoError: another demo has it.
    """
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoError(f"Another demo is running in {home}.") from None
        for name in ("airflow", "s3"):
            shutil.rmtree(home / name, ignore_errors=True)
        yield


def make_past(vendors: Sandbox, s3: S3Server, until: date) -> dict[str, str]:
    """Archive the days from the first of the month before, and return the settings of what else the pages show."""
    from airflow_usage_provider.testing.past import archive_past

    first = (until.replace(day=1) - timedelta(days=1)).replace(day=1)
    days = [first + timedelta(days=number) for number in range((until - first).days)]
    environment = describe_environment(vendors, s3)
    keys = {
        vendor: json.loads(environment[f"AIRFLOW_CONN_{vendor.upper()}_DEFAULT"])["password"]
        for vendor in ("keywordsai", "langdock")
    }
    client = s3.client()
    client.put_object(Bucket=s3.bucket, Key="owners.csv", Body=OWNERS.encode())
    count = archive_past(vendors.url, keys, client, environment["AIRFLOW__USAGE_PROVIDER__ARCHIVE_URL"], days)
    client.close()
    say(f"archived {len(days)} days before: {count} snapshots")
    return {
        "AIRFLOW__USAGE_PROVIDER__OWNERS_URL": f"s3://{s3.bucket}/owners.csv",
        "AIRFLOW__USAGE_PROVIDER__BUDGETS": "USD:150",
    }


def months_to_close(days: Sequence[date]) -> list[str]:
    """Return the months of the days, and the one before them, the latest first."""
    before = days[0].replace(day=1) - timedelta(days=1)
    return sorted({f"{day:%Y-%m}" for day in (before, *days)}, reverse=True)


def is_closed(s3: S3Server, month: str) -> bool:
    """Whether a month has a close."""
    closes = s3.client().list_objects_v2(Bucket=s3.bucket, Prefix=f"llm-usage/closes/{month}/")
    return any(entry["Key"].endswith("/close.json") for entry in closes.get("Contents", ()))


def run_demo(home: Path, *, ui: bool) -> None:
    """Start everything, archive, show, stop."""
    today = datetime.now(UTC).date()
    days = [today - timedelta(days=ago) for ago in range(DAYS, 0, -1)]
    with claim(home), Sandbox() as vendors, S3Server(data=home / "s3") as s3:
        say(f"vendors at {vendors.url}, downloads at {vendors.download_url}")
        say(f"S3 server: {s3.kind} at {s3.endpoint_url}, bucket {s3.bucket}")
        environment = describe_environment(vendors, s3) | (make_past(vendors, s3, days[0]) if ui else {})
        say("starting Airflow, about 15 seconds")
        with AirflowStandalone(home / "airflow", env=environment) as airflow:
            say(f"Airflow is healthy at {airflow.url}")
            await_dags(airflow)
            say(f"archiving {days[0]} to {days[-1]} by a backfill")
            archive_days(airflow, days)
            say("all runs succeeded")
            if not ui:
                show_archive(ArchiveReader(s3.client(), s3.bucket))
                show_tables(s3, "llm-usage")
            for month in months_to_close(days) if ui else [f"{days[-1]:%Y-%m}"]:
                if not is_closed(s3, month):  # switched on, the DAG closes the month before by itself
                    say(f"closing {month}, as much of it as there is")
                    closed = close_month(airflow, month)
                    say(f"closed: {', '.join(f'{name} {value}' for name, value in closed.items())}")
            if ui:
                say(build_tables(s3, f"s3://{s3.bucket}/llm-usage").splitlines()[-1])
                print(f"\nAirflow: {airflow.url}  user {airflow.username}  password {airflow.password}")
                print(f"What was spent, and what is archived: {airflow.url}/plugin/llm-usage")
                print(f"S3: {s3.endpoint_url}  access key {s3.access_key}  secret key {s3.secret_key}")
                print("Ctrl-C stops everything.", flush=True)
                signal.pause()


def main(arguments: list[str] | None = None) -> int:
    """Run the demo; 0 when everything was archived."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.demo", description=__doc__)
    parser.add_argument(
        "--ui", action="store_true", help="with weeks of a past, and leave Airflow running until Ctrl-C"
    )
    parser.add_argument("--home", type=Path, default=Path(".demo"), help="where it writes (default %(default)s)")
    options = parser.parse_args(arguments)
    stop_on_signals()
    try:
        run_demo(options.home.absolute(), ui=options.ui)
    except (DemoError, RuntimeError) as error:
        print(f"\nThe demo failed: {error}", file=sys.stderr)
        return 1
    finally:
        say("everything stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
