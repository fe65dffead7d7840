"""A file of any number of rows that is never in memory as a whole.

The first ``CYCLE`` rows are made; the file repeats them with a running number in place of each row's ``SERIAL``. The
number has a fixed width, so the size of the file and the place of every row in it are arithmetic.
"""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from sandbox.data import MODELS
from sandbox.exportrows import SERIAL, Question, Row, make_row

if TYPE_CHECKING:
    from collections.abc import Iterator

CYCLE = 100 * len(MODELS)  # a whole number of groups, so that grouped rows keep their serial together
SLOT = b"%012d"


@dataclass(frozen=True)
class ExportFile:
    """The bytes of one export.

    :param templates: the cycle's rows with ``SLOT`` in place of the running number and every other % doubled.
    :param last: the template of the last row, which may end differently.
    :param group: rows that share one running number.
    """

    head: bytes
    templates: tuple[bytes, ...]
    last: bytes
    tail: bytes
    rows: int
    group: int = 1

    @cached_property
    def _cycle_size(self) -> int:
        return sum(map(_rendered_size, self.templates))

    @cached_property
    def size(self) -> int:
        """Bytes of the whole file."""
        return sum(size for size, _ in self._pieces())

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """The bytes from ``start`` to ``stop``, in pieces of one cycle."""
        stop = self.size if stop is None else stop
        position = 0
        for size, first_row in self._pieces():
            if position >= stop:
                return
            if position + size > start:
                piece = self._render(first_row)
                yield piece[max(0, start - position) : stop - position]
            position += size

    def _pieces(self) -> Iterator[tuple[int, int]]:
        """Each piece's size and first row; -1 stands for the head, ``rows - 1`` is the last row and the tail."""
        yield len(self.head), -1
        for first in range(0, self.rows - 1, CYCLE):
            count = min(CYCLE, self.rows - 1 - first)
            whole = count == len(self.templates)
            yield self._cycle_size if whole else sum(map(_rendered_size, self.templates[:count])), first
        yield (_rendered_size(self.last) if self.rows else 0) + len(self.tail), max(self.rows - 1, 0)

    def _render(self, first: int) -> bytes:
        if first < 0:
            return self.head
        if first >= self.rows - 1:
            return (_fill([self.last], first, self.group) if self.rows else b"") + self.tail
        return _fill(self.templates[: self.rows - 1 - first], first, self.group)


def _rendered_size(template: bytes) -> int:
    return len(template % ((0,) * template.count(SLOT)))


def _fill(templates: tuple[bytes, ...] | list[bytes], first: int, group: int) -> bytes:
    numbers = [(first + n) // group for n, template in enumerate(templates) for _ in range(template.count(SLOT))]
    return b"".join(templates) % tuple(numbers)


def count_rows(question: Question) -> int:
    """How many data rows an export has."""
    if question.switches.empty:
        return 0
    if question.switches.rows is not None:
        return question.switches.rows
    return len(question.subjects)


@lru_cache(maxsize=32)
def build_csv(question: Question) -> ExportFile:
    """The CSV file that answers a question."""
    switches, rows = question.switches, count_rows(question)
    sample = _sample(question, rows)
    end = "\r\n" if switches.crlf else "\n"
    head = _csv_line(list(make_row(question, 0)), end)
    cells = [[_csv_cell(value, multiline=switches.multiline) for value in row.values()] for row in sample]
    lines = [_csv_line(row, end) for row in cells]
    last = ""
    if rows:
        last = _csv_line(cells[(rows - 1) % CYCLE][: -1 if switches.ragged else None], end)
        last = last if switches.final_newline else last.removesuffix(end)
    return ExportFile(
        head=("\ufeff" * switches.bom + head).encode(),
        templates=tuple(map(_to_template, lines)),
        last=_to_template(last),
        tail=b"",
        rows=rows,
        group=_group_size(question),
    )


@lru_cache(maxsize=8)
def build_json(question: Question, metadata: str) -> ExportFile:
    """The body of the JSON route; ``metadata`` is its last member, as JSON."""
    rows = count_rows(question)
    lines = [json.dumps(row, ensure_ascii=False, default=_json_number) for row in _sample(question, rows)]
    return ExportFile(
        head=b'{"success":true,"data":[',
        templates=tuple(_to_template(line + ",") for line in lines),
        last=_to_template(lines[(rows - 1) % CYCLE]) if rows else b"",
        tail=f'],"metadata":{metadata}}}'.encode(),
        rows=rows,
        group=_group_size(question),
    )


def _sample(question: Question, rows: int) -> list[Row]:
    return [make_row(question, index) for index in range(min(rows, CYCLE))]


def _group_size(question: Question) -> int:
    return len(MODELS) if question.group_by == "model" else 1


def _json_number(value: object) -> float:
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(type(value))


def _csv_cell(value: Any, *, multiline: bool) -> str:
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False, indent=2 if multiline else None)
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else f"{value:f}" if isinstance(value, Decimal) else str(value)


def _csv_line(cells: list[str], end: str) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator=end).writerow(cells)
    return buffer.getvalue()


def _to_template(line: str) -> bytes:
    return line.encode().replace(b"%", b"%%").replace(SERIAL.encode(), SLOT)
