"""
### Langdock usage, every day

Archives every configured stream of every configured Langdock account to S3: the day before, and the days before that
again, as the vendor revises them. One stream or account that fails does not stop the others.

- **Before it is switched on:** the settings of [usage_provider], archive_url above all, and one connection of type
  Langdock for each account, named in langdock_conn_ids; the streams are in langdock_streams, a group each.
- **One day by hand:** trigger it with the param usage_date.
- **Many days:** a backfill, 12 months back at most. What is archived already is kept, whatever runs again.
- **Other DAGs** wait for the asset alias langdock_usage, which tell emits; complete says that nothing failed.
"""

from __future__ import annotations

from airflow_usage_provider.daily import daily_dag
from airflow_usage_provider.operators.langdock import LangdockExportToS3Operator
from airflow_usage_provider.sensors.langdock import LangdockExportSensor

dag = daily_dag(
    "langdock_usage_daily",
    LangdockExportToS3Operator,
    section="usage_provider",
    sensor=LangdockExportSensor,
    sensor_arguments={
        "task_id": "wait_for_export",
        "deferrable": True,
        "poke_interval": 30,
        "timeout": 6 * 60 * 60,
    },
    task_id="archive_export",
    description="Archives Langdock usage exports to S3",
    doc_md=__doc__,
)
