"""What the vendors send: a CSV export of any size and pages of any number of users, from one small block of memory.

The rows are the sandbox's. Both are arithmetic, so that the runner knows what must arrive without keeping it.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_right
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING

from sandbox.exportfile import CYCLE, SLOT, build_csv
from sandbox.exportrows import Question
from sandbox.switches import KeywordsAISwitches, LangdockSwitches
from sandbox.userrows import Frame, users_row
from sandbox.users import Users

if TYPE_CHECKING:
    from collections.abc import Iterator

DAY = date(2025, 1, 15)
BLOCK_ROWS = 30 * CYCLE  # about 16 MB
_SERIAL = "\ue000"


@dataclass(frozen=True, slots=True)
class Expected:
    """What a run must have stored."""

    rows: int
    bytes: int
    sha256: str


class ExportData:
    """Exports as the head and a block of rows, the block repeated, the last one cut behind a row."""

    @cached_property
    def _parts(self) -> tuple[bytes, bytes, list[int]]:
        file = build_csv(Question(7, "bench", "users", DAY, DAY, None, 0, LangdockSwitches(rows=2 * CYCLE)))
        fields = [template.count(SLOT) for template in file.templates]
        rows = [file.templates[n % CYCLE] % ((n,) * fields[n % CYCLE]) for n in range(BLOCK_ROWS)]
        return file.head, b"".join(rows), [0, *accumulate(map(len, rows))]

    @cached_property
    def memory(self) -> bytes:
        """Head and block: what :meth:`pieces` points into."""
        return self._parts[0] + self._parts[1]

    def rows(self, size: int) -> int:
        """Records of an export of at most ``size`` bytes."""
        head, block, ends = self._parts
        blocks, rest = divmod(size - len(head), len(block))
        return blocks * BLOCK_ROWS + bisect_right(ends, rest) - 1

    def pieces(self, size: int) -> Iterator[tuple[int, int]]:
        """Offset and length, within ``memory``, of each piece of an export of at most ``size`` bytes."""
        head, block, ends = self._parts
        blocks, rest = divmod(size - len(head), len(block))
        yield 0, len(head)
        for _ in range(blocks):
            yield len(head), len(block)
        yield len(head), ends[bisect_right(ends, rest) - 1]

    def expect(self, size: int, copies: int = 1) -> Expected:
        """Return what exports of at most ``size`` bytes are, one behind the other."""
        digest, total = hashlib.sha256(), 0
        memory = memoryview(self.memory)
        for offset, length in [*self.pieces(size)] * copies:
            digest.update(memory[offset : offset + length])
            total += length
        return Expected(self.rows(size) * copies, total, digest.hexdigest())


class UserData:
    """Pages of users, of 714 bytes each or so; users differ by identifier, id and e-mail."""

    @cached_property
    def _templates(self) -> list[bytes]:
        users, frame = Users(7, "bench", "prod", everyone=True), Frame("daily", DAY)
        templates = []
        for index in range(1000):
            row = users_row(users, index, frame, KeywordsAISwitches())
            row |= {"customer_identifier": f"{_SERIAL}@example.org", "email": f"{_SERIAL}@example.org"}
            text = json.dumps(row, ensure_ascii=False).replace("%", "%%").replace(_SERIAL, "%09d")
            templates.append(text.encode())
        return templates

    def page(self, users: int, number: int, size: int, link: str) -> bytes:
        """Return the body of a page, from 1."""
        first, last = (number - 1) * size, min(number * size, users)
        rows = b",".join(self._templates[n % 1000] % (n, n) for n in range(first, last))
        tail = {
            "count": max(last - first, 0),
            "previous": f"{link}{number - 1}" if number > 1 else None,
            "next": f"{link}{number + 1}" if last < users else None,
            "aggregation_data": {"total_users": users},
        }
        return b'{"results":[' + rows + b"]," + json.dumps(tail).encode()[1:]

    def expect(self, users: int, copies: int = 1) -> Expected:
        """Return what listings are: the size is that of the rows, the hash that of the sorted identifiers."""
        digest, total = hashlib.sha256(), 0
        for n in range(users):
            digest.update(b"%09d@example.org\n" % n * copies)
            total += len(self._templates[n % 1000] % (n, n)) * copies
        return Expected(users * copies, total, digest.hexdigest())
