"""dlt's ``rest_api`` source into its ``filesystem`` destination."""

from __future__ import annotations

import os
import tempfile

import dlt
import s3fs  # noqa: F401 - imported by dlt when it is used
from dlt.destinations import filesystem
from dlt.sources.credentials import AwsCredentials
from dlt.sources.rest_api import rest_api_source

from benchmarks.tools.stopwatch import SETTINGS, measure


def work() -> None:
    parameters = {"page_size": 1000, "summary_type": "daily", "date": f"{SETTINGS['usage_date']} 00:00:00"}
    source = rest_api_source(
        {
            "client": {
                "base_url": SETTINGS["source"],
                "auth": {"type": "bearer", "token": SETTINGS["api_key"]},
                "paginator": {"type": "json_link", "next_url_path": "next"},
            },
            "resources": [
                {
                    "name": "users",
                    "max_table_nesting": 0,
                    "endpoint": {"path": "api/users/", "params": parameters, "data_selector": "results"},
                }
            ],
        }
    )
    credentials = AwsCredentials(
        aws_access_key_id="bench",
        aws_secret_access_key="bench",
        region_name="us-east-1",
        endpoint_url=os.environ["AWS_ENDPOINT_URL"],
    )
    with tempfile.TemporaryDirectory() as folder:
        pipeline = dlt.pipeline(
            "bench",
            pipelines_dir=folder,
            destination=filesystem("s3://archive/bench", credentials=credentials),
            dataset_name="usage",
        )
        pipeline.run(source, loader_file_format="jsonl").raise_on_failed_jobs()


measure(work)
