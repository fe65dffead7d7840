"""All triggers of a process that wait at one connection share its hook, and with it one HTTP session and one rate.

A connection is resolved once, and again after some minutes: a key that was replaced meanwhile is found. When the last
trigger of a connection has ended, nothing is left of it.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Generic, TypeVar

from asgiref.sync import sync_to_async

from airflow_usage_provider.hooks.base import UsageHook
from airflow_usage_provider.triggers.line import Line

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

HookT = TypeVar("HookT", bound=UsageHook)
POLLS_AT_ONCE = 16  # of one connection


class SharedHook(Generic[HookT]):
    """
    The hook of one connection, and the line for it.

    :param make: builds a hook from a connection id.
    :param seconds: how long a hook is handed out before its connection is resolved again.
    """

    def __init__(self, make: Callable[[], HookT], *, seconds: float, clock: Callable[[], float]) -> None:
        self.line = Line(POLLS_AT_ONCE)
        self.holders = 0
        self._make = make
        self._seconds = seconds
        self._clock = clock
        self._hook: HookT | None = None
        self._made = 0.0
        self._resolving = asyncio.Lock()

    async def open(self, *, instead_of: HookT | None = None) -> HookT:
        """
        Return the hook, open; asks Airflow for its connection if need be.

        :param instead_of: a hook whose key was refused: it is not handed out again.
        :raises UsageProviderError: the connection cannot be had, or cannot be right.
        """
        async with self._resolving:
            hook = self._hook
            if hook is None or hook is instead_of or self._clock() - self._made >= self._seconds:
                self.close()
                hook = self._make()
                # The connection comes through the triggerer's own loop, which only this kind of thread can ask.
                await sync_to_async(hook.get_conn)()
                self._hook, self._made = hook, self._clock()
            return hook

    def close(self) -> None:
        """Close the hook; polls on their way keep their sockets."""
        if self._hook is not None:
            self._hook.close()
            self._hook = None


class SharedHooks(Generic[HookT]):
    """Hooks by connection id, for as long as a trigger holds them."""

    def __init__(
        self, make: Callable[[str], HookT], *, seconds: float = 300.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._make = make
        self._seconds = seconds
        self._clock = clock
        self._shared: dict[str, SharedHook[HookT]] = {}

    def __len__(self) -> int:
        return len(self._shared)

    @asynccontextmanager
    async def hold(self, conn_id: str) -> AsyncIterator[SharedHook[HookT]]:
        """Give the shared hook of a connection for the length of the block."""
        shared = self._shared.get(conn_id)
        if shared is None:
            shared = SharedHook(lambda: self._make(conn_id), seconds=self._seconds, clock=self._clock)
            self._shared[conn_id] = shared
        shared.holders += 1
        try:
            yield shared
        finally:
            shared.holders -= 1
            if not shared.holders:
                del self._shared[conn_id]
                shared.close()
