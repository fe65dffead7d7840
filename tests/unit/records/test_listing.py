"""A vendor's own stream is a function that asks for a page; a wrong listing is refused without a line of its own."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pytest

from airflow_usage_provider.exceptions import (
    AuthenticationError,
    ConfigurationError,
    IncompleteSnapshotError,
    InvalidBodyError,
    ListingChangedError,
    RateLimitedError,
    RequestRejectedError,
    UsageProviderError,
    VendorUnavailableError,
)
from airflow_usage_provider.http.traffic import Traffic
from airflow_usage_provider.models import StreamFacts, UsageWindow
from airflow_usage_provider.records import listing as listings
from airflow_usage_provider.records import walk
from airflow_usage_provider.records.listing import UNSAID, Page, PagedListing, read_buckets, read_page
from airflow_usage_provider.schema import StreamSchema

DAY = date(2026, 11, 20)
WINDOW = UsageWindow(DAY)
START, END = int(WINDOW.start.timestamp()), int(WINDOW.end.timestamp())
SCHEMA = StreamSchema(("project_id",), {"project_id": "text", "amount": "money"})
HOUR = 3600


class Client:
    """What a listing needs of an HTTP client."""

    def __init__(self) -> None:
        self.traffic = Traffic()
        self.slept: list[float] = []

    def error(self, kind: type[UsageProviderError], message: str, **details: Any) -> UsageProviderError:
        return kind(message, connection="acme_default", vendor="acme", **details)

    def url(self, path: str) -> str:
        return f"https://api.example.com{path}"

    def has_room(self) -> bool:
        return True

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        for thread in threading.enumerate():  # what was asked ahead is asked by now
            if thread.name.startswith("page_"):
                thread.join(0.1)  # it does not end before its listing does


class Vendor:
    """Answers by cursor or number, and remembers what was asked; a reading that has a list of its own gets that."""

    def __init__(self, *readings: dict[Any, Any]) -> None:
        self.asked: list[Any] = []
        self._readings = readings

    def fetch(self, position: Any, *, attempts: int | None = None) -> Page | None:
        first = min(self._readings[0], key=str) if None not in self._readings[0] else None
        self.asked.append(position)
        reading = min(self.asked.count(first), len(self._readings)) - 1
        answer = self._readings[reading].get(position)
        if isinstance(answer, Exception):
            raise answer
        return answer


def open_listing(fetch: Callable[..., Page | None], **settings: Any) -> PagedListing:
    parameters = {"start_time": START, "bucket_width": "1d", "limit": 180}
    settings = {
        "request": {"method": "GET", "path": "/v1/costs", "parameters": parameters},
        "not_in_question": ("start_time", "limit"),
        "schema": SCHEMA,
        "client": Client(),
        **settings,
    }
    return PagedListing("costs", settings.pop("window", WINDOW), fetch, **settings)


def read(listing: PagedListing) -> tuple[list[str], StreamFacts]:
    chunks, body = listing.read(), b""
    while True:
        try:
            body += next(chunks)
        except StopIteration as end:
            return [json.loads(line)["project_id"] for line in body.splitlines()], end.value


def records(names: str, amount: int = 1) -> list[bytes]:
    return [b'{"project_id":"%s","amount":%d}' % (name.encode(), amount) for name in names]


def numbered(*pages: str, following: Any = UNSAID, **members: Any) -> dict[Any, Page]:
    """Build pages of these records, of which all but the last name the next one."""
    nexts = [*range(2, len(pages) + 1), following]
    return {n: Page(records(names), nexts[n - 1], **members) for n, names in enumerate(pages, 1)}


def bucket(start: int, end: int, names: str = "") -> dict[str, Any]:
    return {
        "object": "bucket",
        "start_time": start,
        "end_time": end,
        "results": [json.loads(r) for r in records(names)],
    }


def buckets(*given: dict[str, Any], following: str | None = None, **members: Any) -> Page:
    members = {"has_more": following is not None, "next_page": following, **members}
    return read_buckets(json.dumps({"object": "page", "data": given, **members}).encode())


# Ends


def test_cursors_are_followed_to_the_page_that_says_it_is_the_last() -> None:
    vendor = Vendor({None: Page(records("ab"), "x"), "x": Page([], "y"), "y": Page(records("c"), None)})
    names, facts = read(open_listing(vendor.fetch, verify=False))
    assert names == ["a", "b", "c"]
    assert vendor.asked == [None, "x", "y"]
    assert (facts.rows, facts.pages, facts.end) == (3, 3, "said, not verified")


def test_one_page_that_says_it_is_the_last_is_one_request() -> None:
    vendor = Vendor({None: Page(records("ab"), None, {"has_more": False, "object": "page"})})
    _, facts = read(open_listing(vendor.fetch))
    assert vendor.asked == [None]
    assert (facts.end, facts.envelope) == ("said, one page", {"object": "page"})


@pytest.mark.parametrize(
    ("page", "message"),
    [
        (Page(records("a")), "does not say whether more follows"),
        (Page(records("a"), ""), "does not say whether more follows"),
        (Page(records("a"), UNSAID, {"has_more": True}), "does not say where more follows"),
        (Page(records("a"), None, {"has_more": True}), "does not say where more follows"),
        (Page(records("a"), "", {"has_more": True}), "does not say where more follows"),
        (Page(records("a"), None, {"has_more": None}), "neither that more follows nor that nothing does"),
        (Page(records("a"), "x", {"has_more": "yes"}), "neither that more follows nor that nothing does"),
        (Page(records("a"), "x", {"has_more": False}), "says that nothing follows, and what does"),
        (Page(records("a"), {"after": "x"}), "no cursor"),
        (Page(records("a"), True), "no cursor"),
        (None, "has no first page"),
    ],
)
def test_a_page_that_does_not_say_what_follows_is_no_end(page: Page | None, message: str) -> None:
    with pytest.raises((IncompleteSnapshotError, InvalidBodyError), match=message):
        read(open_listing(Vendor({None: page}).fetch))


@pytest.mark.parametrize("more", [{"has_more": False}, {"has_more": False, "next_page": None}])
def test_has_more_alone_says_that_nothing_follows(more: dict[str, Any]) -> None:
    page = read_page(json.dumps({"data": [{"project_id": "a"}], **more}).encode())
    assert read(open_listing(Vendor({None: page}).fetch))[0] == ["a"]


def test_a_cursor_that_comes_again_is_refused() -> None:
    pages = {None: Page(records("a"), "x"), "x": Page(records("b"), "y"), "y": Page(records("c"), "x")}
    with pytest.raises(IncompleteSnapshotError, match="Page 3 names a next page that an earlier page named"):
        read(open_listing(Vendor(pages).fetch))


def test_a_page_that_is_named_and_does_not_exist_is_refused() -> None:
    with pytest.raises(IncompleteSnapshotError, match="Page 2 is named, but does not exist"):
        read(open_listing(Vendor({None: Page(records("a"), "x")}).fetch))


def test_a_page_that_comes_again_under_another_cursor_is_refused() -> None:
    pages = {None: Page(records("a"), "x"), "x": Page(records("b"), "y"), "y": Page(records("a"), None)}
    with pytest.raises(IncompleteSnapshotError, match="Page 3 repeats an earlier page"):
        read(open_listing(Vendor(pages).fetch))


def test_pages_without_end_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "MAX_PAGES", 5)
    with pytest.raises(IncompleteSnapshotError, match="does not end within 5 pages"):
        read(open_listing(lambda cursor: Page(records("a", (cursor or 0) + 1), (cursor or 0) + 1)))


@pytest.mark.parametrize("answer", [None, Page([], None), Page([], UNSAID)])
@pytest.mark.parametrize(
    ("pages", "page_size", "is_end"),
    [
        (numbered("ab", following=UNSAID), 2, True),
        (numbered("a", following=UNSAID), 2, True),
        (numbered("ab", following=2), 2, True),
        (numbered("ab", following="https://…"), 2, True),
        (numbered("a", following=2), 2, False),
        (numbered("ab", "cd", following=3), 100, True),  # the vendor's pages are smaller than asked for
        (numbered("ab", "c", following=3), 100, False),
        (numbered("ab", following=2), 100, False),
        (numbered("abc", "de", following=3), 2, True),
    ],
)
def test_a_page_behind_the_last_is_an_end_only_behind_one_that_may_have_been_it(
    answer: Page | None, pages: dict[Any, Page], page_size: int, is_end: bool
) -> None:
    vendor = Vendor({**pages, len(pages) + 1: answer})
    listing = open_listing(vendor.fetch, first=1, page_size=page_size)
    if is_end:
        assert read(listing)[1].end == "passed, read twice"
    else:
        with pytest.raises(IncompleteSnapshotError, match=r"says that more follows, and page \d has nothing"):
            read(listing)


def test_a_vendor_that_always_says_that_more_follows_says_nothing() -> None:
    pages = numbered("a", "b", following=3) | {3: Page([], 4), 4: Page([], 5)}
    names, facts = read(open_listing(Vendor(pages).fetch, first=1, page_size=10))
    assert (names, facts.end) == (["a", "b"], "passed, read twice")


def test_a_listing_without_a_single_record_is_one() -> None:
    for page in (Page([], None), Page([], UNSAID)):
        assert read(open_listing(Vendor({1: page}).fetch, first=1))[1].rows == 0


# Totals


@pytest.mark.parametrize(("total", "came"), [(3, "ab"), ("3", "ab"), ("3.0", "ab"), (1, "")])
@pytest.mark.parametrize("verify", [True, False])
def test_totals_that_are_given_must_be_met(total: Any, came: str, verify: bool) -> None:
    vendor = Vendor({1: Page(records(came), None, total=total)})
    with pytest.raises(IncompleteSnapshotError, match=rf"The vendor has . records, {len(came)} came"):
        read(open_listing(vendor.fetch, first=1, verify=verify))


def test_totals_are_not_met_by_records_that_came_twice() -> None:
    pages = numbered("ab", "bc", following=None, total=4)
    with pytest.raises(ListingChangedError, match="some came twice, and others not"):
        read(open_listing(Vendor(pages).fetch, first=1))


def test_totals_of_any_page_count() -> None:
    pages = {1: Page(records("ab"), 2, total=4), 2: Page(records("c"), None)}
    with pytest.raises(IncompleteSnapshotError, match="4 records, 3 came"):
        read(open_listing(Vendor(pages).fetch, first=1, verify=False))
    with pytest.raises(ListingChangedError, match="their number changed"):
        read(open_listing(Vendor(pages).fetch, first=1))


@pytest.mark.parametrize("total", [None, True, "many", -1, "", {}, "1e3"])
def test_what_is_no_number_is_no_total(total: Any) -> None:
    assert read(open_listing(Vendor({1: Page(records("a"), None, total=total)}).fetch, first=1))[1].rows == 1


def test_more_records_than_the_vendor_says_are_told(caplog: pytest.LogCaptureFixture) -> None:
    assert read(open_listing(Vendor({1: Page(records("abc"), None, total=2)}).fetch, first=1))[1].rows == 3
    assert caplog.messages == [f"costs of {DAY}: the vendor says 2 records, 3 came"]


def test_totals_that_are_met_and_a_summary_that_rests_spare_the_second_reading() -> None:
    vendor = Vendor(numbered("ab", "cd", following=None, total=4, summary={"cost": "1"}))
    assert read(open_listing(vendor.fetch, first=1, pages_in_flight=1))[1].end == "said, totals"
    assert vendor.asked == [1, 2]
    pages = numbered("ab", "cd", following=None, total=4)
    vendor = Vendor({1: pages[1], 2: Page(records("cd"), None, total=4, summary={"cost": "2"})})
    assert read(open_listing(vendor.fetch, first=1))[1].end == "said, read twice"


# The second reading


def test_the_second_reading_comes_after_a_pause_and_asks_again_for_the_page_that_was_not_there() -> None:
    client, vendor = Client(), Vendor(numbered("ab", "cd", "e"))
    assert read(open_listing(vendor.fetch, first=1, page_size=2, client=client))[1].end == "passed, read twice"
    assert vendor.asked == [1, 2, 3, 4, 1, 2, 3, 4]
    assert client.slept == [listings.PAUSE]


def test_the_second_reading_asks_ahead_up_to_the_page_that_was_not_there_and_no_further() -> None:
    vendor = Vendor(numbered(*"abcdefgh"))
    read(open_listing(vendor.fetch, first=1, page_size=1, pages_in_flight=4))
    again = vendor.asked[len(vendor.asked) - vendor.asked[::-1].index(1) - 1 :]
    assert sorted(again) == [1, 2, 3, 4, 5, 6, 7, 8, 9]


def test_the_first_reading_asks_at_most_as_many_pages_behind_the_end_as_may_be_in_flight() -> None:
    vendor = Vendor(numbered(*"abcdefgh"))
    read(open_listing(vendor.fetch, first=1, page_size=1, pages_in_flight=3, verify=False))
    assert max(vendor.asked) <= 8 + 3


@pytest.mark.parametrize(
    "second",
    [
        numbered("ab", "dc"),
        numbered("ab", "cx"),
        numbered("ab", "c"),
        numbered("ab", "cd", following=None),
        numbered("ab"),
    ],
)
def test_two_readings_that_disagree_are_refused(second: dict[Any, Page]) -> None:
    vendor = Vendor(numbered("ab", "cd"), second)
    with pytest.raises(ListingChangedError, match="two readings of the listing disagree"):
        read(open_listing(vendor.fetch, first=1, page_size=2))


@pytest.mark.parametrize("absent", [None, Page([], None), Page([])])
def test_a_page_that_was_not_there_for_a_moment_is_no_end(absent: Page | None) -> None:
    first, whole = numbered("ab", following=2), numbered("ab", "c", following=None)
    vendor = Vendor({**first, 2: absent}, whole, whole)
    listing = open_listing(vendor.fetch, first=1, page_size=2)
    with pytest.raises(ListingChangedError, match="two readings of the listing disagree"):
        read(listing)
    assert read(listing)[0] == ["a", "b", "c"]


def test_a_listing_that_comes_to_rest_is_read_by_the_same_stream() -> None:
    vendor = Vendor(numbered("ab", "cd"), numbered("ab", "dc"))
    listing = open_listing(vendor.fetch, first=1, page_size=2)
    with pytest.raises(ListingChangedError):
        read(listing)
    assert read(listing)[1].end == "passed, read twice"
    assert vendor.asked.count(1) == 3


def test_a_record_on_two_pages_with_other_figures_has_moved_unless_it_stays_so() -> None:
    pages = {1: Page(records("ab"), 2, total=3), 2: Page(records("b", 2), None, total=3)}
    names, facts = read(open_listing(Vendor(pages).fetch, first=1))
    assert (names, facts.conflicts, facts.end) == (["a", "b", "b"], 1, "said, read twice")
    rested = {**pages, 2: Page(records("c"), None, total=3)}
    with pytest.raises(ListingChangedError):
        read(open_listing(Vendor(pages, rested).fetch, first=1))


def test_conflicts_are_told_once_with_their_number(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("WARNING", logger="airflow_usage_provider")
    pages = {1: Page(records("aa") + records("a", 2), 2), 2: Page(records("b") + records("a", 3), None)}
    _, facts = read(open_listing(Vendor(pages).fetch, first=1))
    assert (facts.rows, facts.conflicts) == (5, 3)
    assert caplog.messages == [f"costs of {DAY}: 3 records have the identity of another one; all are archived"]


# What is covered


def test_a_days_buckets_are_the_window_in_the_vendors_words() -> None:
    vendor = Vendor({None: buckets(bucket(START, END, "ab"))})
    names, facts = read(open_listing(vendor.fetch))
    assert names == ["a", "b"]
    assert facts.window_returned == {"start": START, "end": END}
    assert facts.envelope == {
        "object": "page",
        "data": [{"object": "bucket", "start_time": START, "end_time": END}],
    }


def test_buckets_over_pages_prove_that_nothing_moved() -> None:
    noon = START + 12 * HOUR
    vendor = Vendor({None: buckets(bucket(START, noon, "ab"), following="x"), "x": buckets(bucket(noon, END, "ab"))})
    names, facts = read(open_listing(vendor.fetch))
    assert names == ["a", "b", "a", "b"]
    assert (facts.duplicates, facts.conflicts, facts.end) == (0, 0, "said, covered")
    assert vendor.asked == [None, "x"]


def test_a_range_may_be_text_in_any_zone_and_said_on_each_page() -> None:
    whole = ("2026-11-20T00:00:00Z", "2026-11-21T01:00:00+01:00")
    vendor = Vendor({None: Page(records("a"), "x", covers=[whole]), "x": Page(records("b"), None, covers=[whole])})
    _, facts = read(open_listing(vendor.fetch))
    assert facts.window_returned == {"start": whole[0], "end": whole[1]}
    assert facts.end == "said, read twice"
    moments = datetime(2026, 11, 20, tzinfo=UTC), datetime(2026, 11, 21, tzinfo=UTC)
    _, facts = read(open_listing(Vendor({None: Page([], None, covers=[moments])}).fetch))
    assert facts.window_returned == {"start": "2026-11-20 00:00:00+00:00", "end": "2026-11-21 00:00:00+00:00"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "does not cover"),
        ([bucket(START, END - 1)], "does not cover"),
        ([bucket(START + 1, END)], "does not cover"),
        ([bucket(START, START + HOUR), bucket(START + 2 * HOUR, END)], "does not cover"),
        ([bucket(START, END), bucket(END, END + HOUR)], "nobody asked for"),
        ([bucket(START - 1, END)], "nobody asked for"),
        ([bucket(START, START + 2 * HOUR), bucket(START + HOUR, END)], "twice"),
        ([bucket(START, END, "a"), bucket(START, END, "b")], "twice"),
        ([bucket(END, START)], "begins at"),
        ([{"results": []}], "does not say when"),
        ([{"start_time": "today", "end_time": END, "results": []}], "does not say when"),
    ],
)
def test_buckets_that_are_not_the_window_are_refused(given: list[dict[str, Any]], message: str) -> None:
    with pytest.raises((IncompleteSnapshotError, InvalidBodyError), match=message):
        read(open_listing(Vendor({None: buckets(*given)}).fetch))


def test_a_bucket_on_two_pages_is_refused_however_often_it_is_read() -> None:
    noon = START + 12 * HOUR
    first, second = bucket(START, noon, "ab"), bucket(noon, END, "c")
    pages = {None: buckets(first, second, following="x"), "x": buckets(second)}
    with pytest.raises(IncompleteSnapshotError, match="twice"):
        read(open_listing(Vendor(pages).fetch))


def test_ranges_that_count_other_records_than_came_are_refused() -> None:
    page = Page(records("ab"), None, covers=[(START, END, 1)])
    with pytest.raises(InvalidBodyError, match="other records than its ranges"):
        read(open_listing(Vendor({None: page}).fetch))


# What a stream says of itself


def test_the_question_is_the_request_without_its_day_and_the_size_of_its_pages() -> None:
    listing = open_listing(Vendor({}).fetch, window=UsageWindow(DAY, "Europe/Berlin"))
    assert listing.question == {
        "method": "GET",
        "path": "/v1/costs",
        "parameters": {"bucket_width": "1d"},
        "timezone": "Europe/Berlin",
    }
    assert listing.request["parameters"]["limit"] == 180
    assert (listing.name, listing.schema, listing.file_format.extension) == ("costs", SCHEMA, "jsonl")


def test_errors_name_vendor_connection_stream_and_address() -> None:
    with pytest.raises(IncompleteSnapshotError) as caught:
        read(open_listing(Vendor({None: Page(records("a"))}).fetch))
    assert caught.value.details == {
        "connection": "acme_default",
        "vendor": "acme",
        "stream": "costs",
        "url": "https://api.example.com/v1/costs",
        "next_step": "Nothing was archived; try again later.",
    }
    with pytest.raises(InvalidBodyError, match=r"at character 0 \(connection acme_default, vendor acme, stream costs"):
        read(open_listing(lambda _: read_page(b"oops")))


def test_a_listing_needs_no_client() -> None:
    listing = PagedListing(
        "costs", WINDOW, lambda _: Page(records("a")), request={"method": "GET", "path": "/v1/costs"}
    )
    with pytest.raises(IncompleteSnapshotError, match="does not say whether"):
        read(listing)


@pytest.mark.parametrize("kind", [AuthenticationError, VendorUnavailableError, RateLimitedError])
def test_a_page_that_fails_is_no_end(kind: type[UsageProviderError]) -> None:
    with pytest.raises(kind, match="no"):
        read(open_listing(Vendor({None: Page(records("a"), "x"), "x": kind("no")}).fetch))


@pytest.mark.parametrize("kind", [ConfigurationError, RequestRejectedError])
def test_what_is_a_wrong_setting_on_the_first_page_is_none_on_a_later_one(kind: type[UsageProviderError]) -> None:
    refusal = kind("no such path", status=404, next_step="Check the host of the connection.")
    with pytest.raises(kind, match="no such path"):
        read(open_listing(Vendor({None: refusal}).fetch))
    with pytest.raises(IncompleteSnapshotError, match=r"A later page failed: no such path .*Nothing was archived"):
        read(open_listing(Vendor({None: Page(records("a"), "x"), "x": refusal}).fetch))


def test_progress_is_told_with_the_page_that_may_be_the_last(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    vendor = Vendor(numbered("ab", "cd", "e", following=None, total=5))
    read(open_listing(vendor.fetch, first=1, page_size=2))
    assert [line.partition(" records")[0] for line in caplog.messages] == [
        f"costs of {DAY}: page {number} of about 3, {count}" for number, count in ((1, 2), (2, 4), (3, 5))
    ]
