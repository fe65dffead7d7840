"""Reads archived bytes as rows, without losing a value and without trusting one.

Columns and members of one name are kept under names of their own. Cells are text; decimals of JSON are ``Decimal``.
What cannot be read as a record is refused with its number. Memory holds one record, and no record is of any length.
"""

from __future__ import annotations

import csv
import json
import logging
import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_usage_provider.exceptions import InvalidBodyError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_MOST_BYTES = 64 * 1024 * 1024  # of a record; a longer one is no record but an attack, or the wrong format
_MOST_DEPTH = 200  # of a record's lists and objects, so that whoever walks or writes it needs no look at the stack
_MOST_VALUES = 1_000_000  # of a record: 64 MiB of empty lists would be gigabytes
_MOST_DIGITS = 4000  # of an int; beyond, Python refuses to read or write one as text
_BOM = b"\xef\xbb\xbf"
_SURROGATE = re.compile("[\udc80-\udcff]")
_MARK = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[{\]},]', re.DOTALL)  # text without an end is read once, not at each quote
_log = logging.getLogger(__name__)


def unique_names(names: Sequence[str]) -> tuple[str, ...]:
    """
    Return the names with every repetition numbered: a second ``requests`` becomes ``requests_2``.

    No number makes a name that is there already: of ``a, a, a_2``, the second becomes ``a_3``.
    """
    taken = set(names)
    if len(taken) == len(names):
        return tuple(names)
    seen: dict[str, int] = {}
    unique = []
    for name in names:
        number = seen.get(name, 0) + 1
        if number > 1:
            while f"{name}_{number}" in taken:
                number += 1
            taken.add(f"{name}_{number}")
        seen[name] = number
        unique.append(name if number == 1 else f"{name}_{number}")
    return tuple(unique)


