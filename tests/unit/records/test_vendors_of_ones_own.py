"""A whole stream of another vendor is one function: OpenAI's costs and Anthropic's, over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest

from airflow_usage_provider.exceptions import IncompleteSnapshotError
from airflow_usage_provider.http.client import HttpClient
from airflow_usage_provider.models import UsageWindow
from airflow_usage_provider.records.days import split_days
from airflow_usage_provider.records.listing import Page, PagedListing, read_buckets
from airflow_usage_provider.schema import StreamSchema

DAY = UsageWindow(date(2026, 11, 20))
OPENAI = StreamSchema(
    ("project_id", "line_item"),
    {"amount.value": "money", "amount.currency": "text", "project_id": "text", "line_item": "text"},
    {"cost": "amount.value", "currency": "amount.currency", "charges": "costs"},
)
ANTHROPIC = StreamSchema(
    ("workspace_id", "description"),
    {"amount": "money", "workspace_id": "text", "description": "text"},
    {"cost": "amount", "currency": "USD", "cost_scale": "0.01", "charges": "costs"},
)


def open_openai(client: HttpClient, window: UsageWindow) -> PagedListing:
    path = "/v1/organization/costs"
    parameters = {
        "start_time": int(window.start.timestamp()),
        "end_time": int(window.end.timestamp()),
        "bucket_width": "1d",
        "limit": 180,
        "group_by": ["project_id", "line_item"],
    }

    def fetch(cursor: str | None) -> Page:
        answer = client.request("GET", path, stream="costs", params={**parameters, "page": cursor})
        return read_buckets(answer.body)

    request = {"method": "GET", "path": path, "parameters": parameters}
    besides = ("start_time", "end_time", "limit")
    return PagedListing("costs", window, fetch, request=request, not_in_question=besides, schema=OPENAI, client=client)


def open_anthropic(client: HttpClient, window: UsageWindow) -> PagedListing:
    path = "/v1/organizations/cost_report"
    parameters = {
        "starting_at": f"{window.start:%Y-%m-%dT%H:%M:%SZ}",
        "ending_at": f"{window.end:%Y-%m-%dT%H:%M:%SZ}",
        "bucket_width": "1d",
        "limit": 31,
        "group_by[]": ["workspace_id", "description"],
    }

    def fetch(cursor: str | None) -> Page:
        answer = client.request("GET", path, stream="costs", params={**parameters, "page": cursor})
        return read_buckets(answer.body, start="starting_at", end="ending_at")

    request = {"method": "GET", "path": path, "parameters": parameters}
    besides = ("starting_at", "ending_at", "limit")
    return PagedListing(
        "costs", window, fetch, request=request, not_in_question=besides, schema=ANTHROPIC, client=client
    )


VENDORS = {
    "openai": (open_openai, "start_time", "end_time", lambda moment: int(moment.timestamp())),
    "anthropic": (open_anthropic, "starting_at", "ending_at", lambda moment: moment.isoformat()),
}
ROWS = {
    "openai": [
        b'{"object":"organization.costs.result","amount":{"value":5.2e-05,"currency":"usd"},"project_id":"p","line_item":"gpt"}',
        b'{"object":"organization.costs.result","amount":{"value":1.10,"currency":"usd"},"project_id":null,"line_item":"gpt"}',
    ],
    "anthropic": [
        b'{"amount":"123.4500","currency":"USD","workspace_id":null,"description":"Tokens"}',
        b'{"amount":"0.10","currency":"USD","workspace_id":"w","description":"Tokens"}',
    ],
}


@pytest.fixture(params=VENDORS)
def vendor(request: Any, connect: Any, client_options: dict[str, Any], canned_server: Any) -> Iterator[Any]:
    """One of the two: its name, a client, and the server that answers it."""
    server = canned_server()
    client = HttpClient(request.param, connect("sk-acme", base_url=server.url), **client_options)
    yield request.param, client, server
    client.close()


def page(
    name: str, *days: tuple[date, list[bytes]], following: str | None = None, has_more: bool | None = None
) -> bytes:
    """Build a page with a bucket for each day."""
    _, start, end, write = VENDORS[name]
    windows = [(UsageWindow(day), rows) for day, rows in days]
    buckets = [
        b'{"%s":%s,"%s":%s, "results" : [%s]}'
        % (
            start.encode(),
            json.dumps(write(w.start)).encode(),
            end.encode(),
            json.dumps(write(w.end)).encode(),
            b", ".join(rows),
        )
        for w, rows in windows
    ]
    more = following is not None if has_more is None else has_more
    tail = json.dumps({"has_more": more, "next_page": following})[1:].encode()
    return b'{"data":[' + b",".join(buckets) + b"]," + tail


def test_a_day_of_costs_is_archived_as_it_was_sent(vendor: Any, canned: Any) -> None:
    name, client, server = vendor
    server.answers = [canned(body=page(name, (DAY.usage_date, ROWS[name])))]
    listing = VENDORS[name][0](client, DAY)
    assert b"".join(listing.read()).splitlines() == ROWS[name]
    (asked,) = server.requests
    assert asked[0].count("group_by") == 2
    assert "page=" not in asked[0]
    assert set(listing.question["parameters"]) == set(listing.request["parameters"]) - {
        "start_time",
        "end_time",
        "starting_at",
        "ending_at",
        "limit",
    }


def test_a_wrong_listing_is_refused_without_a_line_of_the_vendors(vendor: Any, canned: Any) -> None:
    name, client, server = vendor
    day, rows = DAY.usage_date, ROWS[name]
    before = day.replace(day=19)
    wrong = {
        "a bucket missing": [page(name)],
        "a bucket outside": [page(name, (day, rows), (before, rows))],
        "a bucket twice": [page(name, (day, rows), (day, rows))],
        "a bucket on two pages": [page(name, (day, rows), following="x"), page(name, (day, rows[:1]))],
        "more without a cursor": [page(name, (day, rows), has_more=True)],
        "a cursor that repeats": [page(name, (day, rows), following="x"), page(name, following="x")],
        "no word of what follows": [
            page(name, (day, rows)).replace(b'"has_more": false, "next_page": null', b'"object":"page"')
        ],
    }
    for what, bodies in wrong.items():
        server.answers = [canned(body=body) for body in bodies]
        with pytest.raises(IncompleteSnapshotError) as caught:
            b"".join(VENDORS[name][0](client, DAY).read())
        assert (caught.value.vendor, caught.value.stream, caught.value.connection) == (name, "costs", "under_test"), (
            what
        )


def test_many_days_are_asked_for_once(vendor: Any, canned: Any) -> None:
    name, client, server = vendor
    days = [date(2026, 11, day) for day in (18, 19, 20)]
    pages = [page(name, *((day, ROWS[name]) for day in days[:2]), following="x"), page(name, (days[2], []))]
    server.answers = [canned(body=body) for body in pages]
    streams = split_days([UsageWindow(day) for day in reversed(days)], lambda window: VENDORS[name][0](client, window))
    assert [b"".join(stream.read()).count(b"\n") for stream in streams] == [0, 2, 2]
    assert len(server.requests) == 2
    assert "page=x" in server.requests[1][0]
