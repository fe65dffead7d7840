"""Writes a month of FOCUS: a file a vendor and account, and beside them the metadata the specification demands.

The same archive gives the same bytes: nothing here knows what time it is. Memory holds one batch of rows.
"""

from __future__ import annotations

import csv
import json
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import NAMESPACE_URL, uuid5

from airflow_usage_provider import __version__
from airflow_usage_provider.archive.catalog import read_time
from airflow_usage_provider.exceptions import ConfigurationError, UnreadableValueError
from airflow_usage_provider.tables.charges import EXACT, choose_pots, read_views
from airflow_usage_provider.tables.focus import COSTS, VERSIONS, columns_of, iter_focus_rows
from airflow_usage_provider.tables.shelf import put_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from airflow_usage_provider.archive.catalog import Selection
    from airflow_usage_provider.archive.objects import Objects
    from airflow_usage_provider.tables.charges import PotDay
    from airflow_usage_provider.tables.layout import Month
    from airflow_usage_provider.tables.shelf import Shelf

FORMATS = ("parquet", "csv")
SCHEMA_CREATED = "2026-11-25T00:00:00Z"  # of the mapping's columns; changes when they do
_BATCH = 10_000  # rows of a row group: what consumers take in one upload
_DIGITS, _DECIMALS = 38, 18
_Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class FocusFile:
    """
    A file that was written.

    :param totals: sum of ``BilledCost`` by currency.
    """

    name: str
    vendor: str
    account: str
    rows: int
    totals: Mapping[str, Decimal]


@dataclass(slots=True)
class _Tally:
    rows: int = 0
    totals: dict[str, Decimal] = field(default_factory=dict)

    def passing(self, rows: Iterable[_Row]) -> Iterator[_Row]:
        for row in rows:
            self.rows += 1
            currency = row["BillingCurrency"]
            self.totals[currency] = EXACT.add(self.totals.get(currency, Decimal(0)), row["BilledCost"])
            yield row


def write_focus(
    objects: Objects,
    month: Month,
    shelf: Shelf,
    *,
    spec: str = VERSIONS[0],
    file_format: str = "parquet",
    names: bool = False,
    selection: Selection | None = None,
    as_of: datetime | None = None,
    jobs: int = 8,
) -> list[FocusFile]:
    """
    Write a month's charges, with ``metadata.json`` last.

    :param shelf: of the ``tables_url``.
    :param names: whether principals' names are written too.
    :param as_of: what was known at that time; None: what is known now.
    :raises ConfigurationError: the month has no charges.
    :raises UnreadableValueError: a cost cannot be read; nothing of its file is written.
    """
    pots = choose_pots(read_views(objects, month, selection=selection, as_of=as_of, jobs=jobs))
    if not pots:
        raise ConfigurationError(
            f"Nothing in the archive is a charge of {month}" + (f" as of {as_of:%Y-%m-%d}" if as_of else ""),
            next_step="See usage-archive ls for what there is; streams without the role charges carry no money.",
        )
    folder = f"focus/{spec}/billing_month={month}"
    columns = columns_of(spec, names=names)
    written = []
    for (vendor, account), days in groupby(pots, key=lambda pot: (pot.vendor, pot.account)):
        own = list(days)
        name = f"{folder}/{quote(vendor, safe='')}.{quote(account, safe='')}.{file_format}"
        with tempfile.TemporaryDirectory(prefix="usage-focus-") as place:
            path = Path(place) / "file"
            tally = (_write_parquet if file_format == "parquet" else _write_csv)(objects, own, spec, columns, path)
            shelf.put(name, path)
        written.append(FocusFile(name, vendor, account, tally.rows, tally.totals))
    metadata = describe(month, pots, spec, columns)
    put_bytes(shelf, f"{folder}/metadata.json", (json.dumps(metadata, indent=2) + "\n").encode())
    return written


def describe(month: Month, pots: Sequence[PotDay], spec: str, columns: Mapping[str, str]) -> dict[str, Any]:
    """Return the metadata of a month: its schema, and how recent and complete each of its days is."""
    expected = {(pot.vendor, pot.account, pot.pot) for pot in pots}
    sectors = []
    for number in range((month.last - month.first).days + 1):
        day = month.first + timedelta(days=number)
        there = [pot for pot in pots if pot.usage_date == day]
        is_whole = len(there) == len(expected) and all(pot.finest.is_final for pot in there)
        sectors.append(_sector(day, there, is_complete=is_whole))
    last = max(read_time(pot.finest.manifest) for pot in pots)
    identity = f"{spec} {sorted(expected)}"
    return {
        "DataGenerator": {"DataGenerator": "airflow-usage-provider"},
        "Schema": {
            "SchemaId": str(uuid5(NAMESPACE_URL, f"{spec} {list(columns.items())}")),
            "FocusVersion": spec,
            "CreationDate": SCHEMA_CREATED,
            "DataGeneratorVersion": __version__,
            "ColumnDefinition": [_define(name, kind) for name, kind in columns.items()],
        },
        "DatasetInstance": {
            "DatasetInstanceId": str(uuid5(NAMESPACE_URL, f"{identity} {month}")),
            "DatasetInstanceName": f"Usage and cost of {month}",
            "FocusDatasetId": "CostAndUsage",
        },
        "Recency": {
            "DatasetInstanceComplete": all(sector["TimeSectorComplete"] for sector in sectors),
            "RecencyLastUpdated": _stamp(last),
            "TimeSectors": sectors,
        },
    }


