"""Counts the records of a CSV body as its bytes pass, and checks that each is as wide as the header.

Records, not lines: quoted cells may hold line breaks. Quotes are read as Python's csv module reads them, byte-order
mark, CRLF and a missing final line end included. Memory does not grow with the body.
"""

from __future__ import annotations

import csv
import io
import re
from enum import Enum, auto

from airflow_usage_provider.exceptions import IncompleteSnapshotError, InvalidBodyError
from airflow_usage_provider.records.csv_blocks import Place, count_records

_SPECIAL = re.compile(rb'[",\r\n]')
_CELL = rb'(?:"(?:[^"]++|"")*+"[^,\r\n]*+|[^",\r\n][^,\r\n]*+|)'
_FIRST_RECORD = re.compile(rb"[\r\n]*+" + _CELL + rb"(?:," + _CELL + rb")*+(?:\n|\r\n|\r(?=[^\n]))")
_BOM = b"\xef\xbb\xbf"
_MAX_HEADER_BYTES = 1024 * 1024
_QUOTE, _COMMA, _CR, _LF = b'",\r\n'


class _State(Enum):
    FIELD_START = auto()
    UNQUOTED = auto()
    QUOTED = auto()
    QUOTE_IN_QUOTED = auto()


class CsvRecordCounter:
    """
    Feed it the body chunk by chunk, then call :meth:`finish`.

    ``rows`` is the number of records below the header, ``columns`` the header's names, ``is_terminated`` whether the
    last record ends with a line end.
    """

    _block = 512 * 1024  # bytes that are counted at once
    _least = 4096  # bytes that are worth it
    _least_first = 256 * 1024  # bytes that are worth importing numpy for

    def __init__(self) -> None:
        self.rows = 0
        self.columns: tuple[str, ...] = ()
        self.is_terminated = True
        self._head: bytes | None = b""
        self._rest = b""  # too short to be worth counting
        self._wanted = self._least_first
        self._state = _State.FIELD_START
        self._commas = 0
        self._is_blank = True
        self._after_cr = False

    def feed(self, chunk: bytes | memoryview) -> None:
        """
        Take the next bytes.

        :raises IncompleteSnapshotError: a record is narrower or wider than the header.
        :raises InvalidBodyError: this is no CSV.
        """
        data = bytes(chunk) if self._head is None else self._feed_head(self._head + bytes(chunk))
        if data:
            self.is_terminated = data[-1] in (_LF, _CR)
        if self._rest:
            data = self._rest + data
        if len(data) < self._wanted:
            self._rest = data
            return
        self._rest, self._wanted, at = b"", self._least, 0
        while at < len(data):
            at = self._count(data, at, min(at + self._block, len(data)))

    def _count(self, data: bytes, start: int, stop: int) -> int:
        """Count the records of a block; return where to go on."""
        if self._after_cr:
            stop = start + 1
        state = self._state
        place = Place(state is _State.QUOTED, state is not _State.UNQUOTED, self._commas)
        counted = count_records(data, start, stop, len(self.columns), place)
        if counted is None:
            self._scan(data[start:stop])
            return stop
        rows, stop, place = counted
        self.rows += rows
        self._commas, last = place.commas, data[stop - 1]
        self._is_blank = last == _LF and not place.is_quoted
        if place.is_quoted:
            self._state = _State.QUOTED
        elif last == _QUOTE:
            self._state = _State.QUOTE_IN_QUOTED
        else:
            self._state = _State.FIELD_START if place.is_marked else _State.UNQUOTED
        return stop

    def finish(self) -> None:
        """
        Take the end of the body.

        :raises IncompleteSnapshotError: it ends within a quoted cell or a record that is too narrow.
        """
        if self._head:
            self.is_terminated = self._head.endswith((b"\r", b"\n"))
            if self._find_record_end(self._head + b"\n") is None and self._head.removeprefix(_BOM).strip(b"\r\n"):
                raise IncompleteSnapshotError("The CSV ends within a quoted cell of its header")
            self._take_head(self._head, len(self._head))
        self._scan(self._rest)
        if self._state is _State.QUOTED:
            raise IncompleteSnapshotError("The CSV ends within a quoted cell")
        if not self._is_blank:
            self._end_record()

    def _feed_head(self, head: bytes) -> bytes:
        """Collect bytes up to the end of the first record; return those behind it."""
        if head.lstrip(_BOM).lstrip()[:1] in (b"<", b"{", b"["):
            raise InvalidBodyError("The body is not CSV but HTML, XML or JSON")
        end = self._find_record_end(head)
        if end is None:
            if len(head) > _MAX_HEADER_BYTES:
                raise InvalidBodyError(f"The body is not CSV: no header within {_MAX_HEADER_BYTES} bytes")
            self._head = head
            return b""
        self._head = None
        self._take_head(head, end)
        return head[end:]

    def _take_head(self, head: bytes, end: int) -> None:
        try:
            text = head[:end].removeprefix(_BOM).decode("utf-8")
        except UnicodeDecodeError:
            text = head[:end].decode("latin-1")
        if "\x00" in text:
            raise InvalidBodyError("The body is not CSV in UTF-8 or another superset of ASCII")
        try:
            self.columns = next((tuple(row) for row in csv.reader(io.StringIO(text, newline="")) if row), ())
        except csv.Error:
            raise InvalidBodyError("The body is not CSV: a name of its header is too long") from None

    @staticmethod
    def _find_record_end(head: bytes) -> int | None:
        """Return where the first record that is not blank ends; None if that does not show yet."""
        match = _FIRST_RECORD.match(head, len(_BOM) if head.startswith(_BOM) else 0)
        return match.end() if match else None

    def _scan(self, data: bytes) -> None:
        """Count with a look at every special byte: the rules of Python's csv module."""
        state, last = self._state, 0
        for match in _SPECIAL.finditer(data):
            position = match.start()
            byte = data[position]
            if position > last:  # bytes without a meaning of their own lie before this one
                self._is_blank = self._after_cr = False
                if state is not _State.QUOTED:
                    state = _State.UNQUOTED
            last = match.end()
            if state is _State.QUOTED:
                if byte == _QUOTE:
                    state = _State.QUOTE_IN_QUOTED
                continue
            if byte == _QUOTE:
                self._is_blank = self._after_cr = False
                state = _State.UNQUOTED if state is _State.UNQUOTED else _State.QUOTED
            elif byte == _COMMA:
                self._is_blank = self._after_cr = False
                self._commas += 1
                state = _State.FIELD_START
            else:
                if not (byte == _LF and self._after_cr) and not self._is_blank:
                    self._end_record()
                self._after_cr = byte == _CR
                state = _State.FIELD_START
        if last < len(data):
            self._is_blank = self._after_cr = False
            if state is not _State.QUOTED:
                state = _State.UNQUOTED
        self._state = state

    def _end_record(self) -> None:
        self.rows += 1
        if self._commas != len(self.columns) - 1:
            self._refuse_width(self.rows, self._commas + 1)
        self._commas = 0
        self._is_blank = True

    def _refuse_width(self, row: int, width: int) -> None:
        raise IncompleteSnapshotError(f"CSV record {row} has {width} cells, the header has {len(self.columns)}")
