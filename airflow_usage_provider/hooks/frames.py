"""Vendors' records as pandas frames: identifiers as strings, times as UTC, counts as integers, money exact.

Columns are read by name. One that is not known here stays as it was sent.
"""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import pandas as pd

    Converter = Callable[[list[Any]], pd.Series[Any]]


def frame_from_json_lines(chunks: Iterable[bytes | memoryview], kinds: Mapping[str, str]) -> pd.DataFrame:
    """
    Build a frame from JSON Lines; a column for each field any record has.

    :param kinds: ``text``, ``time``, ``count``, ``number`` or ``money`` by column name.
    """
    lines = b"".join(chunks).splitlines()
    records = [json.loads(line, parse_float=Decimal) for line in lines]
    names = dict.fromkeys(name for record in records for name in record)
    return _build({name: [record.get(name) for record in records] for name in names or kinds}, kinds)


def frame_from_csv(chunks: Iterable[bytes | memoryview], kinds: Mapping[str, str]) -> pd.DataFrame:
    """
    Build a frame from CSV with a header; empty cells are missing values.

    :param kinds: ``text``, ``time``, ``count``, ``number`` or ``money`` by column name.
    """
    text = b"".join(chunks).decode("utf-8-sig")
    previous = csv.field_size_limit(2**31 - 1)
    try:
        rows = [row for row in csv.reader(io.StringIO(text, newline="")) if row]
    finally:
        csv.field_size_limit(previous)
    names = rows[0] if rows else []
    cells = [[cell if cell != "" else None for cell in row] for row in rows[1:]]
    return _build({name: [row[index] for row in cells] for index, name in enumerate(names)}, kinds)


def _build(columns: Mapping[str, list[Any]], kinds: Mapping[str, str]) -> pd.DataFrame:
    import pandas as pd

    converters: dict[str, Converter] = {
        "text": lambda values: pd.Series([None if v is None else str(v) for v in values], dtype="string"),
        "time": _times,
        "count": _counts,
        "number": lambda values: pd.Series([_float(v) for v in values], dtype="Float64"),
        "money": lambda values: pd.Series([_decimal(v) for v in values], dtype="object"),
    }
    series = {
        name: converters[kinds[name]](values) if name in kinds else pd.Series(values, dtype="object")
        for name, values in columns.items()
    }
    return pd.DataFrame(series)


def _times(values: list[Any]) -> pd.Series[Any]:
    """Vendors write times with a blank or a T, and 0 or nothing where there is none."""
    import pandas as pd

    texts = [value if isinstance(value, str) and value.strip() not in {"", "0"} else None for value in values]
    times = pd.to_datetime(pd.Series(texts, dtype="object"), utc=True, format="ISO8601", errors="coerce")
    return times.astype("datetime64[us, UTC]")


def _counts(values: list[Any]) -> pd.Series[Any]:
    """Nullable integers; exact, as Python's own, where one does not fit into 64 bits or is no integer."""
    import pandas as pd

    numbers = [_decimal(value) for value in values]
    if all(number is None or (number == int(number) and abs(number) < 2**63) for number in numbers):
        return pd.Series([None if number is None else int(number) for number in numbers], dtype="Int64")
    return pd.Series(numbers, dtype="object")


def _decimal(value: Any) -> Decimal | None:
    if value is None or isinstance(value, bool):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _float(value: Any) -> float | None:
    number = _decimal(value)
    return None if number is None else float(number)
