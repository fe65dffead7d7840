"""One listing over many days, handed out as one stream a day: the vendor is asked once.

No day is handed out before the whole listing is proven. Its records wait in a temporary file, so that memory does not
grow with them. What failed, failed for every day; a day that is read again is asked for again.
"""

from __future__ import annotations

import os
import tempfile
import threading
import weakref
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_usage_provider.exceptions import ConfigurationError, IncompleteSnapshotError, UsageProviderError
from airflow_usage_provider.records.coverage import name_range, read_range
from airflow_usage_provider.records.json_members import MemberReader

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from datetime import date

    from airflow_usage_provider.models import StreamFacts, UsageWindow, VendorStream
    from airflow_usage_provider.records.listing import PagedListing
    from airflow_usage_provider.records.pages import Covered
    from airflow_usage_provider.records.reading import Kept

_BLOCK = 1024 * 1024


def split_days(
    windows: Sequence[UsageWindow], open_listing: Callable[[UsageWindow], PagedListing]
) -> list[VendorStream]:
    """
    Return a stream for each day, in the order of the windows; days that follow each other are one listing.

    :param windows: days of one time zone.
    :param open_listing: returns the listing of a window of one or many days, whose pages say which records lie in which
        range (:attr:`Covered.rows <airflow_usage_provider.records.pages.Covered>`).
    """
    ordered = sorted(windows, key=lambda window: window.usage_date)
    runs: list[list[UsageWindow]] = []
    for window in ordered:
        if runs and window.usage_date == runs[-1][-1].usage_date + timedelta(days=1):
            runs[-1].append(window)
        else:
            runs.append([window])
    streams: dict[date, VendorStream] = {}
    for run in runs:
        listing = open_listing(replace(run[0], days=len(run)))
        shared = _SharedListing(listing, run)
        streams |= {window.usage_date: listing if len(run) == 1 else _Day(shared, window) for window in run}
    return [streams[window.usage_date] for window in windows]


class _Day:
    """One day of a listing."""

    def __init__(self, shared: _SharedListing, window: UsageWindow) -> None:
        listing = shared.listing
        self.name, self.file_format, self.schema = listing.name, listing.file_format, listing.schema
        self.request, self.question = listing.request, listing.question
        self._shared, self._window = shared, window

    def read(self) -> Generator[bytes, None, StreamFacts]:
        """Yield the day's records, return its facts."""
        part, facts = self._shared.take(self._window)
        yield from part.read()
        return part.describe(facts)


class _SharedListing:
    """A listing that is read once for all its days, whichever comes first."""

    def __init__(self, listing: PagedListing, windows: Sequence[UsageWindow]) -> None:
        self.listing = listing
        self._windows = windows
        self._lock = threading.Lock()
        self._waiting: set[UsageWindow] = set()  # for what was read last
        self._parts: dict[UsageWindow, _Part] = {}
        self._outcome: StreamFacts | UsageProviderError

    def take(self, window: UsageWindow) -> tuple[_Part, StreamFacts]:
        """Return a day of the last reading, or of another one if the day has had that."""
        with self._lock:
            if window not in self._waiting:
                self._waiting = set(self._windows)
                self._parts = {}
                try:
                    self._outcome = self._read()
                except UsageProviderError as error:
                    self._outcome = error
            self._waiting.discard(window)
            if isinstance(self._outcome, UsageProviderError):
                raise self._outcome
            return self._parts.pop(window), self._outcome

    def _read(self) -> StreamFacts:
        spool = _Spool()
        self._parts = {window: _Part(spool) for window in self._windows}
        pages = self.listing.read_kept()
        while True:
            try:
                page, kept = next(pages)
            except StopIteration as end:
                facts: StreamFacts = end.value
                if facts.window_returned is None:
                    self._refuse()
                return facts
            ranges = [covered for covered in page.ranges if covered.rows is not None]
            if page.records and not ranges:
                self._refuse()
            for covered, records in zip(ranges, kept, strict=False):
                self._find(covered).add(covered, records)

    def _refuse(self) -> NoReturn:
        raise ConfigurationError(
            "The vendor does not say which records are of which day",
            stream=self.listing.name,
            next_step="Open a listing for each day.",
        )

    def _find(self, covered: Covered) -> _Part:
        start, end = read_range(covered)
        for window, part in self._parts.items():
            if window.start <= start and end <= window.end:
                return part
        raise IncompleteSnapshotError(f"{start} to {end} lies in more than one day", stream=self.listing.name)


@dataclass(slots=True)
class _Part:
    """What is kept of a day."""

    spool: _Spool
    rows: int = 0
    duplicates: int = 0
    conflicts: int = 0
    ranges: list[Covered] = field(default_factory=list)
    pieces: list[tuple[int, int]] = field(default_factory=list)
    members: MemberReader = field(default_factory=MemberReader)

    def add(self, covered: Covered, kept: Kept) -> None:
        self.ranges.append(covered)
        self.rows += len(kept.records)
        self.duplicates += kept.duplicates
        self.conflicts += kept.conflicts
        for record in kept.records:
            self.members.read(record)
        if kept.records:
            self.pieces.append(self.spool.write(b"\n".join([*kept.records, b""])))

    def read(self) -> Generator[bytes]:
        for start, size in self.pieces:
            yield from self.spool.read(start, size)

    def describe(self, facts: StreamFacts) -> StreamFacts:
        return replace(
            facts,
            rows=self.rows,
            duplicates=self.duplicates,
            conflicts=self.conflicts,
            columns=tuple(self.members.names),
            window_returned=name_range(self.ranges),
        )


class _Spool:
    """A temporary file that many days are read from at the same time; it goes with the last of them."""

    def __init__(self) -> None:
        self._file: Any = tempfile.TemporaryFile()  # noqa: SIM115 - closed below
        self._size = 0
        weakref.finalize(self, self._file.close)

    def write(self, data: bytes) -> tuple[int, int]:
        self._file.write(data)
        self._file.flush()
        start, self._size = self._size, self._size + len(data)
        return start, len(data)

    def read(self, start: int, size: int) -> Generator[bytes]:
        while size:
            piece = os.pread(self._file.fileno(), min(size, _BLOCK), start)
            if not piece:
                raise IncompleteSnapshotError("The temporary file is shorter than what was written to it")
            start, size = start + len(piece), size - len(piece)
            yield piece
