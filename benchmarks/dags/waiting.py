"""One sensor, which is deferred many times."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_usage_provider.sensors.langdock import LangdockExportSensor

with DAG("waiting", schedule=None):
    LangdockExportSensor(task_id="wait", deferrable=True)
