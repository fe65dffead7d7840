"""Airflow's ``HttpToS3Operator``."""

from __future__ import annotations

import warnings

from airflow.providers.amazon.aws.transfers.http_to_s3 import HttpToS3Operator

from benchmarks.tools.stopwatch import SETTINGS, measure, warm_up

warnings.simplefilter("ignore")


def work() -> None:
    operator = HttpToS3Operator(
        task_id="export",
        endpoint=SETTINGS["file"].removeprefix(SETTINGS["source"]),
        s3_bucket="archive",
        s3_key="bench/export.csv",
        extra_options={"verify": SETTINGS["ca"] or True},
    )
    operator.execute({})


warm_up()
measure(work)
