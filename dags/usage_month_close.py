"""
### The closing of a month

On day close_day of [usage_provider], for the month before: proves that every day of it is archived, final, and that its
figures agree; verifies and seals the archive until its end; brings tables and FOCUS up to date; and writes a report of
one page below closes/ of the archive.

- **Before it is switched on:** archive_url of [usage_provider], and pyarrow on the workers:
  airflow-usage-provider[tables]. With owners_url, the report says who pays.
- **A month that is not whole or does not agree** fails the task that says so, and is not sealed.
- **By hand:** trigger it with the param month, such as 2026-10; with partial, days may be missing;
  with skip, comparisons are left out, and the close says which.
- **Closing again** writes another close, which tells what changed since the last one; none is ever replaced.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import DAG, AssetAlias, Param, task
from airflow.timetables.trigger import CronTriggerTimetable

from airflow_usage_provider.compat import AirflowFailException
from airflow_usage_provider.configuration import Options
from airflow_usage_provider.exceptions import FatalError
from airflow_usage_provider.operators.close import ALIAS
from airflow_usage_provider.operators.tables import UsageTablesOperator
from airflow_usage_provider.tables.reconcile import KINDS

_CLOSE_DAY = Options().find("close_day")
_DAY = _CLOSE_DAY if _CLOSE_DAY.isdigit() and 1 <= int(_CLOSE_DAY) <= 28 else "10"

with DAG(
    dag_id="usage_month_close",
    description="Proves, seals and reports the month before",
    doc_md=__doc__,
    schedule=CronTriggerTimetable(f"0 13 {_DAY} * *", timezone="UTC"),
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=True,
    default_args={
        "owner": "airflow-usage-provider",
        "retries": 3,
        "retry_delay": timedelta(minutes=5),
        "execution_timeout": timedelta(hours=6),
    },
    params={
        "month": Param(
            None,
            type=["null", "string"],
            pattern=r"^\d{4}-\d{2}$",
            description="Month to close, such as 2026-10. Left empty: the one before.",
        ),
        "partial": Param(
            default=False, type="boolean", description="Close it although days are missing or not yet final."
        ),
        "tolerance": Param("0", type="string", description="Money that two figures may differ by."),
        "skip": Param(
            [],
            type="array",
            items={"enum": list(KINDS)},
            examples=list(KINDS),
            description="Do not compare these, as usage-archive reconcile --skip.",
        ),
    },
    tags=["usage", "close"],
) as dag:

    @task
    def plan(**context: Any) -> dict[str, Any]:
        """Read the configuration, and which month the run closes, as known now."""
        from airflow_usage_provider.configuration import read_close_day
        from airflow_usage_provider.operators.close import plan_close

        try:
            read_close_day()
            return plan_close(context)
        except FatalError as error:
            raise AirflowFailException(str(error)) from None

    @task
    def verify(planned: Any) -> int:
        """Prove that every day is there and final, and that the figures agree."""
        from airflow_usage_provider.operators.close import verify_month

        return verify_month(planned)

    @task
    def seal(planned: Any) -> dict[str, Any]:
        """Verify every byte until the month's end, and write the seal."""
        from airflow_usage_provider.operators.close import seal

        return seal(planned)

    @task
    def focus(planned: Any) -> dict[str, str]:
        """Write the month as FOCUS."""
        from airflow_usage_provider.operators.close import write_focus_files

        return write_focus_files(planned)

    @task
    def reconcile(planned: Any, written: Any) -> dict[str, str]:
        """Hold FOCUS against the archive, to the last digit."""
        from airflow_usage_provider.operators.close import reconcile_focus

        return reconcile_focus(planned, written)

    @task(outlets=[AssetAlias(ALIAS, group="usage")])
    def report(planned: Any, sealed: Any, **context: Any) -> dict[str, Any]:
        """Write the report, and tell Airflow of the close."""
        from airflow_usage_provider.operators.close import write_report

        return write_report(planned, sealed, context)

    tables = UsageTablesOperator(
        task_id="tables",
        archive_url="{{ ti.xcom_pull(task_ids='plan')['archive_url'] }}",
        tables_url="{{ ti.xcom_pull(task_ids='plan')['tables_url'] }}",
        aws_conn_id="{{ ti.xcom_pull(task_ids='plan')['aws_conn_id'] }}",
        months="{{ ti.xcom_pull(task_ids='plan')['month'] }}",
    )
    planned = plan()
    sealed = seal(planned)
    written = focus(planned)
    told = report(planned, sealed)
    verify(planned) >> sealed >> tables >> written
    reconcile(planned, written) >> told
