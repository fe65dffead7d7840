"""What changed between two answers for the same day, row by row.

Rows are compared as JSON objects, CSV ones with cells as text. Of the older answer, memory holds a hash of each row's
key; the rows themselves wait in a temporary file. Numbers are compared as decimals, exactly.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import tempfile
from dataclasses import dataclass, field
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
from typing import IO, TYPE_CHECKING, Any

from airflow_usage_provider.archive.catalog import find_part
from airflow_usage_provider.archive.parts import raw_chunks
from airflow_usage_provider.exceptions import ArchiveCorruptError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from airflow_usage_provider.archive.catalog import Day
    from airflow_usage_provider.archive.manifest import Manifest
    from airflow_usage_provider.archive.objects import Objects

#: What tells the rows of a stream apart: the first line whose first column there is, with those others there are.
KEYS = (
    ("customer_identifier", "environment"),
    ("api_key_id", "model"),
    ("user_id", "model"),
    ("assistant_id", "model"),
    ("project_id",),
    ("workflow_id",),
    ("provider", "name", "bring_your_keys", "source", "deployment"),
)
_EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)
_NUMERAL = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d{1,9})?", re.ASCII)
_MAX_CELL = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """
    One row, or a pair of rows with the same key.

    :param kind: ``added``, ``removed``, ``changed`` or ``same``.
    :param key: the key columns and their values; none if the whole row is the key.
    :param old: the row, or of a changed one the fields that differ.
    :param new: likewise.
    :param is_repeated: an earlier row of the same answer has this key; such rows are paired in their order.
    """

    kind: str
    key: Mapping[str, Any] = field(default_factory=dict)
    old: Mapping[str, Any] = field(default_factory=dict)
    new: Mapping[str, Any] = field(default_factory=dict)
    is_repeated: bool = False


def choose_key(columns: Iterable[str]) -> tuple[str, ...]:
    """Return the columns that tell rows apart; none if only whole rows do."""
    known = set(columns)
    return next((tuple(name for name in key if name in known) for key in KEYS if key[0] in known), ())


def compare_snapshots(objects: Objects, day: Day, old: Manifest, new: Manifest, key: Sequence[str]) -> Iterator[Change]:
    """
    Yield every pair and every single row: in the newer answer's order, then what it lacks in the older one's.

    :param key: names of columns; the whole row if there are none.
    :raises ArchiveCorruptError: a part is not what its manifest says; what was yielded before is then void.
    """
    has_csv = any(entry.content_type.startswith("text/csv") for entry in (*old.files, *new.files))
    rows = _Rows(tuple(key), is_text=has_csv)
    with tempfile.TemporaryFile() as store:
        index: dict[bytes, int] = {}
        position = 0
        for digest, line, _ in rows.identify(_iter_lines(objects, day, old)):
            index[digest] = position
            position += store.write(line)
        for digest, line, is_repeated in rows.identify(_iter_lines(objects, day, new)):
            before = _read_line(store, index.pop(digest)) if digest in index else None
            yield rows.compare(before, line, is_repeated=is_repeated)
        for position in index.values():
            yield rows.compare(_read_line(store, position), None, is_repeated=False)


class _Rows:
    """How the rows of two answers are identified and compared."""

    def __init__(self, key: tuple[str, ...], *, is_text: bool) -> None:
        self._key = key
        self._is_text = is_text

    def identify(self, lines: Iterable[bytes]) -> Iterator[tuple[bytes, bytes, bool]]:
        """Yield a hash of each row's key and its occurrence, the row, and whether the key occurred before."""
        seen: dict[bytes, int] = {}
        for line in lines:
            row = _parse(line)
            values = [row.get(name) for name in self._key] if self._key else row
            text = _canonical(values, is_text=self._is_text and not self._key)
            digest = hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest()
            seen[digest] = count = seen.get(digest, 0) + 1
            if count > 1:
                digest = hashlib.blake2b(digest + str(count).encode(), digest_size=16).digest()
            yield digest, line, count > 1

    def compare(self, before: bytes | None, after: bytes | None, *, is_repeated: bool) -> Change:
        """Say what happened to a row."""
        if before == after:
            return Change(kind="same", is_repeated=is_repeated)
        old, new = ({} if line is None else _parse(line) for line in (before, after))
        key = {name: (old if after is None else new).get(name) for name in self._key}
        if before is None or after is None:
            kind = "added" if before is None else "removed"
            return Change(kind=kind, key=key, old=old, new=new, is_repeated=is_repeated)
        names = [name for name in dict.fromkeys((*old, *new)) if self._differs(name, old, new)]
        old, new = ({name: row[name] for name in names if name in row} for row in (old, new))
        return Change(kind="changed" if names else "same", key=key, old=old, new=new, is_repeated=is_repeated)

    def _differs(self, name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
        if name not in old or name not in new:
            return True
        return _canonical(old[name], is_text=self._is_text) != _canonical(new[name], is_text=self._is_text)


def _iter_lines(objects: Objects, day: Day, manifest: Manifest) -> Iterator[bytes]:
    """Yield the rows of a snapshot as JSON, each with a line end."""
    for entry in manifest.files:
        chunks = raw_chunks(objects, find_part(objects, day, entry).name, entry)
        stream = io.BufferedReader(_ChunkReader(chunks))
        if entry.content_type.startswith("text/csv"):
            yield from _iter_csv(stream)
        else:
            yield from (line if line.endswith(b"\n") else line + b"\n" for line in stream)


def _iter_csv(stream: IO[bytes]) -> Iterator[bytes]:
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
    previous = csv.field_size_limit(_MAX_CELL)
    try:
        rows = (row for row in csv.reader(text) if row)
        names = next(rows, [])
        for row in rows:
            yield json.dumps(dict(zip(names, row, strict=False))).encode() + b"\n"
    finally:
        csv.field_size_limit(previous)


def _read_line(store: IO[bytes], position: int) -> bytes:
    store.seek(position)
    return store.readline()


def _parse(line: bytes) -> dict[str, Any]:
    try:
        row = json.loads(line, parse_float=Decimal)
    except (ValueError, ArithmeticError, RecursionError):
        row = None
    if not isinstance(row, dict):
        raise ArchiveCorruptError("A part is not JSON Lines of objects", next_step="Run usage-archive verify.")
    return row


def _canonical(value: Any, *, is_text: bool) -> str:
    """
    Write a value so that equal ones are written the same, whatever their decimals' zeros and their fields' order.

    :param is_text: text may stand for what it says, as in CSV.
    """
    if isinstance(value, dict):
        members = (f"{json.dumps(name)}:{_canonical(value[name], is_text=is_text)}" for name in sorted(value))
        return f"{{{','.join(members)}}}"
    if isinstance(value, list):
        return f"[{','.join(_canonical(member, is_text=is_text) for member in value)}]"
    if isinstance(value, bool) or value is None:
        return json.dumps(({None: "", True: "true", False: "false"}[value]) if is_text else value)
    if isinstance(value, str) and not (is_text and _NUMERAL.fullmatch(value)):
        return json.dumps(value)
    number = Decimal(value)
    return "0" if number.is_zero() else str(_EXACT.normalize(number))


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
