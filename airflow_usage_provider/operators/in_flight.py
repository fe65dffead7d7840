"""Calls that run at the same time, a few at once, and end with the one who waits for them.

The threads are daemons: one that hangs in a read does not keep a task alive that was told to stop.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from contextvars import copy_context
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


def call_in_flight(
    call: Callable[[ItemT], ResultT], items: Sequence[ItemT], *, limit: int, stop: Callable[[], None]
) -> list[ResultT]:
    """
    Return what a call returns for each item, in the order of the items.

    :param call: runs in a thread, in a copy of the caller's context; what it raises ends everything.
    :param limit: how many run at the same time; one runs them here, one after the other.
    :param stop: called when the caller is interrupted, or a call raises: lets those that still run come to their end.
    """
    if limit == 1 or len(items) == 1:
        return [call(item) for item in items]
    waiting = deque(enumerate(items))
    results: dict[int, ResultT] = {}
    ended: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

    def work() -> None:
        while waiting:
            try:
                index, item = waiting.popleft()
            except IndexError:  # another took it
                return
            try:
                results[index] = call(item)
            except BaseException as error:  # noqa: BLE001 - raised where it is waited for
                ended.put(error)
                return
            ended.put(None)

    try:
        for number in range(min(limit, len(items))):
            threading.Thread(target=copy_context().run, args=(work,), name=f"day_{number}", daemon=True).start()
        for _ in items:
            _raise_any(ended.get())
    except BaseException:
        waiting.clear()
        stop()
        raise
    return [results[index] for index in range(len(items))]


def _raise_any(error: BaseException | None) -> None:
    if error is not None:
        raise error
