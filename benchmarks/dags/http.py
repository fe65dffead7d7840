from datetime import datetime

from airflow.providers.amazon.aws.transfers.http_to_s3 import HttpToS3Operator
from airflow.providers.http.operators.http import HttpOperator
from airflow.sdk import DAG

with DAG("http", schedule=None, start_date=datetime(2026, 1, 1)):  # noqa: DTZ001
    HttpOperator(task_id="users", endpoint="/api/users/")
    HttpToS3Operator(task_id="export", endpoint="/file", s3_bucket="archive", s3_key="export.csv")
