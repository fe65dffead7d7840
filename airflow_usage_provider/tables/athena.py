"""Athena's DDL for the tables, from the schemas the archive holds: no crawler, no partition to add."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from airflow_usage_provider.archive.catalog import read_current
from airflow_usage_provider.tables.columns import SNAPSHOTS, month_schema, table_columns
from airflow_usage_provider.tables.layout import Month

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_usage_provider.archive.catalog import Catalog, Day
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


def write_athena(objects: Objects, catalog: Catalog, tables_url: str) -> Iterator[str]:
    """
    Yield a statement for every table: ``current`` under the stream's own name, ``history`` and ``snapshots``.

    Columns are those of the newest answer of every account, and behind them those only older accounts have.
    """
    tables: dict[str, list[Day]] = {}
    for day in catalog.days:
        if day.manifests:
            tables.setdefault(f"{day.series.vendor}_{day.series.stream}", []).append(day)
    if not tables:
        return
    first = min(Month.of(day.usage_date) for days in tables.values() for day in days)
    for table, days in tables.items():
        newest = {day.series: day for day in sorted(days, key=lambda each: each.usage_date)}
        manifests = sorted((read_current(objects, day) for day in newest.values()), key=_by_time)
        schema = month_schema(days[0].series, manifests)
        for kind, name in (("current", table), ("history", f"{table}_history")):
            location = (
                f"{tables_url}/{kind}/{quote(days[0].series.vendor, safe='')}_{quote(days[0].series.stream, safe='')}/"
            )
            yield _write_table(name, table_columns(schema, kind), location, first)
    yield _write_table("usage_snapshots", SNAPSHOTS, f"{tables_url}/snapshots/", first)


def _by_time(manifest: Manifest) -> str:
    return manifest.snapshot_id


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
