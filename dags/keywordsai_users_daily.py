"""
### Keywords AI users, every day

Archives the users of every configured Keywords AI account, with their usage and cost, to S3: the day before, and the
days before that again, as the vendor revises them.

- **Before it is switched on:** the settings of [usage_provider], archive_url above all, and one connection of type
  Keywords AI for each account, named in keywordsai_conn_ids.
- **One day by hand:** trigger it with the param usage_date.
- **Many days:** a backfill. What is archived already is kept, whatever runs again.
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
from airflow_usage_provider.operators.keywordsai import KeywordsAIUsersToS3Operator

POOL = conf.get("usage_provider", "keywordsai_pool", fallback="default_pool")

with DAG(
    dag_id="keywordsai_users_daily",
    description="Archives Keywords AI users with usage and cost to S3",
    doc_md=__doc__,
    schedule=CronDataIntervalTimetable("0 0 * * *", timezone="UTC"),
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=3,
    is_paused_upon_creation=True,
    default_args={"owner": "airflow-usage-provider", "retries": 3, "retry_delay": timedelta(minutes=5)},
    params={
        "usage_date": Param(
            None,
            type=["null", "string"],
            format="date",
            description="The day to archive. Left empty: the day before the run's date.",
        )
    },
    tags=["usage", "keywordsai"],
) as dag:

    @task
    def plan(**context: Any) -> list[dict[str, Any]]:
        """Read the configuration: which accounts, which day, and when that day has settled."""
        from airflow_usage_provider.configuration import plan_keywordsai, plan_settled_at, plan_window

        try:
            window = plan_window(context)
            context["ti"].xcom_push("settled_at", plan_settled_at(window).isoformat())
            return plan_keywordsai(window)
        except FatalError as error:
            raise AirflowFailException(str(error)) from None

    @task_group
    def account(
        archive_url: str, aws_conn_id: str, usage_date: str, timezone: str, lookback_days: int, keywordsai_conn_id: str
    ) -> None:
        """Archive one account."""
        KeywordsAIUsersToS3Operator(
            task_id="archive_users",
            archive_url=archive_url,
            aws_conn_id=aws_conn_id,
            usage_date=usage_date,
            timezone=timezone,
            lookback_days=lookback_days,
            keywordsai_conn_id=keywordsai_conn_id,
            pool=POOL,
            map_index_template="{{ ti.task.keywordsai_conn_id }}",
        )

    targets = plan()
    wait_until_settled = DateTimeSensor(  # not the async one: it defers even for a moment that is past, and a trigger
        task_id="wait_until_settled",  # that fires before the scheduler has seen its task defer makes that task fail
        mode="reschedule",
        poke_interval=600,
        target_time="{{ ti.xcom_pull(task_ids='plan', key='settled_at') }}",
    )
    targets >> wait_until_settled >> account.expand_kwargs(targets)
