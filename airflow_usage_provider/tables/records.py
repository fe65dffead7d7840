"""The records of a part as columns of text, a batch at a time: CSV by Arrow's reader, JSON Lines record by record.

Numbers stay the text the vendor sent; nothing goes through floats. An empty cell is null.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import msgspec

from airflow_usage_provider.exceptions import InvalidBodyError
from airflow_usage_provider.records.rows import iter_csv_records, iter_rows
from airflow_usage_provider.schema import value_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    Chunks = Iterable[bytes | memoryview]

_BLOCK = 1024 * 1024  # of CSV, read at once; holds every header that is archived
_LARGE_BLOCK = 128 * 1024 * 1024  # for a part with a record that is longer than that
_RECORDS = 4096  # of JSON, read at once
_ENCODER = msgspec.json.Encoder(decimal_format="number")


@dataclass(frozen=True, slots=True)
class Batch:
    """
    Some records of a part, in their order.

    :param rows: how many.
    :param columns: the declared columns they have, as Arrow arrays of strings.
    :param sent: the same values as they were sent, for those that turn out to be unreadable.
    :param others: what else each record has, by name; empty if none has anything.
    """

    rows: int
    columns: Mapping[str, Any]
    sent: Callable[[str, int], Any]
    others: Sequence[dict[str, Any]]


def iter_batches(open_chunks: Callable[[], Chunks], content_type: str, declared: Sequence[str]) -> Iterator[Batch]:
    """
    Yield the records of a part.

    :param open_chunks: begins to read what the vendor sent; called again if a record is too long for the first try.
    :param declared: columns to return as columns.
    :raises InvalidBodyError: something in it is no record.
    """
    if not content_type.startswith("text/csv"):
        yield from _iter_json(open_chunks(), content_type, declared)
        return
    import pyarrow as pa

    rows = 0
    try:
        for batch in _iter_csv(open_chunks(), declared, _BLOCK):
            rows += batch.rows
            yield batch
    except pa.ArrowInvalid as error:
        if "straddl" not in str(error):
            raise InvalidBodyError(f"Behind row {rows:,}: {str(error)[:200]}") from None
        yield from _iter_csv(open_chunks(), declared, _LARGE_BLOCK, skip=rows)


def to_json(value: Any) -> str:
    """Write a value as JSON, decimals and integers of any size with every digit."""
    try:
        return _ENCODER.encode(value).decode()
    except (OverflowError, UnicodeEncodeError):  # more than 64 bits; half of a surrogate pair
        return _write(value)


def _iter_csv(chunks: Chunks, declared: Sequence[str], block: int, skip: int = 0) -> Iterator[Batch]:
    import pyarrow as pa
    from pyarrow import csv

    pieces = iter(chunks)
    head = b""
    while len(head) < _BLOCK and (piece := next(pieces, None)) is not None:
        head += piece
    names = next(iter_csv_records([head]), [])
    places = [str(number) for number in range(len(names))]
    if not names:
        return
    reader = csv.open_csv(
        pa.PythonFile(io.BufferedReader(_ChunkReader(chain([head], pieces)), _BLOCK), mode="r"),
        read_options=csv.ReadOptions(block_size=block, column_names=places, use_threads=False),
        parse_options=csv.ParseOptions(newlines_in_values=True),
        convert_options=csv.ConvertOptions(
            column_types=dict.fromkeys(places, pa.binary()),  # what is no UTF-8 is found cell by cell
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=True,
        ),
    )
    left = skip + 1  # the header is the first record
    for batch in reader:
        taken = min(left, batch.num_rows)
        left -= taken
        if taken < batch.num_rows:
            yield _split_csv(names, batch.slice(taken), declared)


def _split_csv(names: Sequence[str], batch: Any, declared: Sequence[str]) -> Batch:
    texts = {name: _to_text(batch.column(place)) for place, name in enumerate(names)}
    columns = {name: texts[name] for name in declared if name in texts}
    rest = {name: cells for name, cells in texts.items() if name not in columns and cells.null_count < len(cells)}
    others: list[dict[str, Any]] = [{} for _ in range(batch.num_rows)] if rest else []
    for name, cells in rest.items():
        for other, cell in zip(others, cells.to_pylist(), strict=True):
            if cell is not None:
                other[name] = cell
    return Batch(batch.num_rows, columns, lambda name, row: columns[name][row].as_py(), others)


def _to_text(cells: Any) -> Any:
    """Return cells as strings; one that is no UTF-8 is read as Windows-1252, as everywhere in this package."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        return pc.cast(cells, pa.string())
    except pa.ArrowInvalid:
        return pa.array([None if cell is None else _decode(cell) for cell in cells.to_pylist()], pa.string())


def _decode(cell: bytes) -> str:
    for encoding in ("utf-8", "cp1252"):
        try:
            return cell.decode(encoding)
        except UnicodeDecodeError:
            continue
    return cell.decode("latin-1")


def _iter_json(chunks: Chunks, content_type: str, declared: Sequence[str]) -> Iterator[Batch]:
    rows = iter_rows(chunks, content_type)
    while records := list(islice(rows, _RECORDS)):
        yield _split_json(records, declared)


def _split_json(records: Sequence[Mapping[str, Any]], declared: Sequence[str]) -> Batch:
    import pyarrow as pa

    values = {name: [value_at(record, name) for record in records] for name in declared}
    columns = {name: pa.array([_as_text(value) for value in own], pa.string()) for name, own in values.items()}
    others = [_find_others(record, frozenset(declared)) for record in records]
    return Batch(len(records), columns, lambda name, row: values[name][row], others if any(others) else [])


def _find_others(record: Mapping[str, Any], declared: frozenset[str]) -> dict[str, Any]:
    """Return the members that are not declared; an object stays whole unless all that is in it is declared."""
    return {
        name: value
        for name, value in record.items()
        if value not in (None, "") and name not in declared and not _is_covered(name, value, declared)
    }


def _is_covered(path: str, value: Any, declared: frozenset[str]) -> bool:
    if path in declared:
        return True
    return isinstance(value, dict) and all(
        _is_covered(f"{path}.{name}", each, declared) for name, each in value.items()
    )


def _as_text(value: Any) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        return str(value) if isinstance(value, Decimal) else to_json(value)
    return value if value.isascii() else value.encode(errors="backslashreplace").decode()


def _write(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(name)}:{_write(member)}" for name, member in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_write, value)) + "]"
    return str(value) if isinstance(value, Decimal) else json.dumps(value)


class _ChunkReader(io.RawIOBase):
    """Chunks as a file to read from."""

    def __init__(self, chunks: Iterator[bytes | memoryview]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count
