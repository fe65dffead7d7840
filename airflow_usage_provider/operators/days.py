"""Which days a task archives: the usage date and those before it, as far as they can be had. Newest first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_usage_provider.exceptions import ConfigurationError
from airflow_usage_provider.models import FIRST_DAY, UsageWindow

if TYPE_CHECKING:
    from datetime import date

MAX_LOOKBACK_DAYS = 400  # vendors keep a year at most
MAX_DAYS_IN_FLIGHT = 32


@dataclass(frozen=True, slots=True)
class Days:
    """
    The days of one task.

    :param windows: those to archive, newest first; never none.
    :param skipped: how many of the look-back are older than what can be had.
    :param oldest: the oldest day that can be had.
    """

    windows: list[UsageWindow]
    skipped: int
    oldest: date


def plan_days(newest: UsageWindow, lookback_days: int, *, horizon: date | None = None) -> Days:
    """
    Return the days to archive.

    :param horizon: the oldest day that the vendor still has; None if it forgets nothing.
    :raises ConfigurationError: not even the newest one can be had.
    """
    oldest = max(FIRST_DAY, horizon or FIRST_DAY)
    if newest.usage_date < oldest:
        raise ConfigurationError(
            f"usage_date {newest.usage_date} is older than what the vendor still has, which begins on {oldest}",
            next_step="Give a later day.",
        )
    days = [newest.usage_date - timedelta(days=back) for back in range(lookback_days + 1)]
    windows = [UsageWindow(day, newest.timezone) for day in days if day >= oldest]
    return Days(windows, len(days) - len(windows), oldest)


def whole_number(name: str, value: Any, *, least: int, most: int) -> int:
    """
    Return a parameter that is a whole number, also as a template left it.

    :raises ConfigurationError: it is not, or out of bounds.
    """
    try:
        number = float("nan" if isinstance(value, bool) else value)
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if not least <= number <= most or number != int(number):
        raise ConfigurationError(
            f"{name} is {repr(value)[:100]}", next_step=f"Give a whole number from {least} to {most}."
        )
    return int(number)
