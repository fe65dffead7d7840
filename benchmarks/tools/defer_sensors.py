"""Puts waiting sensors into Airflow's database, as if a scheduler and workers had deferred them."""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from airflow.models.dag_version import DagVersion
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.taskinstance import TaskInstance
from airflow.models.trigger import Trigger
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState, TaskInstanceState
from airflow.utils.types import DagRunTriggeredByType, DagRunType

if TYPE_CHECKING:
    from airflow.triggers.base import BaseTrigger

_NEVER = datetime.now(UTC) + timedelta(days=30)


def _ours(number: int) -> BaseTrigger:
    from airflow_usage_provider.triggers.langdock import LangdockExportTrigger

    day = date(2000, 1, 1) + timedelta(days=number)
    return LangdockExportTrigger(
        langdock_conn_id="bench", stream="api_keys", usage_date=day.isoformat(), deadline=_NEVER.isoformat()
    )


def _airflows(number: int) -> BaseTrigger:
    from airflow.providers.http.triggers.http import HttpSensorTrigger

    return HttpSensorTrigger(endpoint=f"wait/{number}", http_conn_id="http_bench", method="GET", poke_interval=60.0)


def _sleeper(_: int) -> BaseTrigger:
    from airflow.providers.standard.triggers.temporal import DateTimeTrigger

    return DateTimeTrigger(_NEVER)


def defer(kind: str, count: int) -> None:
    """Make a run of the DAG ``waiting`` whose sensor is mapped ``count`` times, and defer all."""
    make = {"ours": _ours, "http": _airflows, "sleep": _sleeper}[kind]
    with create_session() as session:
        dag = SerializedDagModel.get_dag("waiting", session=session)
        version = DagVersion.get_latest_version("waiting", session=session)
        run = dag.create_dagrun(
            run_id="bench",
            run_after=datetime.now(UTC),
            run_type=DagRunType.MANUAL,
            triggered_by=DagRunTriggeredByType.TEST,
            state=DagRunState.RUNNING,
            session=session,
        )
        triggers = [Trigger.from_object(make(number)) for number in range(count)]
        session.add_all(triggers)
        session.flush()
        for number, trigger in enumerate(triggers):
            instance = TaskInstance(
                dag.get_task("wait"), dag_version_id=version.id, run_id=run.run_id, map_index=number
            )
            instance.state = TaskInstanceState.DEFERRED
            instance.start_date = datetime.now(UTC)
            instance.try_number = 1
            instance.next_method, instance.next_kwargs = "execute_complete", {}
            instance.trigger_id, instance.trigger_timeout = trigger.id, _NEVER
            session.add(instance)


if __name__ == "__main__":
    defer(sys.argv[1], int(sys.argv[2]))
