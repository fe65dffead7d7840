"""Work on the bytes beside whoever brings them: hashing, compressing and sending all release Python's lock."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_AHEAD = 4


class Stage:
    """
    One kind of work, done in threads of its own, whose results come in the order of the calls.

    :param threads: how many calls run at the same time; one keeps the work itself in order.
    :param ahead: how many calls may be unfinished before the next one waits.
    """

    def __init__(self, name: str, *, threads: int = 1, ahead: int = _AHEAD) -> None:
        self._limit = max(threads, ahead)
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)  # starts threads when used
        self._calls: deque[Future[Any]] = deque()
        self._results: list[Any] = []

    def submit(self, call: Callable[..., Any], *arguments: Any) -> None:
        """Let a call be made; waits while too many are before it, and raises what one of them raised."""
        self._collect(leave=self._limit - 1)
        self._calls.append(self._executor.submit(call, *arguments))

    def finish(self) -> list[Any]:
        """Wait for all calls, and return what they returned."""
        self._collect(leave=0)
        return self._results

    def close(self) -> None:
        """Drop what has not begun, and wait for the rest."""
        self._executor.shutdown(wait=True, cancel_futures=True)
        self._calls.clear()

    def _collect(self, *, leave: int) -> None:
        while len(self._calls) > leave:
            self._results.append(self._calls.popleft().result())
