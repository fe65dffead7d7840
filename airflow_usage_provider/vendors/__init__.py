"""The vendors' HTTP APIs. Knows nothing of S3 or Airflow."""
