"""
### Langdock usage, every day

Archives every configured stream of every configured Langdock account to S3: the day before, and the days before that
again, as the vendor revises them. One stream or account that fails does not stop the others.

- **Before it is switched on:** the settings of [usage_provider], archive_url above all, and one connection of type
  Langdock for each account, named in langdock_conn_ids; the streams are in langdock_streams.
- **One day by hand:** trigger it with the param usage_date.
- **Many days:** a backfill, 12 months back at most. What is archived already is kept, whatever runs again.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.configuration import conf
from airflow.providers.standard.sensors.date_time import DateTimeSensor
from airflow.sdk import DAG, Param, task, task_group
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_usage_provider.compat import AirflowFailException
from airflow_usage_provider.exceptions import FatalError
from airflow_usage_provider.operators.langdock import LangdockExportToS3Operator
from airflow_usage_provider.sensors.langdock import LangdockExportSensor

POOL = conf.get("usage_provider", "langdock_pool", fallback="default_pool")
# Of a task among its like, in the UI. Airflow 3.0 renders the task of ``ti``, and not ``task`` itself.
NAME = "{{ ti.task.langdock_conn_id }} {{ [ti.task.stream, ti.task.group_by] | select | join(':') }}"

with DAG(
    dag_id="langdock_usage_daily",
    description="Archives Langdock usage exports to S3",
    doc_md=__doc__,
    schedule=CronDataIntervalTimetable("0 0 * * *", timezone="UTC"),
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=3,
    is_paused_upon_creation=True,
    default_args={
        "owner": "airflow-usage-provider",
        "retries": 3,
        "retry_delay": timedelta(minutes=5),
        "weight_rule": "upstream",  # a stream that is ready is archived before others are asked about
    },
    params={
        "usage_date": Param(
            None,
            type=["null", "string"],
            format="date",
            description="The day to archive. Left empty: the day before the run's date.",
        )
    },
    tags=["usage", "langdock"],
) as dag:

    @task
    def plan(**context: Any) -> list[dict[str, Any]]:
        """Read the configuration: which accounts and streams, which day, and when that day has settled."""
        from airflow_usage_provider.configuration import plan_langdock, plan_settled_at, plan_window

        try:
            window = plan_window(context)
            context["ti"].xcom_push("settled_at", plan_settled_at(window).isoformat())
            return plan_langdock(window)
        except FatalError as error:
            raise AirflowFailException(str(error)) from None

    @task_group
    def stream_of_account(
        archive_url: str,
        aws_conn_id: str,
        usage_date: str,
        timezone: str,
        lookback_days: int,
        langdock_conn_id: str,
        stream: str,
        group_by: str | None,
    ) -> None:
        """Archive one stream of one account."""
        export: dict[str, Any] = {
            "langdock_conn_id": langdock_conn_id,
            "stream": stream,
            "group_by": group_by,
            "usage_date": usage_date,
            "timezone": timezone,
            "pool": POOL,
            "map_index_template": NAME,
        }
        wait = LangdockExportSensor(
            task_id="wait_for_export", deferrable=True, poke_interval=30, timeout=6 * 60 * 60, **export
        )
        archive = LangdockExportToS3Operator(
            task_id="archive_export",
            archive_url=archive_url,
            aws_conn_id=aws_conn_id,
            lookback_days=lookback_days,
            **export,
        )
        wait >> archive

    targets = plan()
    wait_until_settled = DateTimeSensor(  # not the async one: it defers even for a moment that is past, and a trigger
        task_id="wait_until_settled",  # that fires before the scheduler has seen its task defer makes that task fail
        mode="reschedule",
        poke_interval=600,
        target_time="{{ ti.xcom_pull(task_ids='plan', key='settled_at') }}",
    )
    targets >> wait_until_settled >> stream_of_account.expand_kwargs(targets)
