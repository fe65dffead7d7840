"""A backfill over an Airflow that has run nothing yet, and a run in which one account fails, in real Airflow."""

from __future__ import annotations

import json
import time
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from sandbox.airflow_standalone import AirflowStandalone
from sandbox.demo import describe_environment
from sandbox.runs import archive_days, await_dags, change

pytestmark = [pytest.mark.live, pytest.mark.timeout(900)]
DAYS = [(datetime.now(UTC) - timedelta(days=back)).date() for back in range(30, 0, -1)]
ACCOUNT = "Müller GmbH"
ENDED = ("success", "failed")


@pytest.fixture(scope="module")
def airflow(running_sandbox, s3_server, tmp_path_factory):
    environment = describe_environment(running_sandbox, s3_server)
    langdock = json.loads(environment["AIRFLOW_CONN_LANGDOCK_DEFAULT"])
    environment |= {
        "AIRFLOW_CONN_LANGDOCK_TWO": json.dumps({**langdock, "extra": {**langdock["extra"], "account": ACCOUNT}}),
        "AIRFLOW_CONN_LANGDOCK_BROKEN": json.dumps({**langdock, "password": "nonsense"}),
        "AIRFLOW__USAGE_PROVIDER__ARCHIVE_URL": f"s3://{s3_server.bucket}/backfill",
        "AIRFLOW__USAGE_PROVIDER__LANGDOCK_CONN_IDS": "langdock_broken,langdock_two,langdock_default",
        "AIRFLOW__USAGE_PROVIDER__LANGDOCK_STREAMS": "api_keys",
        "AIRFLOW__USAGE_PROVIDER__LOOKBACK_DAYS": "0",
    }
    with AirflowStandalone(tmp_path_factory.mktemp("backfill"), env=environment) as server:
        await_dags(server)
        yield server


def events_of(airflow, vendor):
    path = "/api/v2/assets/events?limit=100&order_by=timestamp"
    told = [event["extra"] for event in airflow.api("GET", path)["asset_events"]]
    return [extra for extra in told if extra["vendor"] == vendor]


def test_thirty_days_over_an_empty_airflow_end_green_with_an_event_each(airflow):
    archive_days(airflow, DAYS, ["keywordsai_users_daily"])
    path = "/api/v2/dags/keywordsai_users_daily/dagRuns"
    assert Counter(run["state"] for run in airflow.api("GET", path)["dag_runs"]) == {"success": 30}
    tasks = airflow.api("GET", f"{path}/~/taskInstances?limit=1000")["task_instances"]
    assert {(task["state"], task["try_number"]) for task in tasks if task["task_id"] != "complete"} == {("success", 1)}
    days = [extra["usage_date"] for extra in events_of(airflow, "keywordsai")]
    assert sorted(days) == [str(day) for day in DAYS]


def test_a_run_in_which_an_account_fails_ends_as_failed_and_tells_of_the_others(airflow):
    dag = "/api/v2/dags/langdock_usage_daily"
    day = str(DAYS[0])
    change(
        airflow, "POST", f"{dag}/dagRuns", {"dag_run_id": "by_hand", "logical_date": None, "conf": {"usage_date": day}}
    )
    change(airflow, "PATCH", dag, {"is_paused": False})
    deadline = time.monotonic() + 300
    while (state := airflow.api("GET", f"{dag}/dagRuns/by_hand")["state"]) not in ENDED:
        assert time.monotonic() < deadline, state
        time.sleep(1)
    assert state == "failed"
    tasks = airflow.api("GET", f"{dag}/dagRuns/by_hand/taskInstances?limit=100")["task_instances"]
    states = {(task["task_id"], task["map_index"]): task["state"] for task in tasks}
    assert states["tell", -1] == "success"
    assert states["complete", -1] == "upstream_failed"
    assert [states["api_keys.archive_export", index] for index in range(3)] == ["upstream_failed", "success", "success"]
    told = [
        (extra["account"], extra["stream"]) for extra in events_of(airflow, "langdock") if extra["usage_date"] == day
    ]
    assert sorted(told) == [("Müller GmbH", "api_keys"), ("acme", "api_keys")]
