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
from airflow_usage_provider.records.csv_blocks import count_records

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

    def __init__(self) -> None:
        self.rows = 0
        self.columns: tuple[str, ...] = ()
        self.is_terminated = True
        self._head: bytes | None = b""
        self._rest = b""  # what begins with a record and was too short to be worth counting
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
        view = memoryview(chunk if self._head is None else self._feed_head(self._head + bytes(chunk)))
        if view:
            self.is_terminated = view[-1] in (_LF, _CR)
        while view:
            rest, block = self._rest, view[: self._block]
            if rest:
                block = memoryview(b"".join((rest, block)))
            if len(block) < self._least and self._is_between_records():
                self._rest = bytes(block)
                return
            end = self._count(block)
            self._rest, view = rest[end:], view[max(end - len(rest), 0) :]

    def _count(self, block: memoryview) -> int:
        """Count the records of a block; return where to go on."""
        if not self._is_between_records():
            return self._scan_to_record_end(bytes(block))
        if counted := count_records(block, len(self.columns)):
            rows, end = counted
            self.rows += rows
            return end
        self._scan(bytes(block))
        return len(block)

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

    def _is_between_records(self) -> bool:
        return self._is_blank and not self._after_cr

    def _scan_to_record_end(self, block: bytes) -> int:
        """Scan to the next place where a record may end, until one does; return where, which may be the block's end."""
        end = 0
        while end < len(block) and not self._is_between_records():
            mark = b'"' if self._state is _State.QUOTED else b"\n"
            start, end = end, block.find(mark, end) + 1 or len(block)
            self._scan(block[start:end])
        return end

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
