from datetime import datetime

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

with DAG("trivial", schedule=None, start_date=datetime(2026, 1, 1)):  # noqa: DTZ001
    EmptyOperator(task_id="nothing")