def iter_rows(chunks: Iterable[bytes | memoryview], content_type: str) -> Iterator[dict[str, Any]]:
    """
    Yield the records of a part.

    Of CSV, every cell is text, also the empty one. Of JSON Lines, values are as in JSON, decimals ``Decimal``, and so
    are integers of more digits than Python reads.

    :param chunks: the uncompressed bytes.
    :param content_type: of the part, as its manifest says.
    :raises InvalidBodyError: a record cannot be read; its number is in the message, counted from 1.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == "application/x-ndjson":
        yield from _iter_json_rows(chunks)
        return
    if media_type != "text/csv":
        raise InvalidBodyError(f"Records of content type {content_type!r} cannot be read")
    records = iter_csv_records(chunks)
    names = next(records, [])
    for record in records:
        yield dict(zip(names, record, strict=True))


def iter_csv_records(chunks: Iterable[bytes | memoryview]) -> Iterator[list[str]]:
    """
    Yield the header with unique names, then the cells of every record, each as wide as the header.

    Read as Python's csv module reads: cells may hold line breaks, blank lines are none. UTF-8, with or without a byte
    order mark; a cell that is not UTF-8 is read as Windows-1252, which loses no byte, and a warning tells of it.

    :raises InvalidBodyError: a record is narrower or wider than the header, or too long.
    """
    lines = _CsvLines(chunks)
    width = other_cells = 0
    reader = csv.reader(lines)
    while True:
        try:
            record = next(reader, None)
        except csv.Error as error:
            _refuse(lines.record, str(error))
        if record is None:
            break
        if not record:
            lines.size = 0
            continue
        if lines.has_other_bytes:
            other_cells += _decode_others(record)
        if lines.record == 0:
            if any("\0" in name for name in record):
                _refuse(0, "not CSV in UTF-8 or another superset of ASCII")
            record = list(unique_names(record))
            width = len(record)
        elif len(record) != width:
            _refuse(lines.record, f"it has {len(record)} cells, the header has {width}")
        lines.start_record()
        yield record
    if other_cells:
        _log.warning("Cells that are not UTF-8, and were read as Windows-1252: %s", f"{other_cells:,}")


class _CsvLines(Iterator[str]):
    """The lines of a CSV as text; bytes that are no UTF-8 stand as surrogates until the record is whole."""

    def __init__(self, chunks: Iterable[bytes | memoryview]) -> None:
        self._lines = _iter_lines(chunks, is_csv=True)
        self.record = 0
        self.size = 0
        self.has_other_bytes = False

    def start_record(self) -> None:
        self.record += 1
        self.size = 0
        self.has_other_bytes = False

    def __next__(self) -> str:
        line = next(self._lines)
        if self.record == self.size == 0:
            line = line.removeprefix(_BOM)
        self.size += len(line)
        if self.size > _MOST_BYTES:
            _refuse(self.record, f"it is longer than {_MOST_BYTES:,} bytes")
        if self.size > csv.field_size_limit():
            csv.field_size_limit(_MOST_BYTES)  # the whole process's; never lowered, as another thread may be reading
        try:
            return line.decode()
        except UnicodeDecodeError:
            self.has_other_bytes = True
            return line.decode(errors="surrogateescape")


def _decode_others(record: list[str]) -> int:
    """Read the cells that are no UTF-8 as Windows-1252, or Latin-1 where that lacks a letter; return how many."""
    others = [place for place, cell in enumerate(record) if _SURROGATE.search(cell)]
    for place in others:
        cell = record[place].encode(errors="surrogateescape")
        try:
            record[place] = cell.decode("cp1252")
        except UnicodeDecodeError:
            record[place] = cell.decode("latin-1")
    return len(others)


def _iter_json_rows(chunks: Iterable[bytes | memoryview]) -> Iterator[dict[str, Any]]:
    decoder = json.JSONDecoder(
        object_pairs_hook=_read_object,
        parse_float=_read_decimal,
        parse_int=lambda text: int(text) if len(text) <= _MOST_DIGITS else _read_decimal(text),
        parse_constant=_refuse_constant,
    )
    record = 0
    for line in _iter_lines(chunks, is_csv=False):
        if line.isspace():
            continue
        record += 1
        if len(line) > _MOST_BYTES:
            _refuse(record, f"it is longer than {_MOST_BYTES:,} bytes")
        try:
            text = line.decode()
            _refuse_vast(text, record)
            row = decoder.decode(text)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            _refuse(record, "it is no JSON object in UTF-8")
        yield row


def _iter_lines(chunks: Iterable[bytes | memoryview], *, is_csv: bool) -> Iterator[bytes]:
    """
    Yield lines with their ends; of one that is too long, the beginning, for the caller to refuse.

    :param is_csv: CR ends a line too; what of CRLF comes with the next chunk is a blank line, or belongs to its cell.
    """
    ends = (b"\n", b"\r") if is_csv else (b"\n",)
    pending: list[bytes] = []
    size = 0
    for chunk in chunks:
        lines = bytes(chunk).splitlines(keepends=True) if is_csv else bytes(chunk).split(b"\n")
        for position, line in enumerate(lines):
            is_last = position == len(lines) - 1
            pending.append(line if is_csv or is_last else line + b"\n")
            size += len(line)
            if size <= _MOST_BYTES and is_last and not line.endswith(ends):
                continue
            yield pending[0] if len(pending) == 1 else b"".join(pending)
            pending, size = [], 0
    if size:
        yield b"".join(pending)


def _refuse_vast(text: str, record: int) -> None:
    """Refuse what would be large or deep as Python objects, before it is."""
    if text.count("[") + text.count("{") <= _MOST_DEPTH and text.count(",") <= _MOST_VALUES:
        return
    depth = values = 0
    for match in _MARK.finditer(text):
        mark = match[0]
        depth += (mark in "[{") - (mark in "]}")
        values += mark in "[{,"
        if depth > _MOST_DEPTH or values > _MOST_VALUES:
            _refuse(record, f"it has more than {_MOST_VALUES:,} values, or is nested deeper than {_MOST_DEPTH}")


def _read_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    return dict(zip(unique_names([name for name, _ in pairs]), (value for _, value in pairs), strict=True))


def _read_decimal(text: str) -> Decimal | str:
    try:
        return Decimal(text)
    except InvalidOperation:  # an exponent of nineteen digits: kept as it was sent
        return text


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _refuse(record: int, why: str) -> NoReturn:
    where = f"Record {record:,}" if record else "The header"
    raise InvalidBodyError(f"{where} cannot be read: {why}")
