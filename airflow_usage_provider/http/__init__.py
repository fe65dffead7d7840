"""HTTP: one request and its answer, polite and bounded. Knows nothing of vendors, S3 or Airflow."""
