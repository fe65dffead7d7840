"""Keeps the requests of one connection under the vendor's published rate, within this process.

At most ``per_minute`` requests start in any minute. Limiters are shared by name, so that two tasks or triggers of one
process that use one connection share its rate too.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_WINDOW = 60.5  # seconds: half a second more than the vendor's minute, for requests that travel at different speeds


class RateLimiter:
    """
    A sliding window over the starts of requests.

    :param per_minute: requests in any minute; 0 for no limit.
    """

    def __init__(
        self,
        per_minute: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._starts: deque[float] = deque(maxlen=per_minute or 1)
        self._is_limited = per_minute > 0
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._paused_until = float("-inf")

    def wait(self) -> float:
        """Sleep until a request may start, longer if the vendor asks to wait meanwhile; return the seconds slept."""
        begun, start = self._reserve()
        slept = 0.0
        while start > begun:
            self._sleep(start - begun)
            slept += start - begun
            if self._paused_until <= start:
                break
            begun, start = self._reserve()
        return slept

    def _reserve(self) -> tuple[float, float]:
        """Return the time, and when the next request may start."""
        with self._lock:
            now = self._clock()
            start = max(now, self._paused_until)
            if self._is_limited:
                if len(self._starts) == self._starts.maxlen:
                    start = max(start, self._starts[0] + _WINDOW)
                self._starts.append(start)
        return now, start

    def try_start(self) -> float:
        """Start a request if one may start now, and return 0; else the seconds until one may."""
        with self._lock:
            now = self._clock()
            start = max(now, self._paused_until)
            if self._is_limited and len(self._starts) == self._starts.maxlen:
                start = max(start, self._starts[0] + _WINDOW)
            if self._is_limited and start <= now:
                self._starts.append(now)
            return start - now

    def has_room(self) -> bool:
        """Whether a request could start now."""
        with self._lock:
            now = self._clock()
            is_full = self._is_limited and len(self._starts) == self._starts.maxlen and self._starts[0] + _WINDOW > now
            return not is_full and self._paused_until <= now

    def pause(self, seconds: float) -> None:
        """Let no request start for so long: the vendor asked one of them to wait, which goes for all."""
        with self._lock:
            self._paused_until = max(self._paused_until, self._clock() + seconds)


_limiters: dict[tuple[str, str, int], RateLimiter] = {}
_limiters_lock = threading.Lock()


def shared_limiter(vendor: str, conn_id: str, per_minute: int) -> RateLimiter:
    """Return the process's limiter of a connection."""
    with _limiters_lock:
        return _limiters.setdefault((vendor, conn_id, per_minute), RateLimiter(per_minute))
