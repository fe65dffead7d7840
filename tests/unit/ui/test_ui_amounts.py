"""What revisions cost, from tables whose footers say which column is the money."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

pytest.importorskip("pyarrow")

import pyarrow.parquet as pq

from airflow_usage_provider.archive.catalog import Selection
from airflow_usage_provider.archive.keys import Series
from airflow_usage_provider.schema import StreamSchema
from airflow_usage_provider.tables.layout import Month, Piece
from airflow_usage_provider.tables.target import FolderTarget
from airflow_usage_provider.tables.update import update_tables
from airflow_usage_provider.ui.amounts import Cost, reduce_costs
from airflow_usage_provider.ui.store import Table
from tests.unit.tables.months import API_KEYS, MonthArchive

DAY = date(2026, 10, 1)
COSTS = Series("other", "acme", "costs")


def read_costs(archive: MonthArchive, series: Series) -> list[Cost]:
    target = archive.folder.parent / "tables"
    assert all(not outcome.error for outcome in update_tables(archive.objects, FolderTarget(target), Selection()))
    path = target / Piece(series, Month.of(DAY)).name("history")
    return sorted(reduce_costs(Table(pq.ParquetFile(path), str(path))), key=lambda cost: (cost.revision, cost.currency))


def test_cents_in_a_column_that_tables_name_otherwise_are_added_up_by_currency(tmp_path: Path) -> None:
    schema = StreamSchema(
        ("who",),
        {"who": "text", "Revision": "money", "unit": "text", "budget": "money"},
        {"cost": "Revision", "currency": "unit", "cost_scale": "0.01"},
    )
    archive = MonthArchive(tmp_path / "archive")
    rows = [("a", "10", "usd"), ("b", "0.5", "USD"), ("c", "7", "EUR")]
    first = [{"who": who, "Revision": cost, "unit": unit, "budget": "1000"} for who, cost, unit in rows]
    archive.store_rows(COSTS, DAY, first, schema)
    archive.store_rows(COSTS, DAY, first[:1], schema, at=datetime(2026, 10, 9, tzinfo=UTC), revision=2)
    assert read_costs(archive, COSTS) == [
        Cost(COSTS, DAY, 1, "EUR", Decimal("0.07")),
        Cost(COSTS, DAY, 1, "USD", Decimal("0.105")),
        Cost(COSTS, DAY, 2, "USD", Decimal("0.1")),
    ]


def test_a_stream_without_cost_has_no_amounts(tmp_path: Path) -> None:
    archive = MonthArchive(tmp_path / "archive")
    archive.store_rows(COSTS, DAY, [{"who": "a"}], StreamSchema(("who",), {"who": "text"}))
    assert read_costs(archive, COSTS) == []


def test_tables_that_do_not_say_what_columns_are_for_are_read_by_what_this_package_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = MonthArchive(tmp_path / "archive")
    archive.store_export(DAY)
    (known,) = read_costs(archive, API_KEYS)
    footer = Table.footer
    monkeypatch.setattr(Table, "footer", lambda table, name: None if name == "roles" else footer(table, name))
    assert read_costs(archive, API_KEYS) == [known]
