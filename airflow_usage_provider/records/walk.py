"""Walks over the pages of a listing to an end that is known to be one. Absence is never an end.

An end is a page that says so (null where the next page is named, ``has_more`` false), or, where pages have numbers, the
vendor's own answer to a page behind the last: no such page, or one without records. The latter counts only behind a
page that may have been the last: one that does not say that more follows, or says so only because it is full.
"""

from __future__ import annotations

import hashlib
from itertools import count
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_usage_provider.exceptions import IncompleteSnapshotError, InvalidBodyError
from airflow_usage_provider.records.pages import UNSAID, Page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_PAGES = 100_000
SAID, PASSED = "said", "passed"  # the two ways to know an end
_HERE = "this page is not the last"


class Walk:
    """
    One walk; iterate over it, then ask how it ended.

    ``end`` is ``said`` or ``passed``, ``asked`` the pages that were asked for.

    :param take: returns the page at a cursor or of a number; None if the vendor says that there is no such page.
    :param first: number of the first page; None where pages have cursors.
    :param page_size: records of a full page; None if nobody knows.
    :param last: stop at this page, counted from 1, which is known from an earlier walk.
    """

    def __init__(
        self, take: Callable[[Any], Page | None], *, first: int | None, page_size: int | None, last: int | None = None
    ) -> None:
        self.end = SAID
        self.asked = 0
        self._take = take
        self._first = first
        self._size = page_size
        self._last = last

    def __iter__(self) -> Iterator[Page]:
        """
        Yield the pages in order.

        :raises IncompleteSnapshotError: they do not come to an end, or go in circles.
        """
        return self._iter_cursors() if self._first is None else self._iter_numbers(self._first)

    def _ask(self, position: Any) -> Page | None:
        if self.asked >= MAX_PAGES:
            _refuse(f"The listing does not end within {MAX_PAGES} pages")
        self.asked += 1
        return self._take(position)

    def _iter_cursors(self) -> Iterator[Page]:
        cursor: Any = None
        known: set[bytes] = set()
        for number in count(1):
            page = self._ask(cursor)
            if page is None:
                _refuse(f"Page {number} is named, but does not exist" if cursor else "The listing has no first page")
            yield page
            cursor = read_next(page, number)
            if number == self._last or cursor is None:
                return
            if cursor is UNSAID or cursor is _HERE:
                _refuse(f"Page {number} does not say {'where' if cursor is _HERE else 'whether'} more follows")
            if isinstance(cursor, bool) or not isinstance(cursor, str | int):
                raise InvalidBodyError(f"Page {number} names a next page that is no cursor")
            mark = hashlib.blake2b(repr(cursor).encode(), digest_size=16).digest()
            if mark in known:
                _refuse(f"Page {number} names a next page that an earlier page named")
            known.add(mark)

    def _iter_numbers(self, first: int) -> Iterator[Page]:
        before: Page | None = None
        for number in count(first):
            page = self._ask(number)
            if before is not None and (page is None or not page.records):
                if not before.records:  # which said that more follows: here, that says nothing
                    self.end = PASSED
                    return
                if page is None or not _is_more(read_next(page, number)):
                    self._check_last(before, number)
                    return
            elif page is None:
                _refuse("The listing has no first page")
            elif before is not None and not before.records:
                _refuse(f"Page {number} has records, page {number - 1} has none")
            yield page
            following = read_next(page, number)
            if number - first + 1 == self._last or following is None:
                return
            if isinstance(following, int) and not isinstance(following, bool) and following <= number:
                _refuse(f"Page {number} says that page {following} is next")
            if not page.records and following is UNSAID:
                self.end = PASSED
                return
            if number == first:
                self._first_rows = len(page.records)
            before = page

    def _check_last(self, before: Page, number: int) -> None:
        """Refuse an end that contradicts the page before it."""
        full = self._first_rows
        if self._size is not None:
            full = self._size if number - 1 == self._first else min(self._size, full)
        if _is_more(read_next(before, number - 1)) and len(before.records) < full:
            _refuse(f"Page {number - 1} says that more follows, and page {number} has nothing")
        self.end = PASSED


def read_sign(page: Page) -> str:
    """Return what kind of thing a page says of the next one: the same in each reading, as cursors may not be."""
    following = read_next(page, 1)
    return "none" if following is None else "unsaid" if following is UNSAID else "more"


def read_next(page: Page, number: int) -> Any:
    """
    Return what a page says of the next one: as :attr:`Page.next`, with ``has_more`` of its envelope heeded.

    :raises InvalidBodyError: it contradicts itself.
    """
    following = UNSAID if page.next == "" else page.next
    more = page.envelope.get("has_more", UNSAID)
    if more is UNSAID:
        return following
    if not isinstance(more, bool):
        raise InvalidBodyError(f"Page {number} says neither that more follows nor that nothing does")
    names_one = following is not None and following is not UNSAID
    if more:
        return following if names_one else _HERE
    if names_one:
        raise InvalidBodyError(f"Page {number} says that nothing follows, and what does")
    return None


def _is_more(following: Any) -> bool:
    return following is not None and following is not UNSAID


def _refuse(message: str) -> NoReturn:
    raise IncompleteSnapshotError(message, next_step="Nothing was archived; try again later.")
