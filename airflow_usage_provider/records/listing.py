"""Reads a paged listing: pages asked for before it is their turn, and what a reading of the listing held."""

from __future__ import annotations

import hashlib
import logging
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol, Self

from airflow_usage_provider.exceptions import TransientError
from airflow_usage_provider.records.json_members import MemberReader

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_usage_provider.records.json import JsonPage

_log = logging.getLogger(__name__)
_MOST_NEWEST = 65_536
_KEY_FIELDS = ("customer_identifier", "environment")
_NAMELESS = {b"", b"null", b'""'}


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
    :param count_retry: told of each page that is asked for again.
    """

    def __init__(
        self, fetch: FetchPage, *, limit: int, has_room: Callable[[], bool], count_retry: Callable[[], None]
    ) -> None:
        self._fetch = fetch
        self._count_retry = count_retry
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
            except TransientError as error:
                self._count_retry()
                _log.warning("Failed ahead of its turn, in which it is asked for again: %s", error)
        return self._fetch(number)


class Reading:
    """One reading of a listing: which users it held, in which order. Memory is eight bytes a user."""

    def __init__(self) -> None:
        self.pages = 0
        self.rows = 0
        self.duplicates = 0
        self._members = MemberReader(*_KEY_FIELDS)
        self._users = _DigestSet()
        self._page_digests: set[bytes] = set()
        self._order = hashlib.sha256()

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the users' members, in order of first appearance."""
        return tuple(self._members.names)

    def add_page(self, page: JsonPage) -> list[bytes] | None:
        """
        Take the next page and return those of its records whose user is new; None for a page that came before.

        Users without an identifier are as many as there are records of them.
        """
        users = [self._members.read(record) for record in page.records]
        is_named = [user not in _NAMELESS for user, _ in users]
        keys = [
            _digest(b"\x00".join(user) if named else record)
            for user, named, record in zip(users, is_named, page.records, strict=True)
        ]
        order = b"".join(keys)
        digest = _digest(order)
        if keys and digest in self._page_digests:
            return None
        self._page_digests.add(digest)
        self._order.update(order)
        is_known = self._users.add_all(keys, is_named)
        fresh = [record for record, known in zip(page.records, is_known, strict=True) if not known]
        self.pages += 1
        self.rows += len(fresh)
        self.duplicates += len(keys) - len(fresh)
        return fresh

    def agrees_with(self, other: Reading) -> bool:
        """Whether both readings held the same users in the same order."""
        return self._order.digest() == other._order.digest()


class _DigestSet:
    """A set of 64-bit digests: a small one of the newest, and a sorted array of the others."""

    def __init__(self) -> None:
        self._newest: set[bytes] = set()
        self._others: Any = None

    def add_all(self, digests: list[bytes], is_counted: list[bool]) -> list[bool]:
        """Add those that count, in order; return which of them were there already."""
        is_known = self._are_among_others(digests)
        for position, digest in enumerate(digests):
            if not is_counted[position]:
                is_known[position] = False
            elif digest in self._newest:
                is_known[position] = True
            elif not is_known[position]:
                self._newest.add(digest)
        if len(self._newest) >= _MOST_NEWEST:
            self._settle()
        return is_known

    def _are_among_others(self, digests: list[bytes]) -> list[bool]:
        if self._others is None:
            return [False] * len(digests)
        import numpy as np

        wanted = np.frombuffer(b"".join(digests), dtype=np.uint64)
        places = self._others.searchsorted(wanted).clip(max=len(self._others) - 1)
        found: list[bool] = (self._others[places] == wanted).tolist()
        return found

    def _settle(self) -> None:
        import numpy as np

        newest = np.frombuffer(b"".join(self._newest), dtype=np.uint64)
        self._others = newest.copy() if self._others is None else np.concatenate([self._others, newest])
        self._others.sort()
        self._newest.clear()


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=8).digest()
