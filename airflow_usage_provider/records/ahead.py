"""Asks for pages before it is their turn."""

from __future__ import annotations

import logging
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, Self

from airflow_usage_provider.exceptions import TransientError

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_usage_provider.records.pages import Page

_log = logging.getLogger(__name__)


class FetchNumber(Protocol):
    """Asks for a page, so many times where that may help; None behind the end."""

    def __call__(self, position: Any, *, attempts: int | None = None) -> Page | None: ...


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
        self, fetch: FetchNumber, *, limit: int, has_room: Callable[[], bool], count_retry: Callable[[], None]
    ) -> None:
        self._fetch = fetch
        self._count_retry = count_retry
        self._limit = limit
        self._has_room = has_room
        self._depth = 1
        self._ahead: dict[int, Future[Page | None]] = {}
        self._executor = ThreadPoolExecutor(limit, thread_name_prefix="page")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)

    def take(self, number: int, *, likely_last: int | None = None) -> Page | None:
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
                    fetch = partial(self._fetch, following, attempts=1)
                    self._ahead[following] = self._executor.submit(copy_context().run, fetch)  # counts as the caller's
        future = self._ahead.pop(number, None)
        if future is not None:
            try:
                return future.result()
            except TransientError as error:
                self._count_retry()
                _log.warning("Failed ahead of its turn, in which it is asked for again: %s", error)
        return self._fetch(number)
