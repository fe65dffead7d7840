"""Tables over what the sandbox's ledger says, archived by the operators: every total is raw's, to the last digit."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from airflow_usage_provider.archive.catalog import Selection
from airflow_usage_provider.archive.keys import ArchiveLocation
from airflow_usage_provider.archive.objects import S3Objects
from airflow_usage_provider.operators.keywordsai import KeywordsAIUsersToS3Operator
from airflow_usage_provider.operators.langdock import LangdockExportToS3Operator
from sandbox.archive import ArchiveReader
from sandbox.tables import add_up, read_current

pytest.importorskip("pyarrow")

DAY = (datetime.now(UTC) - timedelta(days=2)).date().isoformat()


class Reader(ArchiveReader):
    """Of one archive in a bucket that other tests have theirs in too."""

    def __init__(self, client, bucket, prefix):
        super().__init__(client, bucket)
        self._prefix = prefix

    def list_sizes(self):
        return {key: size for key, size in super().list_sizes().items() if key.startswith(self._prefix)}


def test_every_total_of_the_tables_is_the_total_of_the_archived_bytes(connect_vendors, archive_url, s3_server):
    from airflow_usage_provider.tables.target_s3 import S3Target
    from airflow_usage_provider.tables.update import update_tables

    connect_vendors()
    common = {"archive_url": archive_url, "usage_date": DAY, "lookback_days": 2}
    KeywordsAIUsersToS3Operator(task_id="users", **common).execute({})
    for stream, group_by in (("api_keys", None), ("api_keys", "model")):
        LangdockExportToS3Operator(task_id="export", stream=stream, group_by=group_by, **common).execute({})
    location = ArchiveLocation.parse(archive_url)
    client = s3_server.client()
    target = S3Target(client, ArchiveLocation(location.bucket, f"{location.prefix}/tables"))
    outcomes = list(update_tables(S3Objects(client, location), target, Selection(), jobs=2))
    assert outcomes
    assert not [outcome.error for outcome in outcomes if outcome.error]
    raw = defaultdict(lambda: (0, 0, Decimal(0)))
    reader = Reader(client, location.bucket, f"{location.prefix}/")
    for key in reader.find_current_manifests():
        totals = reader.add_up(reader.read_manifest(key))
        table = f"{totals.vendor}_{totals.stream}"
        rows, requests, cost = raw[table]
        raw[table] = (rows + totals.rows, requests + totals.requests, cost + totals.cost)
    tables = read_current(client, location.bucket, location.prefix)
    assert {table: add_up(rows)[()] for table, rows in tables.items()} == dict(raw)
    assert raw["langdock_api_keys"][1:] == raw["langdock_api_keys_by_model"][1:]
