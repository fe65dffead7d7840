"""Reads a paged listing: pages asked for before it is their turn, and what a reading of the listing held."""

from __future__ import annotations

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol, Self

from airflow_usage_provider.exceptions import TransientError
from airflow_usage_provider.vendors.json_records import JsonPage, read_members

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST_NEWEST = 65_536
_KEY_FIELDS = ("customer_identifier", "environment")


class FetchPage(Protocol):
    """Asks for a page, so many times where that may help; None behind the end."""

    def __call__(self, number: int, *, attempts: int | None = None) -> JsonPage | None: ...


class PagesAhead:
    """
    Hands out the pages in order, and asks for some of those behind in the meantime.

    Nobody knows which page is the last before it has come, so asking ahead is a guess: it begins with one page and
    doubles, takes no more of the vendor's rate than is free, is tried once, and is not waited for at the end. What
    failed ahead is asked for again, in full, when it is its turn.

    :param limit: pages on their way at the same time.
    :param has_room: whether a request could start now.
    """

    def __init__(self, fetch: FetchPage, *, limit: int, has_room: Callable[[], bool]) -> None:
        self._fetch = fetch
        self._limit = limit
        self._has_room = has_room
        self._depth = 1
        self._ahead: dict[int, Future[JsonPage | None]] = {}
        self._executor = ThreadPoolExecutor(limit, thread_name_prefix="page")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)

    def take(self, number: int, *, likely_last: int | None = None) -> JsonPage | None:
        """
        Return a page; None behind the end.

        :param likely_last: nothing behind this page is asked for before its turn; None if nobody knows.
        """
        self._depth = min(2 * self._depth, self._limit)
        if self._limit > 1:
            end = number + self._depth
            if likely_last is not None and likely_last >= number:
                end = min(end, likely_last + 1)
            for following in range(number, end):
                if following not in self._ahead and self._has_room():
                    self._ahead[following] = self._executor.submit(self._fetch, following, attempts=1)
        future = self._ahead.pop(number, None)
        if future is not None:
            try:
                return future.result()
            except TransientError:
                pass  # now it is its turn
        return self._fetch(number)


class Reading:
    """One reading of a listing: which users it held, in which order. Memory is eight bytes a user."""

    def __init__(self) -> None:
        self.pages = 0
        self.rows = 0
        self.duplicates = 0
        self.columns: dict[str, None] = {}
        self._users = _DigestSet()
        self._page_digests: set[bytes] = set()
        self._order = hashlib.sha256()

    def add_page(self, page: JsonPage) -> list[bytes] | None:
        """
        Take the next page and return those of its records whose user is new; None for a page that came before.

        Users without an identifier are as many as there are records of them.
        """
        keys: list[bytes] = []
        fresh: list[bytes] = []
        for record in page.records:
            fields = read_members(record)
            self.columns.update(dict.fromkeys(fields))
            user = fields.get(_KEY_FIELDS[0], b"null")
            key = _digest(b"\x00".join(fields.get(name, b"") for name in _KEY_FIELDS))
            is_named = user not in {b"null", b'""'}
            if is_named and not self._users.add(key):
                self.duplicates += 1
            else:
                fresh.append(record)
            keys.append(key if is_named else _digest(record))
        digest = _digest(b"".join(keys))
        if keys and digest in self._page_digests:
            return None
        self._page_digests.add(digest)
        self._order.update(b"".join(keys))
        self.pages += 1
        self.rows += len(fresh)
        return fresh

    def agrees_with(self, other: Reading) -> bool:
        """Whether both readings held the same users in the same order."""
        return self._order.digest() == other._order.digest()


class _DigestSet:
    """A set of 64-bit digests: a small one of the newest, and a sorted array of the others."""

    def __init__(self) -> None:
        self._newest: set[int] = set()
        self._others: Any = None

    def add(self, digest: bytes) -> bool:
        """Add a digest; False if it was there already."""
        number = int.from_bytes(digest, "big")
        if number in self._newest or self._is_among_others(number):
            return False
        self._newest.add(number)
        if len(self._newest) >= _MOST_NEWEST:
            self._settle()
        return True

    def _is_among_others(self, number: int) -> bool:
        if self._others is None:
            return False
        position = int(self._others.searchsorted(self._others.dtype.type(number)))
        return position < len(self._others) and int(self._others[position]) == number

    def _settle(self) -> None:
        import numpy as np

        newest = np.fromiter(self._newest, dtype=np.uint64, count=len(self._newest))
        self._others = newest if self._others is None else np.concatenate([self._others, newest])
        self._others.sort()
        self._newest.clear()


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=8).digest()
