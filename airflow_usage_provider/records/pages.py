"""A page of a listing: its records as they were sent, and what the vendor says of those that are still to come."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_usage_provider.records.json import split_page

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


_COUNT = re.compile(r"\d{1,18}(\.0+)?", re.ASCII)


class Unsaid(Enum):
    """The type of :data:`UNSAID`."""

    UNSAID = "unsaid"


#: Says nothing of what follows: another thing than null, which says that nothing does.
UNSAID = Unsaid.UNSAID


class Covered(NamedTuple):
    """
    A range of time that a page covers, as the vendor says it.

    :param start: first instant: seconds since 1970, ISO 8601 or a ``datetime``; UTC where it says no zone.
    :param end: first instant after it.
    :param rows: how many of the page's records lie in it, in the order of the ranges; None if nobody knows.
    """

    start: Any
    end: Any
    rows: int | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """
    One answer of a listing.

    :param records: each as bytes of one line, in the vendor's order.
    :param next: cursor of the next page, or its number, or any sign that there is one; None if the vendor said that
        there is none; :data:`UNSAID` if it said nothing.
    :param envelope: what surrounded the records; decimals as strings. A member ``has_more`` is read as what it says.
    :param covers: the ranges the vendor says the page covers; None if it says nothing of the kind. An empty sequence
        says that it covers nothing.
    :param total: how many records the vendor says the whole listing has.
    :param summary: what else the vendor says of the whole listing, on each of its pages. If it changes, the pages
        are not of one state.
    """

    records: list[bytes]
    next: Any = UNSAID
    envelope: Mapping[str, Any] = field(default_factory=dict)
    covers: Sequence[Covered | tuple[Any, ...]] | None = None
    total: Any = None
    summary: Any = None

    @property
    def ranges(self) -> list[Covered]:
        """What it covers, in one shape."""
        return [Covered(*covered) for covered in self.covers or ()]

    @property
    def count(self) -> int | None:
        """The total as a number; None if there is none, or it is no count."""
        text = "" if isinstance(self.total, bool) else str(self.total)
        return int(text.partition(".")[0]) if _COUNT.fullmatch(text) else None


def read_page(body: bytes, records: str = "data", *, following: str = "next_page") -> Page:
    """
    Take apart a page of JSON: an object with a list of records, and the sign of the next page beside it.

    :param records: name of the list.
    :param following: name of the member that names the next page, null on the last one.
    :raises InvalidBodyError: it is no JSON of this shape.
    """
    page = split_page(body, records)
    envelope = dict(page.envelope)
    return Page(page.records, envelope.pop(following, UNSAID), envelope)


def read_buckets(
    body: bytes,
    buckets: str = "data",
    *,
    records: str = "results",
    start: str = "start_time",
    end: str = "end_time",
    following: str = "next_page",
) -> Page:
    """
    Take apart a page of JSON whose records lie in buckets of time: a list of objects with a range and its records.

    :param buckets: name of the list of buckets.
    :param records: name of the list of records in a bucket.
    :param start: name of the bucket's first instant.
    :param end: name of the first instant after it.
    :param following: name of the member that names the next page, null on the last one.
    :raises InvalidBodyError: it is no JSON of this shape.
    """
    outer = read_page(body, buckets, following=following)
    inner = [split_page(bucket, records) for bucket in outer.records]
    ranges = [Covered(each.envelope.get(start), each.envelope.get(end), len(each.records)) for each in inner]
    envelope = {**outer.envelope, buckets: [dict(each.envelope) for each in inner]}
    return Page([record for each in inner for record in each.records], outer.next, envelope, ranges)
