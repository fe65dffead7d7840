"""The values that pass between the layers: immutable, without Airflow, HTTP or S3."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from airflow_usage_provider.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

USAGE_DATE_STEP = "Give usage_date as YYYY-MM-DD."
FIRST_DAY = date(2015, 1, 1)  # no vendor of language models is older: a day before it is a typing error


class FileFormat(Enum):
    """How the records of a part are written: file name extension and content type."""

    CSV = ("csv", "text/csv")
    JSON_LINES = ("jsonl", "application/x-ndjson")

    @property
    def extension(self) -> str:
        """File name extension without the dot."""
        return self.value[0]

    @property
    def content_type(self) -> str:
        """Media type of the uncompressed part."""
        return self.value[1]


@dataclass(frozen=True, slots=True)
class UsageWindow:
    """
    One usage date in its time zone: the half-open range from its midnight to the next.

    :param usage_date: the day.
    :param timezone: IANA name of the zone whose midnights bound the day.
    :param days: how many days it is long, where a vendor is asked for many at once; a snapshot is of one.
    """

    usage_date: date
    timezone: str = "UTC"
    days: int = 1

    @classmethod
    def parse(cls, usage_date: str | date, timezone: str = "UTC") -> UsageWindow:
        """
        Build a window from what a user typed.

        :raises ConfigurationError: the date is not ``YYYY-MM-DD`` or the zone is unknown.
        """
        load_zone(timezone)
        return cls(parse_usage_date(usage_date), timezone)

    @property
    def start(self) -> datetime:
        """First instant of the day, aware."""
        return datetime.combine(self.usage_date, time(), load_zone(self.timezone))

    @property
    def end(self) -> datetime:
        """First instant after the last day, aware."""
        return datetime.combine(self.usage_date + timedelta(days=self.days), time(), load_zone(self.timezone))

    def as_dict(self) -> dict[str, str]:
        """Shape of ``window_requested`` in a manifest."""
        return {"start": self.start.isoformat(), "end": self.end.isoformat(), "timezone": self.timezone}


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamFacts:
    """
    What is known of an answer once its last byte has passed every check.

    :param rows: records in the part.
    :param vendor_rows: records the vendor said there are; None where its word proves nothing.
    :param pages: response bodies the records came in.
    :param duplicates: records left out because the same bytes came on an earlier page.
    :param conflicts: records whose identity an earlier one has, with other bytes, or on the same page even with
        the same ones; they are archived all the same.
    :param end: how the end of a listing was known, such as ``said, totals``; None where the answer was no listing.
    :param columns: names in order of first appearance.
    :param envelope: what surrounded the records; decimals as strings.
    :param window_returned: the range the vendor said it covered.
    """

    rows: int
    vendor_rows: int | None = None
    pages: int = 1
    duplicates: int = 0
    conflicts: int = 0
    end: str | None = None
    columns: tuple[str, ...] = ()
    envelope: Mapping[str, Any] = field(default_factory=dict)
    window_returned: Mapping[str, Any] | None = None


class VendorStream(Protocol):
    """
    One stream of one account for one window: what a vendor of one's own has to provide.

    ``name`` is the stream's name in the archive. ``request`` says how it was asked for (method, path, parameters;
    nothing secret). ``read`` yields the records' bytes in the vendor's order and returns the facts; it raises
    :class:`~airflow_usage_provider.exceptions.IncompleteSnapshotError` when anything is missing, and may be called
    again after :class:`~airflow_usage_provider.exceptions.ListingChangedError`. An answer without records yields
    nothing, or a header only, and returns ``rows=0``. A yielded memoryview is valid until the next one is asked for.

    Two more are read where a stream has them: ``schema``, a :class:`~airflow_usage_provider.schema.StreamSchema`, says
    what the columns mean, and ``question``, a mapping, what was asked without its day: all that decides the answer.
    """

    @property
    def name(self) -> str:
        """Name of the stream in the archive."""

    @property
    def file_format(self) -> FileFormat:
        """How the records are written."""

    @property
    def request(self) -> Mapping[str, Any]:
        """Method, path and parameters."""

    def read(self) -> Generator[bytes | memoryview, None, StreamFacts]:
        """Yield the bytes, return the facts."""


def load_zone(name: str) -> ZoneInfo:
    """
    Return the IANA zone of that name.

    :raises ConfigurationError: there is none.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError, TypeError):
        raise ConfigurationError(
            f"Unknown time zone {name!r}", next_step="Give an IANA name such as UTC or Europe/Berlin."
        ) from None


def parse_usage_date(value: str | date) -> date:
    """
    Return the day a user named.

    :raises ConfigurationError: it is not ``YYYY-MM-DD``.
    """
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    text = str(value).strip()
    with suppress(ValueError):
        if re.fullmatch(r"2\d{3}-\d{2}-\d{2}", text, re.ASCII):
            return date.fromisoformat(text)
    raise ConfigurationError(f"usage_date {value!r} is not a date", next_step=USAGE_DATE_STEP)


def check_day(window: UsageWindow, *, now: datetime | None = None) -> None:
    """
    Refuse a day that cannot be: one that has not begun in its zone, or of before there were such vendors.

    :param now: the current time, aware; default: the clock's.
    :raises ConfigurationError: it is such a day.
    """
    today = (now or datetime.now(UTC)).astimezone(load_zone(window.timezone)).date()
    if window.usage_date > today:
        raise ConfigurationError(
            f"usage_date {window.usage_date} is in the future; in {window.timezone} it is {today}",
            next_step="Give a day that has begun.",
        )
    if window.usage_date < FIRST_DAY:
        raise ConfigurationError(
            f"usage_date {window.usage_date} is before {FIRST_DAY}, when there was nothing to archive",
            next_step="Correct the year.",
        )


def resolve_usage_date(context: Mapping[str, Any], timezone: str = "UTC") -> date:
    """
    Return the day a run is for, in ``timezone``.

    In this order: the param ``usage_date``, the run's partition key if it is a date, the day its data interval begins
    on if the interval has a length, the day before its logical date, the day before it was due.

    :param context: the task's context.
    :raises ConfigurationError: the param is not a date, or the context tells nothing of the time.
    """
    if value := (context.get("params") or {}).get("usage_date"):
        return parse_usage_date(value)
    zone = load_zone(timezone)
    run = context.get("dag_run")

    def look_up(name: str) -> Any:
        return context.get(name) or getattr(run, name, None)

    if key := look_up("partition_key"):
        with suppress(ValueError):  # partitioned by something other than days: the run's own time tells the day
            if day := re.match(r"\d{4}(-?)\d{2}\1\d{2}(?!\d)", str(key), re.ASCII):
                return date.fromisoformat(day[0])
    start, end = look_up("data_interval_start"), look_up("data_interval_end")
    if start and end and start < end:
        return _day_in(start, zone)
    if instant := look_up("logical_date") or look_up("run_after"):
        return _day_in(instant, zone) - timedelta(days=1)
    raise ConfigurationError("The run has neither a data interval nor a date", next_step=USAGE_DATE_STEP)


def _day_in(instant: datetime, zone: ZoneInfo) -> date:
    local = instant.astimezone(zone)
    return date(local.year, local.month, local.day)
