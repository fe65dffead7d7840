"""The link from a finished task to what it archived."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from airflow.sdk import BaseOperatorLink


class SnapshotLink(BaseOperatorLink):
    """Link from a finished task to the newest snapshot in the S3 console."""

    name = "Snapshot in S3"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:  # noqa: ARG002 - Airflow's signature
        """Return the console's address of the snapshot's folder; nothing before the task has succeeded."""
        from airflow.sdk.execution_time.xcom import XCom

        summaries = XCom.get_value(ti_key=ti_key, key="return_value")
        if not summaries:
            return ""
        bucket, _, key = summaries[0]["manifest_uri"].removeprefix("s3://").partition("/")
        folder = key.rpartition("/")[0] + "/"
        return f"https://console.aws.amazon.com/s3/buckets/{bucket}?prefix={quote(folder, safe='/')}"
