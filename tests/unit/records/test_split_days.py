"""A vendor that answers many days at once is asked once, and each day is a stream of its own."""

from __future__ import annotations

import json
import threading
from datetime import date
from typing import Any

import pytest

from airflow_usage_provider.exceptions import (
    ConfigurationError,
    IncompleteSnapshotError,
    UsageProviderError,
    VendorUnavailableError,
)
from airflow_usage_provider.models import StreamFacts, UsageWindow, VendorStream
from airflow_usage_provider.records.days import split_days
from airflow_usage_provider.records.listing import Page, PagedListing, read_buckets
from airflow_usage_provider.schema import StreamSchema

DAYS = [UsageWindow(date(2026, 11, day)) for day in (20, 19, 18)]  # newest first, as operators ask
SCHEMA = StreamSchema(("project_id",), {"project_id": "text"})


class Vendor:
    """Answers buckets of days, two a page; what is asked for is remembered."""

    def __init__(self, **rows: str) -> None:
        self.asked: list[tuple[UsageWindow, Any]] = []
        self.rows = rows
        self.failures: list[Exception] = []

    def open(self, window: UsageWindow) -> PagedListing:
        def fetch(cursor: Any) -> Page:
            self.asked.append((window, cursor))
            if self.failures:
                raise self.failures.pop(0)
            given = [day for day in reversed(DAYS) if window.start <= day.start < window.end]
            place = int(cursor or 0)
            following = str(place + 2) if place + 2 < len(given) else None
            data = [self.bucket(day) for day in given[place : place + 2]]
            return read_buckets(
                json.dumps({"data": data, "has_more": bool(following), "next_page": following}).encode()
            )

        return PagedListing("costs", window, fetch, request={"method": "GET", "path": "/costs"}, schema=SCHEMA)

    def bucket(self, day: UsageWindow) -> dict[str, Any]:
        names = self.rows.get(f"d{day.usage_date.day}", "")
        records = [{"project_id": name} for name in names]
        if day.usage_date.day == 19:
            records = [{**record, "extra": 1} for record in records]
        return {"start_time": int(day.start.timestamp()), "end_time": int(day.end.timestamp()), "results": records}


def read(stream: VendorStream) -> tuple[str, StreamFacts]:
    chunks, body = stream.read(), b""
    while True:
        try:
            body += next(chunks)
        except StopIteration as end:
            return "".join(json.loads(line)["project_id"] for line in body.splitlines()), end.value


def test_days_that_follow_each_other_are_asked_for_once() -> None:
    vendor = Vendor(d20="ab", d19="a", d18="")
    streams = split_days(DAYS, vendor.open)
    assert vendor.asked == []
    answers = [read(stream) for stream in streams]
    assert [names for names, _ in answers] == ["ab", "a", ""]
    assert [facts.rows for _, facts in answers] == [2, 1, 0]
    assert [facts.columns for _, facts in answers] == [("project_id",), ("project_id", "extra"), ()]
    assert [facts.window_returned["start"] for _, facts in answers if facts.window_returned] == [
        int(day.start.timestamp()) for day in DAYS
    ]
    assert {facts.end for _, facts in answers} == {"said, covered"}
    assert vendor.asked == [
        (UsageWindow(date(2026, 11, 18), days=3), None),
        (UsageWindow(date(2026, 11, 18), days=3), "2"),
    ]


def test_a_days_bytes_are_those_of_a_listing_of_its_own() -> None:
    vendor = Vendor(d20="ab", d19="c")
    (alone,) = split_days(DAYS[:1], vendor.open)
    together = split_days(DAYS, vendor.open)[0]
    assert b"".join(alone.read()) == b"".join(together.read())
    assert (alone.name, alone.request) == (together.name, together.request)
    assert isinstance(alone, PagedListing)


def test_days_with_a_gap_between_them_are_two_listings() -> None:
    vendor = Vendor(d20="a", d18="b")
    assert [read(stream)[0] for stream in split_days([DAYS[0], DAYS[2]], vendor.open)] == ["a", "b"]
    assert [window.days for window, _ in vendor.asked] == [1, 1]


def test_a_day_that_is_read_again_is_asked_for_again_and_the_others_take_that() -> None:
    vendor = Vendor(d20="a", d19="b")
    streams = split_days(DAYS, vendor.open)
    assert read(streams[0])[0] == "a"
    vendor.rows = {"d20": "x", "d19": "y"}
    assert read(streams[0])[0] == "x"
    assert read(streams[1])[0] == "y"
    assert len(vendor.asked) == 4


def test_what_failed_failed_for_every_day_and_is_not_asked_for_by_each() -> None:
    vendor = Vendor(d20="a")
    vendor.failures = [VendorUnavailableError("away")]
    streams = split_days(DAYS, vendor.open)
    for stream in streams:
        with pytest.raises(VendorUnavailableError, match="away"):
            read(stream)
    assert len(vendor.asked) == 1
    assert read(streams[0])[0] == "a"


def test_no_day_is_handed_out_of_a_listing_that_lacks_another() -> None:
    vendor = Vendor(d20="a", d19="b")
    vendor.bucket = lambda day, build=vendor.bucket: build(DAYS[0] if day is DAYS[1] else day)  # type: ignore[method-assign]
    for stream in split_days(DAYS, vendor.open):
        with pytest.raises(IncompleteSnapshotError, match=r"twice|does not cover"):
            next(stream.read())


def test_a_range_over_two_days_cannot_be_split() -> None:
    start, end = int(DAYS[1].start.timestamp()), int(DAYS[0].end.timestamp())

    def open_wide(window: UsageWindow) -> PagedListing:
        page = Page([b'{"project_id":"a"}'], None, covers=[(start, end, 1)])
        return PagedListing("costs", window, lambda _: page, request={"path": "/costs"})

    with pytest.raises(IncompleteSnapshotError, match="lies in more than one day"):
        read(split_days(DAYS[:2], open_wide)[0])


@pytest.mark.parametrize("page", [Page([b"{}"], None), Page([], None), Page([b"{}"], None, covers=[(1, 2)])])
def test_a_vendor_that_does_not_say_what_is_of_which_day_cannot_be_split(page: Page) -> None:
    listing = split_days(DAYS, lambda window: PagedListing("costs", window, lambda _: page, request={"path": "/c"}))[0]
    with pytest.raises(UsageProviderError) as caught:
        read(listing)
    assert isinstance(caught.value, ConfigurationError) or page.covers


def test_days_may_be_read_at_the_same_time() -> None:
    vendor = Vendor(d20="a" * 1, d19="b", d18="c")
    streams = split_days(DAYS, vendor.open)
    found: dict[int, str] = {}
    threads = [
        threading.Thread(target=lambda n=n, stream=stream: found.update({n: read(stream)[0]}))  # type: ignore[misc]
        for n, stream in enumerate(streams)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert found == {0: "a", 1: "b", 2: "c"}
    assert len(vendor.asked) == 2
