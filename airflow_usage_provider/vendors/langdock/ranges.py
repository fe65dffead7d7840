"""Which days Langdock exports: how far back, and whether an answer is of the day that was asked for."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_usage_provider.models import load_zone

if TYPE_CHECKING:
    from airflow_usage_provider.models import UsageWindow

_LAST_INSTANT = timedelta(milliseconds=1)


def find_oldest_date(today: date) -> date:
    """Return the oldest day that can be exported: the vendor goes 12 months back."""
    try:
        return today.replace(year=today.year - 1)
    except ValueError:  # 29 February
        return today.replace(year=today.year - 1, day=28)


def is_of_another_day(said: Any, window: UsageWindow) -> bool:
    """
    Whether the range that an export says it covers plainly is another than the day asked for.

    Its ends may be wall-clock times of the zone, whatever ``Z`` or offset stands behind them (so the vendor takes
    them), or instants; the second may be the day's last moment or the first of the next day. What is missing or cannot
    be read says nothing.
    """
    ends = said if isinstance(said, dict) else {}
    first, last = (_readings(ends.get(name), window) for name in ("from", "to"))
    days = {moment.date() for moment in first}
    last_days = {moment.date() for end in last for moment in (end, end - _LAST_INSTANT)}
    return any(found and window.usage_date not in found for found in (days, last_days))


def _readings(said: Any, window: UsageWindow) -> list[datetime]:
    """Return the local times that an end of a range may mean."""
    text = said.get("date") if isinstance(said, dict) else said
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
        if moment is None or moment.year in {1, 9999}:
            return []
    except ValueError:
        return []
    local = [moment.astimezone(load_zone(window.timezone))] if moment.tzinfo else []
    return [each.replace(tzinfo=None) for each in (moment, *local)]
