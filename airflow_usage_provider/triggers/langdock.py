"""Waits in the triggerer until a Langdock export's signed URL serves.

What is stored and logged of a trigger is stored and logged in clear: kwargs and event hold no URL and no key. Every
blocking call runs in a thread, and waiting takes none. Only what waiting cannot mend ends the wait before its deadline.
"""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_usage_provider.exceptions import AuthenticationError, FatalError, UsageProviderError
from airflow_usage_provider.hooks.langdock import LangdockHook
from airflow_usage_provider.triggers.polling import Poll, poll_export
from airflow_usage_provider.triggers.shared_hooks import SharedHook, SharedHooks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


_HOOKS = SharedHooks(LangdockHook)
_LAST_POLL = 30.0  # seconds that a poll may overrun the deadline


class LangdockExportTrigger(BaseTrigger):
    """
    Fires once, when the export is ready, when waiting cannot help, or at the deadline.

    The event is ``{"status": "ready" | "error" | "timeout", "message": str}``.

    :param langdock_conn_id: Airflow connection to the vendor.
    :param stream: stream of the export.
    :param usage_date: the day, ``YYYY-MM-DD``.
    :param group_by: grouping of the export.
    :param timezone: IANA name of the day's zone.
    :param on_empty: ``ready`` or ``wait``: what a period without data counts as.
    :param poll_interval: seconds between two polls.
    :param deadline: when to give up, ISO 8601 with offset.
    """

    def __init__(
        self,
        *,
        langdock_conn_id: str,
        stream: str,
        usage_date: str,
        deadline: str,
        group_by: str | None = None,
        timezone: str = "UTC",
        on_empty: str = "ready",
        poll_interval: float = 60.0,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.langdock_conn_id = langdock_conn_id
        self.stream = stream
        self.usage_date = usage_date
        self.deadline = deadline
        self.group_by = group_by
        self.timezone = timezone
        self.on_empty = on_empty
        self.poll_interval = poll_interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return class path and kwargs, as Airflow stores them."""
        names = "langdock_conn_id stream usage_date deadline group_by timezone on_empty poll_interval"
        return (
            "airflow_usage_provider.triggers.langdock.LangdockExportTrigger",
            {name: getattr(self, name) for name in names.split()},
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll until there is something to say, and say it once."""
        yield TriggerEvent(await self._wait())  # type: ignore[no-untyped-call]

    async def _wait(self) -> dict[str, str]:
        message = told = "It was never polled."
        pause = self.poll_interval * random.uniform(0.5, 1.0)  # noqa: S311 - triggers that start together spread
        async with _HOOKS.hold(self.langdock_conn_id) as shared:
            while (left := self._seconds_left()) > 0:
                await asyncio.sleep(min(left, pause))
                pause = jitter = self.poll_interval * random.uniform(0.9, 1.1)  # noqa: S311
                try:
                    poll = await asyncio.wait_for(self._poll(shared), timeout=max(self._seconds_left(), _LAST_POLL))
                except FatalError as error:
                    return {"status": "error", "message": str(error)}
                except TimeoutError:
                    message = "The vendor had not answered the last poll."
                except UsageProviderError as error:
                    message = str(error)
                except Exception as error:  # noqa: BLE001 - nobody knows that it lasts; its text may hold a URL
                    message = f"The export could not be polled: {type(error).__name__}."
                else:
                    message = poll.message
                    if poll.is_ready:
                        return {"status": "ready", "message": message}
                    if poll.retry_after:
                        pause = max(pause, poll.retry_after + jitter)
                if message != told:  # a line costs the triggerer more than a poll
                    told = message
                    self.log.info("%s It is polled every %g s.", message, self.poll_interval)
        return {"status": "timeout", "message": message}

    def _seconds_left(self) -> float:
        return (datetime.fromisoformat(self.deadline) - datetime.now(UTC)).total_seconds()

    async def _poll(self, shared: SharedHook[LangdockHook]) -> Poll:
        """Ask; with a connection that is resolved anew if the key that was kept is refused."""
        hook = await shared.open()
        try:
            return await shared.line.call(self._ask(hook))
        except AuthenticationError:
            return await shared.line.call(self._ask(await shared.open(instead_of=hook)))

    def _ask(self, hook: LangdockHook) -> Callable[[], Poll]:
        question = {name: getattr(self, name) for name in ("stream", "usage_date", "group_by", "timezone", "on_empty")}
        return partial(poll_export, hook, **question, waits=False)
