"""Where the tables lie: names below a ``tables_url``, made here and nowhere else.

``current/<vendor>_<stream>/usage_month=2026-10/<account>.parquet``, the same below ``history/``, and
``snapshots/usage_month=2026-10/<vendor>.<account>.<stream>.parquet``: one object a stream, account and month each.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote

from airflow_usage_provider.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_usage_provider.archive.keys import Series

#: In the order in which they are written: whoever finds ``snapshots`` up to date finds the others so.
TABLES = ("current", "history", "snapshots")


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """A calendar month of usage dates, whatever the zone of its days."""

    year: int
    number: int

    @classmethod
    def of(cls, day: date) -> Month:
        """Return the month a day is in."""
        return cls(day.year, day.month)

    @classmethod
    def parse(cls, text: str) -> Month:
        """
        Read ``2026-10``.

        :raises ConfigurationError: it is something else.
        """
        year, _, number = text.partition("-")
        if len(year) == 4 and len(number) == 2 and (year + number).isascii() and (year + number).isdigit():
            month = cls(int(year), int(number))
            if month.year >= 2000 and 1 <= month.number <= 12:
                return month
        raise ConfigurationError(f"{text!r} is not a month", next_step="Give it as YYYY-MM, such as 2026-10.")

    def __str__(self) -> str:
        return f"{self.year:04}-{self.number:02}"

    @property
    def first(self) -> date:
        """Its first day."""
        return date(self.year, self.number, 1)

    @property
    def last(self) -> date:
        """Its last day."""
        return (self.first + timedelta(days=31)).replace(day=1) - timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Piece:
    """What is built at once: one stream of one account in one month."""

    series: Series
    month: Month

    def name(self, table: str) -> str:
        """Return the object's name of one of :data:`TABLES`, relative to the ``tables_url``."""
        month = f"usage_month={self.month}"
        vendor, account, stream = (quote(text, safe="") for text in self._names)
        if table == "snapshots":
            return f"snapshots/{month}/{vendor}.{account}.{stream}.parquet"
        return f"{table}/{vendor}_{stream}/{month}/{account}.parquet"

    @property
    def table(self) -> str:
        """Name of the table its rows are in: ``<vendor>_<stream>``."""
        return f"{self.series.vendor}_{self.series.stream}"

    @property
    def names(self) -> dict[str, str]:
        """Names of its objects, by table."""
        return {table: self.name(table) for table in TABLES}

    def __str__(self) -> str:
        return f"{'/'.join(self._names)} {self.month}"

    @property
    def _names(self) -> tuple[str, str, str]:
        return self.series.vendor, self.series.account, self.series.stream


def months_between(first: date, last: date) -> Iterator[Month]:
    """Yield every month from that of the first day to that of the last."""
    day = first.replace(day=1)
    while day <= last:
        yield Month.of(day)
        day = Month.of(day).last + timedelta(days=1)
