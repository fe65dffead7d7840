"""Keywords AI: whatever flavour its paging and its dates have, a listing is whole or refused."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from datetime import date
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_usage_provider.exceptions import (
    AuthenticationError,
    ConfigurationError,
    IncompleteSnapshotError,
    InvalidBodyError,
    ListingChangedError,
)
from airflow_usage_provider.http.traffic import Traffic
from airflow_usage_provider.models import StreamFacts, UsageWindow
from airflow_usage_provider.vendors.keywordsai.api import KeywordsAI, UsersQuery, date_parameters
from airflow_usage_provider.vendors.keywordsai.streams import KeywordsAIUsers

DAY = date(2026, 11, 20)
WINDOW = UsageWindow(DAY)
Open = Callable[..., KeywordsAIUsers]


@pytest.fixture
def open_users(connect: Any, client_options: dict[str, Any]) -> Iterator[Open]:
    """Open a listing: ``open_users("users=25;past_end=404", page_size=10)``."""
    vendors: list[KeywordsAI] = []

    def open_with(
        switches: str = "",
        *,
        key_environment: str | None = None,
        base_url: str | None = None,
        traffic: Traffic | None = None,
        **query: Any,
    ) -> KeywordsAIUsers:
        given = {"base_url": base_url, "traffic": traffic}
        settings = {name: value for name, value in given.items() if value}
        vendor = KeywordsAI(connect(f"sk-acme;{switches}", **settings), environment=key_environment, **client_options)
        vendors.append(vendor)
        return KeywordsAIUsers(vendor, UsersQuery(**{"window": WINDOW, "page_size": 10, **query}))

    yield open_with
    for vendor in vendors:  # pages asked for ahead may still be on their way
        vendor.close()


def read(stream: KeywordsAIUsers) -> tuple[list[dict[str, Any]], StreamFacts]:
    chunks, body = stream.read(), b""
    while True:
        try:
            body += next(chunks)
        except StopIteration as end:
            return [json.loads(line) for line in body.splitlines()], end.value


def identify(rows: list[dict[str, Any]]) -> list[str]:
    return [row["customer_identifier"] for row in rows]


def pages_asked(sandbox: Any) -> list[int]:
    return [int(record.query["page"]) for record in sandbox.requests]


@pytest.mark.parametrize("past_end", ["200", "404", "400"])
@pytest.mark.parametrize("following", ["complete", "page_only", "http", "missing"])
@pytest.mark.parametrize("count", ["page", "total", "page_size_plus_one"])
@pytest.mark.parametrize("users", [9, 10, 20, 25])
def test_every_flavour_of_paging_ends_with_every_user(
    open_users: Open, past_end: str, following: str, count: str, users: int
) -> None:
    stream = open_users(f"users={users};past_end={past_end};next={following};count={count}", verify_pages=False)
    rows, facts = read(stream)
    assert len(set(identify(rows))) == len(rows) == facts.rows == users
    assert facts.pages - -(-users // 10) in (0, 1)  # some flavours end on a page without users
    assert facts.vendor_rows is None


@pytest.mark.parametrize("in_flight", [1, 2, 4, 32])
def test_pages_come_in_order_however_many_are_asked_for_at_once(open_users: Open, in_flight: int) -> None:
    expected, _ = read(open_users("users=45", page_size=1000))
    rows, facts = read(open_users("users=45", pages_in_flight=in_flight))
    assert rows == expected
    assert facts.pages == 5


def test_no_more_pages_are_asked_for_than_may_be_in_flight(open_users: Open, sandbox: Any) -> None:
    pages = open_users("users=1000", pages_in_flight=3).iter_pages()
    next(pages)
    next(pages)
    pages.close()
    assert max(pages_asked(sandbox)) <= 5


def test_one_page_is_one_request(open_users: Open, sandbox: Any) -> None:
    assert len(read(open_users("users=9"))[0]) == 9
    assert pages_asked(sandbox) == [1]


def test_pages_are_built_from_our_own_parameters_on_the_configured_base(open_users: Open, sandbox: Any) -> None:
    read(open_users("users=25;next=http", verify_pages=False))
    for record in sandbox.requests:
        assert (record.port_role, record.path) == ("api", "/api/users/")
        assert record.query | {"page": ""} == {
            "page": "",
            "page_size": "10",
            "summary_type": "daily",
            "date": "2026-11-20 00:00:00",
            "timezone_offset": "0",
        }


def test_a_base_that_ends_in_api_is_taken_as_the_vendors_own_client_takes_it(open_users: Open, sandbox: Any) -> None:
    assert len(read(open_users("users=5", base_url=f"{sandbox.url}/api"))[0]) == 5
    assert sandbox.requests[0].path == "/api/users/"


@pytest.mark.parametrize("switches", ["users=25;repeat_page=2", "users=25;repeat_page=3", "users=25;next=loop"])
def test_pages_that_go_in_circles_are_an_incomplete_listing(open_users: Open, switches: str) -> None:
    with pytest.raises(IncompleteSnapshotError, match=r"repeats an earlier page|is next") as caught:
        read(open_users(switches))
    assert not isinstance(caught.value, ListingChangedError)


@pytest.mark.parametrize("page", [1, 2])
def test_a_page_without_users_before_one_with_users_is_an_incomplete_listing(open_users: Open, page: int) -> None:
    with pytest.raises(IncompleteSnapshotError, match=f"Page {page + 1} has records, page {page} has none"):
        read(open_users(f"users=25;empty_page={page}"))


def page(canned: Any, following: str | None, *names: str) -> Any:
    rows = [{"customer_identifier": name} for name in names]
    return canned(body=json.dumps({"results": rows, "next": following}).encode())


def test_a_next_link_that_is_never_null_ends_with_the_second_page_without_users(
    open_users: Open, canned_server: Any, canned: Any
) -> None:
    answers = [page(canned, "?page=2", "a"), page(canned, "?page=3", "b"), page(canned, "?page=99")]
    server = canned_server(answers)
    rows, _ = read(open_users(base_url=server.url, verify_pages=False, pages_in_flight=1))
    assert identify(rows) == ["a", "b"]
    server.answers = [page(canned, "?page=99")]
    assert read(open_users(base_url=server.url, verify_pages=False, pages_in_flight=1))[1].rows == 0


@pytest.mark.parametrize("drift", ["insert", "delete", "both"])
def test_a_listing_that_moves_while_it_is_read_is_noticed(open_users: Open, drift: str) -> None:
    for aggregation, message in (("full", "their number changed"), ("missing", "two readings of the listing disagree")):
        with pytest.raises(ListingChangedError, match=message):
            read(open_users(f"users=45;drift={drift};aggregation={aggregation}"))


@pytest.mark.parametrize("drift", ["insert", "delete", "both"])
def test_a_listing_that_comes_to_rest_is_read_by_the_same_stream(open_users: Open, drift: str) -> None:
    stream = open_users(f"users=45;drift={drift};drift_times=1")
    with pytest.raises(ListingChangedError):
        read(stream)
    rows, facts = read(stream)
    assert len(set(identify(rows))) == len(rows) == facts.rows


def test_totals_that_rest_and_are_the_users_that_came_spare_the_second_reading(open_users: Open, sandbox: Any) -> None:
    read(open_users("users=25", pages_in_flight=1))
    assert pages_asked(sandbox) == [1, 2, 3]


@pytest.mark.parametrize("totals", [[2, 2, 2], [3, 4, 3], [None, 3, 3], ["many"] * 3])
def test_other_totals_do_not(open_users: Open, canned_server: Any, canned: Any, totals: list[Any]) -> None:
    server = canned_server()
    server.answers = [
        canned(
            body=json.dumps(
                {
                    "results": [{"customer_identifier": str(number)}],
                    "next": "more" if number < 2 else None,
                    "aggregation_data": {"total_users": total} if total is not None else {},
                }
            ).encode()
        )
        for number, total in enumerate(totals)
    ] * 2
    stream = open_users(base_url=server.url, pages_in_flight=1, page_size=1)
    if len(set(totals)) > 1:
        with pytest.raises(ListingChangedError):
            read(stream)
    else:
        read(stream)
        assert len(server.requests) == 6


def test_the_second_reading_costs_each_page_once_more(open_users: Open, sandbox: Any) -> None:
    stream = open_users("users=25;aggregation=missing", pages_in_flight=1)
    read(stream)
    assert sorted(pages_asked(sandbox)) == [1, 1, 2, 2, 3, 3]
    read(stream)
    assert len(sandbox.requests) == 9


def test_pages_are_told_every_ten_seconds(open_users: Open, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    four_seconds_a_page = Traffic(clock=count(0, 4).__next__)
    body = b"".join(open_users("users=60", traffic=four_seconds_a_page).read())
    first, last = (record.getMessage() for record in caplog.records)
    assert first.startswith(f"users of {DAY}: page 3 of about 6, 30 records, ")
    assert last == f"users of {DAY}: page 6 of about 6, 60 records, {len(body) - 60} bytes so far"


def test_a_second_reading_is_told_too(open_users: Open, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    four_seconds_a_page = Traffic(clock=count(0, 4).__next__)
    read(open_users("users=30;aggregation=missing", traffic=four_seconds_a_page))
    lines = [record.getMessage() for record in caplog.records]
    assert [line.partition(" records")[0] for line in lines] == [
        f"users of {DAY}: page 3, 30",
        f"users of {DAY}: reading 3 pages again, in case something moved",
        f"users of {DAY}: page 3, 30",
    ]


def test_who_asks_for_details_is_told_every_page(open_users: Open, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="airflow_usage_provider")
    read(open_users("users=30", verify_pages=False))
    told = [record.getMessage() for record in caplog.records]
    assert [line.split(",")[0].partition("page ")[2] for line in told if "page " in line] == [
        f"{number} of about 3" for number in (1, 2, 3)
    ]


def test_without_a_second_reading_what_moved_shows_as_duplicates(open_users: Open, sandbox: Any) -> None:
    stream = open_users("users=25;drift=insert;aggregation=missing", verify_pages=False, pages_in_flight=1)
    rows, facts = read(stream)
    assert facts.duplicates == 1
    assert len(set(identify(rows))) == len(rows) == facts.rows == 25
    assert pages_asked(sandbox) == [1, 2, 3]


def test_users_without_a_name_are_kept_apart(open_users: Open, canned_server: Any, canned: Any) -> None:
    rows: list[dict[str, Any]] = [
        {"customer_identifier": None, "environment": "prod", "cost": 1},
        {"customer_identifier": None, "environment": "prod", "cost": 2},
        {"customer_identifier": "", "cost": 3},
        {"customer_identifier": "", "cost": 4},
        {"environment": "prod", "cost": 5},
        {"environment": "prod", "cost": 6},
        {"cost": 7},
        {"cost": 8},
    ]
    server = canned_server([canned(body=json.dumps({"results": rows, "next": None}).encode())])
    read_rows, facts = read(open_users(base_url=server.url))
    assert read_rows == rows
    assert facts.duplicates == 0


def test_a_user_of_two_environments_is_two_and_one_that_comes_twice_with_other_figures_is_archived_twice_and_told(
    open_users: Open, canned_server: Any, canned: Any, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [{"customer_identifier": "a", "environment": e, "n": n} for n, e in enumerate(["prod", "test", "prod"])]
    server = canned_server([canned(body=json.dumps({"results": rows, "next": None}).encode())])
    read_rows, facts = read(open_users(base_url=server.url))
    assert read_rows == rows
    assert (facts.rows, facts.duplicates, facts.conflicts) == (3, 0, 1)
    assert caplog.messages == [f"users of {DAY}: 1 records have the identity of another one; all are archived"]


def test_half_an_emoji_in_a_name_is_archived_as_it_was_sent(open_users: Open, canned_server: Any, canned: Any) -> None:
    body = rb'{"results": [{"customer_identifier": "a", "name": "x \ud83d"}], "next": null}'
    server = canned_server([canned(body=body)])
    chunks = list(open_users(base_url=server.url).read())
    assert chunks == [rb'{"customer_identifier":"a","name":"x \ud83d"}' + b"\n"]


@pytest.mark.parametrize("switches", ["whitespace=1", "big_ints=1", "extra_fields=1", "nulls=1", "last_active=zero"])
def test_rows_are_the_vendors_in_any_dress(open_users: Open, switches: str) -> None:
    plain, _ = read(open_users("users=25"))
    rows, facts = read(open_users(f"users=25;{switches}"))
    assert identify(rows) == identify(plain)
    assert ("sandbox_tags" in facts.columns) == (switches == "extra_fields=1")
    if switches == "whitespace=1":
        assert rows == plain
    if switches == "big_ints=1":
        assert rows[0]["id"] == plain[0]["id"] + 10**19


def test_small_costs_keep_their_notation(open_users: Open) -> None:
    assert b'e-05,"total_cost"' in b"".join(open_users("users=300", page_size=1000).read())


def test_the_envelope_is_that_of_the_first_page_without_its_links(open_users: Open) -> None:
    _, facts = read(open_users("users=25;extra_fields=1"))
    assert set(facts.envelope) == {"count", "aggregation_data", "sandbox_version"}
    assert facts.envelope["count"] == 10
    assert facts.envelope["aggregation_data"]["total_users"] == 25
    costs = [value for name, value in facts.envelope["aggregation_data"].items() if name.endswith("_cost")]
    assert all(isinstance(cost, str) for cost in costs)
    assert read(open_users("users=5;aggregation=missing"))[1].envelope == {"count": 5}


def test_a_body_that_is_no_json_is_named_with_vendor_path_and_place(open_users: Open, sandbox: Any) -> None:
    with pytest.raises(InvalidBodyError, match=r"at character \d+") as caught:
        read(open_users("body=invalid"))
    assert (caught.value.vendor, caught.value.url) == ("keywordsai", f"{sandbox.url}/api/users/")


@pytest.mark.parametrize("status", ["404", "400"])
def test_what_means_the_end_later_is_an_error_on_the_first_page(open_users: Open, status: str) -> None:
    with pytest.raises(Exception, match=f"status {status}"):
        read(open_users(f"users=25;error={status}"))


def test_a_later_page_that_fails_is_no_end(open_users: Open) -> None:
    for switches in ("error=401", "error=500", "error=403", "body=invalid"):
        with pytest.raises((AuthenticationError, InvalidBodyError, Exception)):
            read(open_users(f"users=25;{switches};error_page=2"))


OFFSETS = [
    ("2026-11-20", "UTC", "2026-11-20 00:00:00", 0),
    ("2026-11-20", "Europe/Berlin", "2026-11-20 00:00:00", -1),
    ("2026-07-01", "Europe/Berlin", "2026-07-01 00:00:00", -2),
    ("2026-11-20", "America/Los_Angeles", "2026-11-20 08:00:00", 8),
    ("2026-07-01", "America/Los_Angeles", "2026-07-01 07:00:00", 7),
    ("2026-11-20", "Asia/Kolkata", "2026-11-20 00:00:00", "-5.5"),
    ("2026-11-20", "Pacific/Auckland", "2026-11-20 00:00:00", -13),
    ("2026-07-01", "America/St_Johns", "2026-07-01 02:30:00", "2.5"),
    ("2026-03-29", "Europe/Berlin", "2026-03-29 00:00:00", -2),
]


@pytest.mark.parametrize(("day", "timezone", "moment", "offset"), OFFSETS)
def test_date_and_offset_are_those_of_the_requested_day(day: str, timezone: str, moment: str, offset: object) -> None:
    parameters = date_parameters(UsageWindow.parse(day, timezone))
    assert parameters == {"date": moment, "timezone_offset": offset}
    assert type(parameters["timezone_offset"]) is type(offset)


@given(st.dates(date(2020, 1, 1), date(2030, 1, 1)), st.sampled_from([entry[1] for entry in OFFSETS]))
def test_the_moment_is_within_the_day_in_whichever_zone_the_vendor_reads_it(day: date, timezone: str) -> None:
    from datetime import UTC, datetime

    window = UsageWindow(day, timezone)
    moment = datetime.fromisoformat(date_parameters(window)["date"])
    as_utc = moment.replace(tzinfo=UTC)
    assert moment.date() == day
    assert window.start <= as_utc < window.end or window.start.utcoffset() != window.end.utcoffset()


def test_the_parameters_reach_the_vendor(open_users: Open, sandbox: Any) -> None:
    read(open_users(window=UsageWindow(DAY, "Asia/Kolkata"), summary_type="monthly", page_size=1000))
    assert sandbox.requests[0].query == {
        "page": "1",
        "page_size": "1000",
        "summary_type": "monthly",
        "date": "2026-11-20 00:00:00",
        "timezone_offset": "-5.5",
    }


def test_the_users_list_is_posted_sorted_and_without_a_date(open_users: Open, sandbox: Any) -> None:
    stream = open_users("users=25", stream="users_list")
    rows, facts = read(stream)
    record = sandbox.requests[0]
    assert (record.method, record.path) == ("POST", "/api/users/list/")
    assert record.query == {"page": "1", "page_size": "10", "sort_by": "customer_identifier"}
    assert json.loads(record.body) == {"filters": {}}
    assert identify(rows) == sorted(identify(rows))
    assert facts.rows == 25
    assert stream.request["method"] == "POST"


@pytest.mark.parametrize(
    ("query", "environment", "sent", "name"),
    [
        ({}, None, None, "users"),
        ({}, "test", "test", "users_test"),
        ({"summary_type": "monthly"}, "test", "test", "users_monthly_test"),
        ({"environment": "prod"}, "test", "prod", "users_prod"),
        ({"summary_type": "weekly"}, None, None, "users_weekly"),
        ({"summary_type": "all", "environment": "test"}, None, "test", "users_all_test"),
        ({"stream": "users_list", "summary_type": "weekly"}, None, None, "users_list"),
        ({"stream": "users_list", "environment": "test"}, None, "test", "users_list_test"),
    ],
)
def test_the_environment_is_sent_and_named_in_the_archive_wherever_it_was_set(
    open_users: Open, sandbox: Any, query: dict[str, Any], environment: str | None, sent: str | None, name: str
) -> None:
    stream = open_users("users=5", key_environment=environment, **query)
    read(stream)
    assert sandbox.requests[0].query.get("environment") == sent
    assert stream.request["parameters"].get("environment") == sent
    assert stream.name == name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("stream", "logs"),
        ("summary_type", "hourly"),
        ("page_size", 0),
        ("page_size", 1001),
        ("page_size", "10"),
        ("pages_in_flight", 0),
        ("pages_in_flight", 33),
    ],
)
def test_a_query_that_cannot_be_is_refused_with_what_can(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"{name} is {value!r}\. Give "):
        UsersQuery(**{"window": WINDOW, name: value})


def test_checking_a_connection_asks_for_one_user(connect: Any, client_options: Any, sandbox: Any) -> None:
    vendor = KeywordsAI(connect("sk-acme"), environment="test", **client_options)
    vendor.check()
    (record,) = sandbox.requests
    assert (record.query["page_size"], record.query["environment"]) == ("1", "test")
    vendor.close()
    vendor = KeywordsAI(connect("nonsense"), **client_options)
    with pytest.raises(AuthenticationError):
        vendor.check()
    vendor.close()


def answers(canned: Any, *pages: Any) -> list[Any]:
    """Pages of names, their ``next`` and their total; or a status and a body."""
    built = []
    for one in pages:
        if isinstance(one[0], int):
            built.append(canned(one[0], one[1]))
            continue
        names, following, total = one
        rows = [{"customer_identifier": name} for name in names]
        totals = {} if total is None else {"total_users": total}
        built.append(canned(body=json.dumps({"results": rows, "next": following, "aggregation_data": totals}).encode()))
    return built


MORE = "https://api.keywordsai.co/api/users/?page=2"
FOREIGN_ENDS = [
    (404, b"404 page not found"),
    (404, b'{"detail":"Not found."}'),
    (404, b"{}"),
    (404, b"null"),
    (404, b""),
    (404, b"Invalid page."),
    (404, b'["Invalid page."]'),
    (404, b'{"detail":"Invalid page size."}'),
    (404, b'{"message":"Invalid page."}'),
    (404, b"<html><body>404</body></html>"),
    (400, b'{"detail":"Bad request."}'),
    (400, b"Bad Request"),
]


@pytest.mark.parametrize("verify_pages", [True, False])
@pytest.mark.parametrize("total", [3, None])
@pytest.mark.parametrize("end", FOREIGN_ENDS)
def test_a_page_that_somebody_else_does_not_find_is_no_end(
    open_users: Open, canned_server: Any, canned: Any, end: Any, total: int | None, verify_pages: bool
) -> None:
    server = canned_server(answers(canned, ("ab", MORE, total), end))
    stream = open_users(base_url=server.url, page_size=2, pages_in_flight=1, verify_pages=verify_pages)
    with pytest.raises((IncompleteSnapshotError, InvalidBodyError)) as caught:
        read(stream)
    assert (caught.value.vendor, caught.value.stream) == ("keywordsai", "users")


OWN_ENDS = [
    (200, b'{"results":[],"next":null}'),
    (200, b'{"results":[]}'),
    (404, b'{"detail":"Invalid page."}'),
    (404, b'{"detail": "Invalid page.", "code": "not_found"}'),
    (400, b'{"detail":"Invalid page number"}'),
]


@pytest.mark.parametrize("end", OWN_ENDS)
def test_a_page_that_the_vendor_itself_does_not_have_is_an_end_behind_a_full_one(
    open_users: Open, canned_server: Any, canned: Any, end: Any, fake_time: Any
) -> None:
    server = canned_server(answers(canned, ("ab", MORE, None), end, ("ab", MORE, None), end))
    rows, facts = read(open_users(base_url=server.url, page_size=2, pages_in_flight=1))
    assert (identify(rows), facts.end) == (["a", "b"], "passed, read twice")
    assert sum(fake_time.slept) >= 10
    assert len(server.requests) == 4


@pytest.mark.parametrize("end", OWN_ENDS)
def test_it_is_none_behind_a_page_that_was_not_full_and_says_that_more_follows(
    open_users: Open, canned_server: Any, canned: Any, end: Any
) -> None:
    server = canned_server(answers(canned, ("ab", MORE, None), end))
    with pytest.raises(IncompleteSnapshotError, match="Page 1 says that more follows, and page 2 has nothing"):
        read(open_users(base_url=server.url, pages_in_flight=1))


@pytest.mark.parametrize("end", OWN_ENDS)
def test_it_is_none_where_the_vendor_has_more_users(
    open_users: Open, canned_server: Any, canned: Any, end: Any
) -> None:
    server = canned_server(answers(canned, ("ab", MORE, 3), end))
    with pytest.raises(IncompleteSnapshotError, match="The vendor has 3 records, 2 came"):
        read(open_users(base_url=server.url, page_size=2, pages_in_flight=1))


def test_one_page_must_hold_as_many_users_as_the_vendor_says(open_users: Open, canned_server: Any, canned: Any) -> None:
    server = canned_server(answers(canned, ("ab", None, 3)))
    with pytest.raises(IncompleteSnapshotError, match="The vendor has 3 records, 2 came"):
        read(open_users(base_url=server.url))


def test_whoever_only_pages_is_told_too_that_users_are_missing(open_users: Open) -> None:
    pages = open_users("users=15;missing=1").iter_pages()
    assert len(next(pages).records) == 10
    assert len(next(pages).records) == 5
    with pytest.raises(IncompleteSnapshotError, match="The vendor has 16 records, 15 came"):
        next(pages)


def test_the_manifest_is_told_how_the_end_was_known(open_users: Open) -> None:
    assert read(open_users("users=9"))[1].end == "said, totals"
    assert read(open_users("users=9;aggregation=missing"))[1].end == "said, one page"
    assert read(open_users("users=25;aggregation=missing"))[1].end == "said, read twice"
    assert read(open_users("users=25;next=missing"))[1].end == "passed, totals"
    assert read(open_users("users=25;aggregation=missing", verify_pages=False))[1].end == "said, not verified"


def test_the_question_has_what_decides_the_answer_and_neither_day_nor_page_size(open_users: Open) -> None:
    def ask(**query: Any) -> Any:
        return open_users(**query).question

    assert ask(window=UsageWindow(DAY, "Asia/Kolkata"), summary_type="weekly") == {
        "method": "GET",
        "path": "/api/users/",
        "parameters": {"summary_type": "weekly"},
        "timezone": "Asia/Kolkata",
    }
    assert ask() == ask(window=UsageWindow(date(2026, 6, 1)), page_size=5, base_url="https://api.respan.ai")
    assert ask() != ask(window=UsageWindow(DAY, "Europe/Berlin"))
    assert ask(environment="test") == ask(key_environment="test") != ask()
    assert ask(stream="users_list")["path"] == "/api/users/list/"


def test_an_environment_has_a_pot_of_its_own_wherever_it_was_set(open_users: Open) -> None:
    pots = [
        open_users(**where).schema.roles["charges"]
        for where in ({}, {"environment": "test"}, {"key_environment": "test"})
    ]
    assert pots == ["usage", "usage_test", "usage_test"]


def test_a_user_on_one_page_with_two_costs_is_archived_twice(
    open_users: Open, caplog: pytest.LogCaptureFixture
) -> None:
    rows, facts = read(open_users("users=5;twice=1"))
    assert (facts.rows, facts.conflicts, facts.duplicates) == (6, 1, 0)
    assert rows[5] == rows[0] | {"cost": 4.5}
    assert "1 records have the identity of another one" in caplog.text
