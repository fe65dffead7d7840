"""The demo's end: tables built from the archive by the command, and what they say, read with pyarrow alone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import defaultdict
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_usage_provider.testing.s3 import S3Server

COSTS = ("cost", "total_cost_usd")
PRINCIPALS = ("api_key_name", "customer_identifier", "name")


def build_tables(s3: S3Server, archive_url: str) -> str:
    """Run ``usage-archive tables`` on an archive; return what it says.

    :raises RuntimeError: it failed.
    """
    command = [sys.executable, "-m", "airflow_usage_provider.cli", "tables", archive_url]
    command += ["--endpoint-url", s3.endpoint_url, "--region", "us-east-1"]
    keys = {"AWS_ACCESS_KEY_ID": s3.access_key, "AWS_SECRET_ACCESS_KEY": s3.secret_key}
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **keys}, check=False)
    if done.returncode:
        raise RuntimeError(f"usage-archive tables ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def read_current(client: Any, bucket: str, prefix: str) -> dict[str, list[dict[str, Any]]]:
    """Every row of ``current``, by table."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/tables/current/")
    for key in sorted(entry["Key"] for page in pages for entry in page.get("Contents", ())):
        table = key.removeprefix(f"{prefix}/tables/current/").partition("/")[0]
        body = client.get_object(Bucket=bucket, Key=key)["Body"].read()
        rows[table] += pq.ParquetFile(pa.BufferReader(body)).read().to_pylist()
    return dict(rows)


def add_up(rows: list[dict[str, Any]], *by: str) -> dict[tuple[Any, ...], tuple[int, int, Decimal]]:
    """Rows, requests and cost for each value of some columns."""
    totals: dict[tuple[Any, ...], tuple[int, int, Decimal]] = {}
    for row in rows:
        key = tuple(row[name] for name in by)
        count, requests, cost = totals.get(key, (0, 0, Decimal(0)))
        paid = next((row[name] for name in COSTS if row.get(name) is not None), Decimal(0))
        totals[key] = (count + 1, requests + (row.get("requests") or 0), cost + paid)
    return dict(sorted(totals.items(), key=lambda item: str(item[0])))


def show_tables(s3: S3Server, prefix: str) -> None:
    """Build the tables of the archive below a prefix, and print totals by day and stream, and by principal."""
    print(f"\nTables, built by usage-archive tables s3://{s3.bucket}/{prefix}\n")
    print(build_tables(s3, f"s3://{s3.bucket}/{prefix}"))
    client = s3.client()
    tables = read_current(client, s3.bucket, prefix)
    client.close()
    print(f"{'day':<10}  {'table':<28} {'rows':>6} {'requests':>10} {'cost (USD)':>16}")
    for table, rows in tables.items():
        for (day,), (count, requests, cost) in add_up(rows, "usage_date").items():
            print(f"{day!s:<10}  {table:<28} {count:>6} {requests:>10} {cost:>16.8f}")
    print("\nWhose it was, the three largest of each table\n")
    for table, rows in tables.items():
        principal = next((name for name in PRINCIPALS if name in rows[0]), "account")
        largest = sorted(add_up(rows, principal).items(), key=lambda item: -item[1][2])[:3]
        for (name,), (_, requests, cost) in largest:
            print(f"{table:<28} {name!s:<28} {requests:>10} {cost:>16.8f}")
