"""The archive on S3. Knows nothing of HTTP or Airflow."""
