"""What one reading of a listing held: which records, in which order, and which of them came more than once.

Nothing a vendor sent goes without a word. A record whose very bytes came on an earlier page is left out and counted as
a duplicate: pages overlap when a listing moves. Twice on one page it is two records, as no page overlaps with itself,
and so are different records of one identity: all of them stay, and are counted as conflicts.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from itertools import accumulate, chain, compress, pairwise, repeat
from typing import TYPE_CHECKING, NamedTuple

from airflow_usage_provider.exceptions import IncompleteSnapshotError
from airflow_usage_provider.records.digests import SeenRecords, digest
from airflow_usage_provider.records.json_members import MemberReader
from airflow_usage_provider.schema import value_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_usage_provider.records.pages import Page

_NOTHING = {b"", b"null", b'""'}
_DUPLICATE, _NEW, _CONFLICT = range(3)


class Kept(NamedTuple):
    """What is kept of the records of a range, or of a page without ranges."""

    records: list[bytes]
    duplicates: int
    conflicts: int


class Reading:
    """
    One reading. Memory is some forty bytes a record.

    ``has_moved`` tells whether an identity came on two pages, ``last_page`` is the last one with records.

    :param identity: columns that tell two records apart; empty: only the whole record does.
    """

    def __init__(self, identity: Sequence[str] = ()) -> None:
        self.pages = self.rows = self.duplicates = self.conflicts = 0
        self.last_page = 1
        self.has_moved = False
        self._identity = tuple(identity)
        self._is_nested = any("." in name for name in identity)
        self._members = MemberReader(*(() if self._is_nested else self._identity))
        self._seen = SeenRecords()
        self._page_digests: set[bytes] = set()
        self._order = hashlib.sha256()
        self._last_sign = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the records' members, in order of first appearance."""
        return tuple(self._members.names)

    def add_page(self, page: Page, sign: str = "") -> list[Kept]:
        """
        Take the next page and return what is kept of it, for each of its ranges.

        :param sign: what the page says of the next one.
        :raises IncompleteSnapshotError: it came before.
        """
        ranges = [covered for covered in page.ranges if covered.rows is not None]
        bodies = [digest(record) for record in page.records]
        identities = self._identify(page.records, bodies)
        if ranges:  # what is alike in two ranges of time is not the same
            salts = chain.from_iterable(repeat(str(covered.start).encode(), covered.rows or 0) for covered in ranges)
            identities = [each and digest(salt + each) for salt, each in zip(salts, identities, strict=True)]
        self.pages += 1
        self._note_order(identities, bodies, sign)
        marks = self._mark(identities, bodies)
        edges = accumulate((covered.rows or 0 for covered in ranges) if ranges else [len(marks)], initial=0)
        kept = [_keep(page.records[start:end], marks[start:end]) for start, end in pairwise(edges)]
        self.rows += sum(len(part.records) for part in kept)
        self.duplicates += sum(part.duplicates for part in kept)
        self.conflicts += sum(part.conflicts for part in kept)
        return kept

    def agrees_with(self, other: Reading) -> bool:
        """Whether both readings held the same records in the same order, and ended alike."""
        return (self._order.digest(), self._last_sign) == (other._order.digest(), other._last_sign)

    def forget(self) -> None:
        """Give the memory back; what remains can still be compared."""
        self._seen = SeenRecords()

    def _identify(self, records: list[bytes], bodies: list[bytes]) -> list[bytes | None]:
        """Return the digest of each identity; None where a record has none."""
        values = map(self._read_nested if self._is_nested else self._members.read, records)
        if not self._identity:
            return [body for body, _ in zip(bodies, values, strict=True)]
        return [digest(b"\x00".join(each)) if not _NOTHING.issuperset(each) else None for each in values]

    def _read_nested(self, record: bytes) -> list[bytes]:
        self._members.read(record)
        document = json.loads(record, parse_float=str, parse_int=str)
        return [json.dumps(value_at(document, name), sort_keys=True).encode() for name in self._identity]

    def _note_order(self, identities: list[bytes | None], bodies: list[bytes], sign: str) -> None:
        order = b"".join(identity or body for identity, body in zip(identities, bodies, strict=True))
        if order:
            # Whoever sends one page for ever may send it with figures that run.
            if (mark := digest(order if len(bodies) > 1 else bodies[0])) in self._page_digests:
                raise IncompleteSnapshotError(f"Page {self.pages} repeats an earlier page")
            self._page_digests.add(mark)
        if order or self.pages == 1:
            self.last_page, self._last_sign = self.pages, sign
        self._order.update(order)

    def _mark(self, identities: list[bytes | None], bodies: list[bytes]) -> list[int]:
        """Tell of each record whether it is new."""
        named = [identity for identity in identities if identity is not None]
        is_known = self._seen.look_up(named)
        if is_known is None and len(set(named)) == len(identities):
            self._seen.add_new(named, bodies)
            return [_NEW] * len(bodies)
        marks, fresh = [], []
        came = Counter[tuple[bytes, bytes]]()
        may_be_known = iter(is_known or [False] * len(named))
        here: set[bytes] = set()
        for identity, body in zip(identities, bodies, strict=True):
            if identity is None:
                marks.append(_NEW)
                continue
            earlier = self._seen.find(identity) if next(may_be_known) else set()
            came[identity, body] += 1
            nth = body if (times := came[identity, body]) == 1 else digest(body + times.to_bytes(8))
            self.has_moved = self.has_moved or bool(earlier)
            if nth in earlier:
                marks.append(_DUPLICATE)
                continue
            if earlier:
                self._order.update(nth)
            marks.append(_CONFLICT if earlier or identity in here else _NEW)
            here.add(identity)
            fresh.append((identity, nth))
        for identity, nth in fresh:
            self._seen.add(identity, nth)
        return marks


def _keep(records: list[bytes], marks: list[int]) -> Kept:
    duplicates = marks.count(_DUPLICATE)
    return Kept(list(compress(records, marks)) if duplicates else records, duplicates, marks.count(_CONFLICT))
