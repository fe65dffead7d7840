"""Counts what is asked of a vendor through one connection. Logs and metrics tell it; it knows nothing of either."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PROGRESS_SECONDS = 10.0
_share: ContextVar[Traffic | None] = ContextVar("share", default=None)


class Traffic:
    """
    Counters that many threads may raise.

    ``requests`` are those to the vendor's API, tries anew among them; ``retries`` are the tries anew, of requests and
    of downloads.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.requests = 0
        self.retries = 0
        self._whole: Traffic | None = None
        self._clock = clock
        self._told = clock()
        self._lock = threading.Lock()

    def count_request(self) -> None:
        """Count a request that is about to be sent."""
        with self._lock:
            self.requests += 1
        if (share := _share.get()) is not None and share is not self:
            share.count_request()

    def count_retry(self) -> None:
        """Count a request or a download that failed and is tried anew."""
        with self._lock:
            self.retries += 1
        if (share := _share.get()) is not None and share is not self:
            share.count_retry()

    @contextmanager
    def counted_apart(self) -> Iterator[Traffic]:
        """
        Count what is asked within the block once more, apart from what others ask meanwhile.

        It goes by the context: a thread that is started in the block counts if it runs in a copy of it.
        """
        share = Traffic(clock=self._clock)
        share._whole = self
        token = _share.set(share)
        try:
            yield share
        finally:
            _share.reset(token)

    def is_progress_due(self) -> bool:
        """Whether to tell of progress now: True at most every ten seconds, whoever asks."""
        if self._whole is not None:
            return self._whole.is_progress_due()
        with self._lock:
            if (now := self._clock()) - self._told < _PROGRESS_SECONDS:
                return False
            self._told = now
            return True
