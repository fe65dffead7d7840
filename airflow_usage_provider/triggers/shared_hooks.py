"""One hook for all triggers of a process that wait at one connection, and with it one HTTP session.

Airflow is asked for a connection once, and again after some minutes: a key that was replaced meanwhile is found.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Generic, TypeVar

from airflow_usage_provider.hooks.base import UsageHook

if TYPE_CHECKING:
    from collections.abc import Callable

HookT = TypeVar("HookT", bound=UsageHook)


class SharedHooks(Generic[HookT]):
    """
    Hooks by connection id.

    :param make: builds a hook from a connection id.
    :param seconds: how long a hook is handed out before its connection is resolved again.
    """

    def __init__(
        self, make: Callable[[str], HookT], *, seconds: float = 300.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._make = make
        self._seconds = seconds
        self._clock = clock
        self._hooks: dict[str, tuple[HookT, float]] = {}
        self._lock = threading.Lock()

    def find(self, conn_id: str) -> HookT | None:
        """Return the hook if it is there and young enough."""
        hook, made = self._hooks.get(conn_id, (None, 0.0))
        return hook if self._clock() - made < self._seconds else None

    def resolve(self, conn_id: str) -> HookT:
        """
        Return the hook, open; asks Airflow for its connection if need be, and blocks.

        :raises ConfigurationError: there is no such connection, or it cannot be right.
        """
        with self._lock:
            if (found := self.find(conn_id)) is not None:
                return found
            hook = self._make(conn_id)
            hook.get_conn()
            old, _ = self._hooks.get(conn_id, (None, 0.0))
            self._hooks[conn_id] = hook, self._clock()
        if old is not None:
            old.close()  # polls on their way keep their sockets
        return hook

    def clear(self) -> None:
        """Close and forget all hooks."""
        with self._lock:
            while self._hooks:
                self._hooks.popitem()[1][0].close()
