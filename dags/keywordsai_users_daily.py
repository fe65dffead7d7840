"""
### Keywords AI users, every day

Archives the users of every configured Keywords AI account, with their usage and cost, to S3: the day before, and the
days before that again, as the vendor revises them.

- **Before it is switched on:** the settings of [usage_provider], archive_url above all, and one connection of type
  Keywords AI for each account, named in keywordsai_conn_ids.
- **One day by hand:** trigger it with the param usage_date.
- **Many days:** a backfill. What is archived already is kept, whatever runs again.
- **Other DAGs** wait for the asset alias keywordsai_usage, which tell emits; complete says that nothing failed.
"""

from __future__ import annotations

from airflow_usage_provider.daily import daily_dag
from airflow_usage_provider.operators.keywordsai import KeywordsAIUsersToS3Operator

dag = daily_dag(
    "keywordsai_users_daily",
    KeywordsAIUsersToS3Operator,
    section="usage_provider",
    streams=["users"],
    task_id="archive_users",
    description="Archives Keywords AI users with usage and cost to S3",
    doc_md=__doc__,
)
