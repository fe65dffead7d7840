"""The days that are missing from a series, found while its days pass by."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from airflow_usage_provider.archive.objects import StoredObject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from airflow_usage_provider.archive.catalog import Day
    from airflow_usage_provider.archive.keys import Series

_DAY = timedelta(days=1)
_BREAK = timedelta(days=366)  # longer than any vendor can be asked for afterwards


@dataclass(frozen=True, slots=True)
class Gap:
    """
    Days of a series without a snapshot, both ends included.

    :param is_break: more than a year lies between two archived days: a day before it that somebody mistyped, or a
        series that began anew. No gap that could be filled.
    """

    series: Series
    first: date
    last: date
    is_break: bool = False

    @property
    def days(self) -> int:
        """How many."""
        return (self.last - self.first).days + 1


def with_gaps(
    series: Series,
    days: Iterable[Day | StoredObject],
    *,
    since: date | None,
    find_end: Callable[[Day | None], date | None],
    now: datetime,
) -> Iterator[Day | StoredObject | Gap]:
    """
    Pass on what a series has, in order of its days, and the gaps between.

    :param since: the day to count from, without breaks; None for the first that has a snapshot.
    :param find_end: the day to count to, told the last day that has a snapshot; it may return None for that very day.
    :param now: days after tomorrow cannot be, and count for nothing.
    """
    tomorrow = now.astimezone(UTC).date() + _DAY
    expected, last = since, None
    for day in days:
        if not isinstance(day, StoredObject) and day.manifests and day.usage_date <= tomorrow:
            if expected and expected < day.usage_date:
                is_break = since is None and day.usage_date - expected > _BREAK
                yield Gap(series, expected, day.usage_date - _DAY, is_break)
            expected, last = day.usage_date + _DAY, day
        yield day
    end = find_end(last)
    if expected and end and expected <= end:
        yield Gap(series, expected, end)
