"""The loop a user writes by hand with ``requests``; a number asks for so many pages at the same time."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor

import boto3
import requests

from benchmarks.tools.stopwatch import SETTINGS, measure

PARAMETERS = {"page_size": 1000, "summary_type": "daily", "date": f"{SETTINGS['usage_date']} 00:00:00"}
THREADS = int(sys.argv[1])


def work() -> None:
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {SETTINGS['api_key']}"

    def fetch(page: int) -> dict[str, object]:
        answer = session.get(f"{SETTINGS['source']}/api/users/", params={**PARAMETERS, "page": page}, timeout=60)
        answer.raise_for_status()
        return answer.json()

    first = fetch(1)
    pages = -(-first["aggregation_data"]["total_users"] // 1000)
    with ThreadPoolExecutor(THREADS) as executor:
        users = [user for page in (first, *executor.map(fetch, range(2, pages + 1))) for user in page["results"]]
    body = "\n".join(map(json.dumps, users)).encode()
    boto3.client("s3").put_object(Bucket="archive", Key="bench/users.jsonl", Body=body)


measure(work)
