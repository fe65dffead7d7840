"""Airflow's ``HttpOperator`` with a ``pagination_function``, then ``S3Hook``, in one task."""

from __future__ import annotations

import json

from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from airflow.providers.http.operators.http import HttpOperator

from benchmarks.tools.stopwatch import SETTINGS, measure, warm_up

PARAMETERS = {"page_size": 1000, "summary_type": "daily", "date": f"{SETTINGS['usage_date']} 00:00:00"}


def next_page(response) -> dict[str, object] | None:
    following = response.json()["next"]
    return {"data": {**PARAMETERS, "page": int(following.rpartition("=")[2])}} if following else None


def work() -> None:
    operator = HttpOperator(
        task_id="users",
        method="GET",
        endpoint="/api/users/",
        data={**PARAMETERS, "page": 1},
        headers={"Authorization": f"Bearer {SETTINGS['api_key']}"},
        pagination_function=next_page,
        response_filter=lambda responses: [user for response in responses for user in response.json()["results"]],
    )
    users = operator.execute({})
    S3Hook().load_string("\n".join(map(json.dumps, users)), "bench/users.jsonl", "archive", replace=True)


warm_up()
measure(work)
