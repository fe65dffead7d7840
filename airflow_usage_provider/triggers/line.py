"""Polls of one connection stand in line, and a thread serves them one after the other.

A poll that wakes a thread of its own costs the triggerer a third more than one that comes behind another. As long as
somebody stands in line, one more thread comes every moment: a vendor may take half a minute for an answer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
_MOMENT = 0.25  # seconds
# Of our own: the loop's default threads serve every trigger of the process. As many as all lines may want; a thread is
# made when it is needed.
_THREADS = ThreadPoolExecutor(max_workers=4096, thread_name_prefix="usage-poll")


class Line:
    """
    The line of one connection, in one event loop.

    :param most: threads that serve it at the same time; what hangs or is throttled takes no more than these.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._serving: list[Future[None]] = []
        self._timer: asyncio.TimerHandle | None = None

    @property
    def threads(self) -> int:
        """How many serve it now."""
        return sum(not thread.done() for thread in self._serving)

    async def call(self, work: Callable[[], T]) -> T:
        """Run ``work`` in a thread when its turn comes; not at all when the caller has gone by then."""
        answer: Future[T] = Future()
        self._waiting.append((answer, work))
        if self._timer is None:
            self._send_thread()
        return await asyncio.wrap_future(answer)

    def _send_thread(self) -> None:
        """Send a thread if somebody waits, and look again in a moment while there is one."""
        self._serving = [thread for thread in self._serving if not thread.done()]
        if self._waiting and len(self._serving) < self._most:
            self._serving.append(_THREADS.submit(self._serve))
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(_MOMENT, self._send_thread) if self._serving else None

    def _serve(self) -> None:
        with suppress(IndexError):
            while True:
                answer, work = self._waiting.popleft()
                if answer.set_running_or_notify_cancel():
                    try:
                        answer.set_result(work())
                    except BaseException as error:  # noqa: BLE001 - the caller's
                        answer.set_exception(error)
