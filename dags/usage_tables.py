"""
### Tables of usage and cost

Brings the Parquet tables up to date with the archive: current, history and snapshots of each stream, month and account.
Runs whenever something was archived, for the months it was archived of, and once a day for whatever lags behind.

- **Before it is switched on:** archive_url of [usage_provider], tables_url if the tables are not to lie below the
  archive, and pyarrow on the workers: airflow-usage-provider[tables].
- **By hand:** trigger it; with the param months, such as 2026-10 or 2026-09,2026-10, only those are looked at.
- **Nothing changed:** nothing is written, and no asset event is emitted.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import DAG, AssetAlias, Param, task
from airflow.timetables.assets import AssetOrTimeSchedule
from airflow.timetables.trigger import CronTriggerTimetable

from airflow_usage_provider.compat import AirflowFailException
from airflow_usage_provider.exceptions import FatalError
from airflow_usage_provider.operators.tables import ALIAS, UsageTablesOperator

with DAG(
    dag_id="usage_tables",
    description="Builds Parquet tables of the archive",
    doc_md=__doc__,
    schedule=AssetOrTimeSchedule(
        timetable=CronTriggerTimetable("0 12 * * *", timezone="UTC"),
        assets=AssetAlias("keywordsai_usage", group="usage") | AssetAlias("langdock_usage", group="usage"),  # type: ignore[arg-type, unused-ignore]
    ),
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=True,
    default_args={"owner": "airflow-usage-provider", "retries": 3, "retry_delay": timedelta(minutes=5)},
    params={
        "months": Param(
            None,
            type=["null", "string"],
            description="Months to look at, such as 2026-10,2026-11. Left empty: those that the run is about, or all.",
        )
    },
    tags=["usage", "tables"],
) as dag:

    @task(execution_timeout=timedelta(minutes=30))
    def plan(**context: Any) -> list[dict[str, Any]]:
        """Read the configuration, and which streams and months the run is about."""
        from airflow_usage_provider.operators.tables import plan_tables

        try:
            return plan_tables(context)
        except FatalError as error:
            raise AirflowFailException(str(error)) from None

    @task(trigger_rule="all_done", execution_timeout=timedelta(minutes=30), outlets=[AssetAlias(ALIAS, group="usage")])
    def tell(**context: Any) -> int:
        """Tell Airflow of every table that changed, also in a run that fails."""
        from airflow_usage_provider.operators.tables import tell_tables

        return len(tell_tables(context, "build"))

    @task
    def complete() -> None:
        """Succeed only if everything before did: a run is judged by its last task."""

    build = UsageTablesOperator.partial(
        task_id="build",
        emit_events=False,
        execution_timeout=timedelta(hours=6),
        map_index_template="{{ ti.task.vendor }} {{ ti.task.stream }}",
    ).expand_kwargs(plan())
    last = complete()
    build >> tell() >> last
    build >> last
