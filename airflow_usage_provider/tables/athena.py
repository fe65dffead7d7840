"""Athena's DDL for the tables, from the schemas the archive holds: no crawler, no partition to add."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING
from urllib.parse import quote

from airflow_usage_provider.archive.catalog import find_series, read_current
from airflow_usage_provider.archive.keys import Series
from airflow_usage_provider.tables.columns import SNAPSHOTS, month_schema, table_columns
from airflow_usage_provider.tables.layout import Month
from airflow_usage_provider.tables.update import iter_months

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_usage_provider.archive.catalog import Selection
    from airflow_usage_provider.archive.manifest import Manifest
    from airflow_usage_provider.archive.objects import Objects

_TYPES = {
    "flag": "boolean",
    "date": "date",
    "time": "timestamp",
    "count": "bigint",
    "number": "double",
    "money": "decimal(38,18)",
}


def write_athena(objects: Objects, selection: Selection, tables_url: str, *, jobs: int = 8) -> Iterator[str]:
    """
    Yield a statement for every table: ``current`` under the stream's own name, ``history`` and ``snapshots``.

    Columns are those of the newest answer of every account, and behind them those only older accounts have.

    :raises ConfigurationError: nothing of the archive is selected.
    """
    tables: dict[tuple[str, str], list[Manifest]] = {}
    first = Month.of(date.max)
    for series in find_series(objects, selection, jobs)[0]:
        days = [day for _, days in iter_months(objects, series, selection) for day in days]
        if days:
            first = min(first, Month.of(days[0].usage_date))
            tables.setdefault((series.vendor, series.stream), []).append(read_current(objects, days[-1]))
    for (vendor, stream), manifests in tables.items():
        schema = month_schema(Series(vendor, "", stream), sorted(manifests, key=lambda each: each.snapshot_id))
        for kind, suffix in (("current", ""), ("history", "_history")):
            location = f"{tables_url}/{kind}/{quote(vendor, safe='')}_{quote(stream, safe='')}/"
            yield _write_table(f"{vendor}_{stream}{suffix}", table_columns(schema, kind), location, first)
    if tables:
        yield _write_table("usage_snapshots", SNAPSHOTS, f"{tables_url}/snapshots/", first)


def _write_table(name: str, columns: Mapping[str, str], location: str, first: Month) -> str:
    listed = ",\n".join(f"  `{column.lower()}` {_TYPES.get(kind, 'string')}" for column, kind in columns.items())
    return f"""CREATE EXTERNAL TABLE `{name.lower()}` (
{listed}
)
PARTITIONED BY (`usage_month` string)
STORED AS PARQUET
LOCATION '{location}'
TBLPROPERTIES (
  'projection.enabled' = 'true',
  'projection.usage_month.type' = 'date',
  'projection.usage_month.format' = 'yyyy-MM',
  'projection.usage_month.interval' = '1',
  'projection.usage_month.interval.unit' = 'MONTHS',
  'projection.usage_month.range' = '{first},NOW'
);"""
