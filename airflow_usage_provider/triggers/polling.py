"""One poll of an export: what a sensor that pokes and a trigger that waits both do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_usage_provider.exceptions import FatalError, RateLimitedError, UsageProviderError
from airflow_usage_provider.models import UsageWindow

if TYPE_CHECKING:
    from airflow_usage_provider.hooks.langdock import LangdockHook


@dataclass(frozen=True, slots=True)
class Poll:
    """
    What a poll found.

    :param message: what to say about it; nothing secret.
    :param retry_after: seconds before which it is no use to come back.
    """

    is_ready: bool
    message: str
    retry_after: float = 0.0


def poll_export(
    hook: LangdockHook,
    *,
    stream: str,
    usage_date: str,
    group_by: str | None,
    timezone: str,
    on_empty: str,
    waits: bool = True,
) -> Poll:
    """
    Ask once whether an export can be downloaded.

    :param on_empty: ``ready`` or ``wait``: what a period without data counts as.
    :param waits: wait for a turn under the connection's rate; a trigger comes back instead, as waiting takes a thread.
    :raises FatalError: waiting cannot help.
    """
    from airflow_usage_provider.vendors.langdock.api import ExportQuery

    query = ExportQuery(window=UsageWindow.parse(usage_date, timezone), stream=stream, group_by=group_by)
    try:
        is_ready = hook.is_export_ready(query, waits=waits)
    except FatalError:
        raise
    except RateLimitedError as error:
        return Poll(is_ready=False, message=f"Not ready: {error}", retry_after=error.retry_after or 0.0)
    except UsageProviderError as error:
        return Poll(is_ready=False, message=f"Not ready: {error}")
    if is_ready is None:
        return Poll(on_empty == "ready", f"The vendor has no data for {stream} of {usage_date}.")
    return Poll(is_ready, f"The export {stream} of {usage_date} is {'ready' if is_ready else 'not ready'}.")