def _sector(day: date, pots: Sequence[PotDay], *, is_complete: bool) -> dict[str, Any]:
    midnight = datetime.combine(day, time(), UTC)
    windows = [pot.finest.window for pot in pots]
    updated = [read_time(pot.finest.manifest) for pot in pots]
    return {
        "TimeSectorStart": _stamp(min((window.start for window in windows), default=midnight)),
        "TimeSectorEnd": _stamp(max((window.end for window in windows), default=midnight + timedelta(days=1))),
        "TimeSectorComplete": is_complete,
        "TimeSectorLastUpdated": _stamp(max(updated)) if updated else None,
    }


def _define(name: str, kind: str) -> dict[str, Any]:
    if kind in ("money", "quantity"):
        return {"ColumnName": name, "DataType": "DECIMAL", "NumericPrecision": _DIGITS, "NumberScale": _DECIMALS}
    return {"ColumnName": name, "DataType": {"time": "DATETIME", "count": "INTEGER"}.get(kind, "STRING")}


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _iter_rows(objects: Objects, pots: Iterable[PotDay], spec: str) -> Iterator[_Row]:
    return (row for pot in pots for row in iter_focus_rows(objects, pot.finest, spec))


def _write_parquet(
    objects: Objects, pots: Sequence[PotDay], spec: str, columns: Mapping[str, str], path: Path
) -> _Tally:
    """Write with 18 decimals; where a figure has more, begin anew with as many as it has, so that no digit is lost."""
    decimals = _DECIMALS
    while True:
        tally = _Tally()
        found = _fill_parquet(tally.passing(_iter_rows(objects, pots, spec)), columns, path, decimals)
        if found <= decimals:
            return tally
        decimals = min(found, _DIGITS)


def _fill_parquet(rows: Iterator[_Row], columns: Mapping[str, str], path: Path, decimals: int) -> int:
    """Write rows, and return how many decimals they need; with more than it was given, the file is of no use."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise ConfigurationError(
            "Parquet needs pyarrow, which is not installed",
            next_step="Install airflow-usage-provider[tables], or write CSV.",
        ) from None

    types = {"money": pa.decimal128(_DIGITS, decimals), "time": pa.timestamp("us", "UTC"), "count": pa.int64()}
    types["quantity"] = pa.decimal128(_DIGITS, _DECIMALS)
    schema = pa.schema([(name, types.get(kind, pa.string())) for name, kind in columns.items()])
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        while batch := list(islice(rows, _BATCH)):
            needed = max(_count_decimals(row, decimals) for row in batch)
            if needed > decimals:
                return needed
            arrays = [pa.array([row.get(each.name) for row in batch], each.type) for each in schema]
            writer.write_batch(pa.record_batch(arrays, schema=schema))
    return 0


def _count_decimals(row: _Row, decimals: int) -> int:
    """Return the decimals a row needs; with those that are given, its costs are written with as many."""
    cost: Decimal = row["BilledCost"]
    needed = max(0, -int(EXACT.normalize(cost).as_tuple().exponent))
    if needed > _DIGITS or cost.adjusted() + 1 + max(needed, decimals) > _DIGITS:
        raise UnreadableValueError(
            f"A cost of snapshot {row['x_SnapshotId']} needs more than {_DIGITS} digits, which no Parquet decimal has",
            next_step="Write CSV, or see what the vendor sent with usage-archive show --cat.",
        )
    if needed <= decimals:
        row |= dict.fromkeys(COSTS, EXACT.quantize(cost, Decimal(1).scaleb(-decimals, EXACT)))
    return needed


def _write_csv(objects: Objects, pots: Sequence[PotDay], spec: str, columns: Mapping[str, str], path: Path) -> _Tally:
    tally = _Tally()
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for row in tally.passing(_iter_rows(objects, pots, spec)):
            writer.writerow([_cell(row.get(name), kind) for name, kind in columns.items()])
    return tally


def _cell(value: Any, kind: str) -> str:
    if value is None:
        return ""
    if kind == "time":
        return _stamp(value)
    if kind in ("money", "quantity"):  # readers of the specification want a point in every decimal
        text = f"{value:f}"
        return text if "." in text else f"{text}.0"
    return str(value)
