"""Vendors' records as pandas frames: identifiers as strings, times as UTC, counts as integers, money exact.

Columns are read by name, as the stream's schema says. One that it does not declare, or calls JSON, stays as it was
sent. A value that cannot be read as what it should be is an error that names it: never a guess, never a gap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_usage_provider.exceptions import InvalidBodyError
from airflow_usage_provider.models import FileFormat
from airflow_usage_provider.records.rows import iter_csv_records, iter_rows
from airflow_usage_provider.schema import parse_value, value_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date

    import pandas as pd

    from airflow_usage_provider.schema import StreamSchema

_DTYPES = {
    "text": "string",
    "flag": "boolean",
    "date": "datetime64[us, UTC]",
    "time": "datetime64[us, UTC]",
    "count": "Int64",
    "number": "Float64",
}
_MOST_SHOWN = 60  # characters of a value in an error


def frame_from_json_lines(
    chunks: Iterable[bytes | memoryview], schema: StreamSchema, *, usage_date: str | date | None = None
) -> pd.DataFrame:
    """
    Build a frame from JSON Lines; a column for each member of any record, and for each path that is declared.

    :param schema: what the columns mean.
    :param usage_date: the day, for the errors.
    :raises InvalidBodyError: a value is not of its column's kind.
    """
    records = list(iter_rows(chunks, FileFormat.JSON_LINES.content_type))
    names = dict.fromkeys(name for record in records for name in record) or dict.fromkeys(schema.columns)
    for path in schema.columns:
        if path not in names and any(value_at(record, path) is not None for record in records):
            names[path] = None
    return _build({name: [value_at(record, name) for record in records] for name in names}, schema, usage_date)


def frame_from_csv(
    chunks: Iterable[bytes | memoryview], schema: StreamSchema, *, usage_date: str | date | None = None
) -> pd.DataFrame:
    """
    Build a frame from CSV with a header; empty cells are missing values, a second column of one name is ``name_2``.

    :param schema: what the columns mean.
    :param usage_date: the day, for the errors.
    :raises InvalidBodyError: a value is not of its column's kind.
    """
    records = iter_csv_records(chunks)
    names = next(records, [])
    columns: list[list[Any]] = [[] for _ in names]
    for record in records:
        for values, cell in zip(columns, record, strict=True):
            values.append(cell or None)
    return _build(dict(zip(names, columns, strict=True)), schema, usage_date)


def _build(columns: Mapping[str, list[Any]], schema: StreamSchema, usage_date: str | date | None) -> pd.DataFrame:
    import pandas as pd

    series = {}
    for name, values in columns.items():
        kind = schema.columns.get(name, "json")
        cells = values if kind == "json" else list(_parse_all(kind, name, values, usage_date))
        dtype = _DTYPES.get(kind, "object")
        if kind == "count" and any(cell is not None and not -(2**63) <= cell < 2**63 for cell in cells):
            dtype = "object"  # Python's own integers, exact
        series[name] = pd.Series(cells, dtype=dtype)
    return pd.DataFrame(series)


def _parse_all(kind: str, name: str, values: list[Any], usage_date: str | date | None) -> Iterable[Any]:
    for row, value in enumerate(values, 1):
        try:
            yield parse_value(kind, value)
        except ValueError as error:
            text = str(value)
            text = text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."
            day = f" of {usage_date}" if usage_date else ""
            raise InvalidBodyError(
                f"Row {row:,}{day}: column {name!r} holds {text!r}, which is no {kind}: {error}",
                next_step="Take the records as they were sent instead: iter_export_chunks, iter_user_pages.",
            ) from None
