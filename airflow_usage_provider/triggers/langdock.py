"""Waits in the triggerer until a Langdock export's signed URL serves.

What is stored and logged of a trigger is stored and logged in clear: kwargs and event hold no URL and no key. Every
blocking call runs in a thread, every poll is followed by a sleep, and the deadline ends the wait.
"""

from __future__ import annotations

import asyncio
import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from airflow_usage_provider.exceptions import FatalError, UsageProviderError
from airflow_usage_provider.hooks.langdock import LangdockHook
from airflow_usage_provider.models import UsageWindow
from airflow_usage_provider.triggers.shared_hooks import SharedHooks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


# Of our own: the loop's default threads serve every trigger of the process, and an export takes half a minute.
_POLLS = ThreadPoolExecutor(max_workers=64, thread_name_prefix="langdock-poll")
_HOOKS = SharedHooks(LangdockHook)
_LAST_POLL = 30.0  # seconds that a poll may overrun the deadline


def probe_export(
    hook: LangdockHook, *, stream: str, usage_date: str, group_by: str | None, timezone: str, on_empty: str
) -> tuple[bool, str]:
    """
    Ask once whether an export can be downloaded.

    :param on_empty: ``ready`` or ``wait``: what a period without data counts as.
    :return: whether it can, and what to say about it.
    :raises FatalError: waiting cannot help.
    """
    from airflow_usage_provider.vendors.langdock.api import ExportQuery

    query = ExportQuery(window=UsageWindow.parse(usage_date, timezone), stream=stream, group_by=group_by)
    try:
        is_ready = hook.is_export_ready(query)
    except FatalError:
        raise
    except UsageProviderError as error:
        return False, f"Not ready: {error}"
    if is_ready is None:
        return on_empty == "ready", f"The vendor has no data for {stream} of {usage_date}."
    return is_ready, f"The export {stream} of {usage_date} is {'ready' if is_ready else 'not ready'}."


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
        deadline = datetime.fromisoformat(self.deadline)
        message = told = "It was never polled."
        pause = self.poll_interval * random.uniform(0.5, 1.0)  # noqa: S311 - triggers that start together spread
        try:
            while (left := (deadline - datetime.now(UTC)).total_seconds()) > 0:
                await asyncio.sleep(min(left, pause))
                pause = self.poll_interval * random.uniform(0.9, 1.1)  # noqa: S311
                hook = _HOOKS.find(self.langdock_conn_id)
                if hook is None:
                    # The connection comes through the triggerer's own loop, which only this kind of thread can ask.
                    hook = await sync_to_async(_HOOKS.resolve)(self.langdock_conn_id)
                poll = asyncio.get_running_loop().run_in_executor(_POLLS, self._probe, hook)
                left = (deadline - datetime.now(UTC)).total_seconds()
                is_ready, message = await asyncio.wait_for(poll, timeout=max(left, _LAST_POLL))
                if is_ready:
                    return {"status": "ready", "message": message}
                if message != told:  # a line costs the triggerer more than a poll
                    told = message
                    self.log.info("%s It is polled every %g s.", message, self.poll_interval)
        except TimeoutError:
            message = "The vendor had not answered the last poll."
        except UsageProviderError as error:
            return {"status": "error", "message": str(error)}
        except Exception as error:  # noqa: BLE001 - Airflow stores an escaping error with its text, which may hold a URL
            return {"status": "error", "message": f"The export could not be polled: {type(error).__name__}."}
        return {"status": "timeout", "message": message}

    def _probe(self, hook: LangdockHook) -> tuple[bool, str]:
        return probe_export(
            hook,
            stream=self.stream,
            usage_date=self.usage_date,
            group_by=self.group_by,
            timezone=self.timezone,
            on_empty=self.on_empty,
        )
