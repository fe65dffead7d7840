"""A month of an archive as typed Parquet: three tables and every part checked by the package, or one by hand."""

from __future__ import annotations

import gzip
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from airflow_usage_provider.tables.columns import arrow_type
from airflow_usage_provider.vendors.langdock.schemas import export_schema
from benchmarks.tools.stopwatch import SETTINGS, measure

if TYPE_CHECKING:
    from collections.abc import Callable

FOLDER = Path(SETTINGS["folder"])
OUT = FOLDER / "tables" / "current" / "by_hand" / "usage_month=2025-01" / "by-hand.parquet"
KINDS = dict(export_schema("users").columns)


def find_parts() -> list[Path]:
    return sorted(FOLDER.glob("raw/**/part-*"))


def by_us() -> Callable[[], Any]:
    from airflow_usage_provider.archive.catalog import Selection
    from airflow_usage_provider.archive.objects import FolderObjects
    from airflow_usage_provider.tables.target import FolderTarget
    from airflow_usage_provider.tables.update import update_tables

    def work() -> None:
        for outcome in update_tables(FolderObjects(FOLDER), FolderTarget(FOLDER / "tables"), Selection()):
            if outcome.error:
                raise outcome.error

    return work


def by_pyarrow() -> Callable[[], Any]:
    convert = pyarrow.csv.ConvertOptions(
        column_types={name: arrow_type(kind) for name, kind in KINDS.items()},
        null_values=[""],
        strings_can_be_null=True,
    )
    parse = pyarrow.csv.ParseOptions(newlines_in_values=True)

    def work() -> None:
        writer = None
        for part in find_parts():
            with pa.input_stream(part) as stream:
                for batch in pyarrow.csv.open_csv(stream, parse_options=parse, convert_options=convert):
                    writer = writer or pq.ParquetWriter(OUT, batch.schema, compression="zstd")
                    writer.write_batch(batch)
        if writer:
            writer.close()

    return work


def by_pandas() -> Callable[[], Any]:
    import pandas as pd

    types = {name: pd.ArrowDtype(arrow_type(kind)) for name, kind in KINDS.items()}

    def work() -> None:
        parts = find_parts()
        names = pd.read_csv(parts[0], nrows=0).columns
        text = pd.ArrowDtype(pa.string())  # for money: pandas would read it as a float first
        own = {name: text if KINDS.get(name) == "money" else types.get(name, text) for name in names}
        money = {name: types[name] for name in names if KINDS.get(name) == "money"}
        frames = [
            pd.read_csv(part, engine="pyarrow", dtype=own, dtype_backend="pyarrow").astype(money) for part in parts
        ]
        pd.concat(frames).to_parquet(OUT, compression="zstd")

    return work


def by_polars() -> Callable[[], Any]:
    import polars as pl

    types = {"count": pl.Int64, "number": pl.Float64, "money": pl.Decimal(38, 18), "date": pl.Date, "flag": pl.Boolean}

    def work() -> None:
        parts = find_parts()
        with (gzip.open if parts[0].suffix == ".gz" else Path.open)(parts[0], "rb") as first:
            names = first.readline().decode().strip().split(",")
        own = {name: types.get(KINDS.get(name, "text"), pl.String) for name in names}
        pl.scan_csv(parts, schema=own).sink_parquet(OUT, compression="zstd")

    return work


def by_duckdb() -> Callable[[], Any]:
    import duckdb

    types = {"count": "BIGINT", "number": "DOUBLE", "money": "DECIMAL(38,18)", "date": "DATE", "flag": "BOOLEAN"}

    def work() -> None:
        own = ", ".join(f"'{name}': '{types.get(kind, 'VARCHAR')}'" for name, kind in KINDS.items())
        parts = ", ".join(f"'{part}'" for part in find_parts())
        duckdb.execute("SET threads = 2")
        duckdb.execute(
            f"COPY (SELECT * FROM read_csv([{parts}], types = {{{own}}}, header = true)) "
            f"TO '{OUT}' (FORMAT parquet, COMPRESSION zstd)"
        )

    return work


TOOLS = {"ours": by_us, "pyarrow": by_pyarrow, "pandas": by_pandas, "polars": by_polars, "duckdb": by_duckdb}
OUT.parent.mkdir(parents=True, exist_ok=True)
for left in (FOLDER / "tables").rglob("*.parquet"):
    left.unlink()
os.environ.setdefault("POLARS_MAX_THREADS", "2")
measure(TOOLS[sys.argv[1]]())
