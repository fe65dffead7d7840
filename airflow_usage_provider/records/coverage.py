"""What a vendor says its pages cover, held against the window: all of it, nothing beyond it, nothing twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_usage_provider.exceptions import IncompleteSnapshotError, InvalidBodyError
from airflow_usage_provider.schema import parse_value

if TYPE_CHECKING:
    from datetime import datetime

    from airflow_usage_provider.models import UsageWindow
    from airflow_usage_provider.records.pages import Covered, Page


class Coverage:
    """
    The ranges of one reading.

    Pages may say the same range again, as those do that name the window on each; a range that says how many records
    lie in it comes once. ``is_proof`` tells whether every record lies in such a range: then none can have moved
    between pages unseen.
    """

    def __init__(self, window: UsageWindow) -> None:
        self.is_proof = True
        self._window = window
        self._ranges: dict[tuple[datetime, datetime], Covered] = {}
        self._is_said = False

    def add_page(self, page: Page) -> None:
        """
        Take what a page says.

        :raises InvalidBodyError: a range cannot be read, or does not hold the records it should.
        :raises IncompleteSnapshotError: it lies outside the window, or comes twice.
        """
        rows = [covered.rows for covered in page.ranges]
        is_counted = page.covers is not None and None not in rows
        self.is_proof = self.is_proof and is_counted
        if page.covers is None:
            return
        self._is_said = True
        if is_counted and sum(filter(None, rows)) != len(page.records):
            raise InvalidBodyError("A page has other records than its ranges")
        for covered in page.ranges:
            moments = start, end = read_range(covered)
            if start < self._window.start or end > self._window.end:
                raise IncompleteSnapshotError(f"The answer covers {start} to {end}, which nobody asked for")
            if moments in self._ranges and covered.rows is not None:
                raise IncompleteSnapshotError(f"The answer covers {start} to {end} twice")
            self._ranges[moments] = covered

    def finish(self) -> dict[str, Any] | None:
        """
        Return the range that is covered, in the vendor's words; None if it said nothing.

        :raises IncompleteSnapshotError: the ranges leave a gap in the window, or overlap.
        """
        if not self._is_said:
            return None
        reached = self._window.start
        for start, end in sorted(self._ranges):
            if start > reached:
                raise IncompleteSnapshotError(f"The answer does not cover {reached} to {start}")
            if start < reached:
                raise IncompleteSnapshotError(f"The answer covers {start} to {reached} twice")
            reached = end
        if reached != self._window.end:
            raise IncompleteSnapshotError(f"The answer does not cover {reached} to {self._window.end}")
        return name_range(list(self._ranges.values()))


def name_range(ranges: list[Covered]) -> dict[str, Any]:
    """Return what ranges cover from the first to the last, in the vendor's words."""
    ordered = sorted(ranges, key=read_range)
    return {"start": _write(ordered[0].start), "end": _write(ordered[-1].end)}


def read_range(covered: Covered) -> tuple[datetime, datetime]:
    """
    Return when a range begins and ends.

    :raises InvalidBodyError: it does not say so, or ends before it begins.
    """
    start, end = _read_moment(covered.start), _read_moment(covered.end)
    if start >= end:
        raise InvalidBodyError(f"A range begins at {start} and ends at {end}")
    return start, end


def _read_moment(value: Any) -> datetime:
    try:
        moment: datetime | None = parse_value("time", value)
    except ValueError:
        moment = None
    if moment is None:
        raise InvalidBodyError("A range of the answer does not say when it begins and ends")
    return moment


def _write(value: Any) -> Any:
    return value if isinstance(value, str | int) else str(value)
