"""Runs of an Airflow that was started here: ordered by its API, watched, and explained where one fails."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sandbox.airflow_standalone import AirflowStandalone, ApiError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

DAG_IDS = ("keywordsai_users_daily", "langdock_usage_daily")
CLOSE = "usage_month_close"
TIME_LIMIT = 600.0  # seconds for runs
FAILED = ("failed", "up_for_retry")
ENTRY = re.compile(r"\[?\d{4}-\d\d-\d\d[T ]|[A-Z]+: ")  # how a line begins that does not continue the one before
ERROR = re.compile(r"\[(error|critical) |\b(ERROR|CRITICAL)( - |: )")
STARTED = time.monotonic()


class DemoError(Exception):
    """The demo cannot go on; the message is for the person who runs it."""


def say(text: str) -> None:
    """Print a line with the seconds since the start."""
    print(f"[{time.monotonic() - STARTED:5.1f} s] {text}", flush=True)


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
