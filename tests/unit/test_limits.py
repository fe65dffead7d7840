"""The bounds that SECURITY.md promises have the values it names, and each is where a reader runs into it."""

from __future__ import annotations

import gzip
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import pytest

from airflow_usage_provider.exceptions import (
    AuthenticationError,
    IncompleteSnapshotError,
    InvalidBodyError,
    RateLimitedError,
    UsageProviderError,
    VendorUnavailableError,
)
from airflow_usage_provider.http import client as http
from airflow_usage_provider.http import download, exchange, framing
from airflow_usage_provider.models import UsageWindow
from airflow_usage_provider.records import csv as csv_records
from airflow_usage_provider.records import json as json_records
from airflow_usage_provider.records import walk
from airflow_usage_provider.vendors.keywordsai import api as keywordsai
from airflow_usage_provider.vendors.keywordsai import streams as keywordsai_users

MIB = 1024 * 1024
WINDOW = UsageWindow(date(2026, 11, 20))


@pytest.fixture
def client_to(connect: Any, client_options: dict[str, Any]) -> Iterator[Callable[..., http.HttpClient]]:
    clients: list[http.HttpClient] = []

    def make(api_key: str = "sk-acme", **settings: Any) -> http.HttpClient:
        clients.append(http.HttpClient("keywordsai", connect(api_key, **settings), **client_options))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.mark.parametrize(
    ("module", "name", "value"),
    [
        (http, "MAX_ATTEMPTS", 5),
        (exchange, "MAX_BODY_BYTES", 256 * MIB),
        (exchange, "MAX_ERROR_BYTES", 64 * 1024),
        (framing, "MAX_INTERIM", 64),
        (json_records, "MAX_VALUES", 1_000_000),
        (http, "MAX_RETRY_AFTER", 600),
        (download, "MAX_REDIRECTS", 3),
        (exchange, "CHUNK", MIB),
        (csv_records, "_MAX_HEADER_BYTES", MIB),
        (json_records, "_MAX_VALUE_CHARS", 64 * MIB),
        (walk, "MAX_PAGES", 100_000),
    ],
)
def test_a_bound_has_the_value_that_is_promised(module: Any, name: str, value: int) -> None:
    assert getattr(module, name) == value


@pytest.mark.parametrize("status", [200, 201, 404])
def test_an_answer_has_a_greatest_length(
    client_to: Any, canned_server: Any, canned: Any, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    for name in ("MAX_BODY_BYTES", "MAX_ERROR_BYTES"):
        monkeypatch.setattr(exchange, name, 1000)
    client = client_to(base_url=canned_server([canned(status, b"1" * 1001)]).url)
    with pytest.raises(InvalidBodyError, match="longer than 1000 bytes"):
        client.request("GET", "/", stream="users", expected=(404,))


@pytest.mark.parametrize(
    ("status", "kind"), [(401, AuthenticationError), (429, RateLimitedError), (500, VendorUnavailableError)]
)
def test_an_error_is_worth_64_kib_however_small_it_was_packed(
    client_to: Any, canned_server: Any, canned: Any, fake_time: Any, status: int, kind: type[UsageProviderError]
) -> None:
    bomb = gzip.compress(b"[" + b"[],{}," * 4_000_000 + b"1]")
    client = client_to(base_url=canned_server([canned(status, bomb, {"Content-Encoding": "gzip"})]).url)
    tracemalloc.start()
    try:
        with pytest.raises(kind):
            client.request("GET", "/", stream="users", attempts=1)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_an_answer_of_more_values_than_are_ever_meant_is_not_parsed(
    client_to: Any, canned_server: Any, canned: Any
) -> None:
    server = canned_server([canned(200, b'{"results": [' + b"[],{}," * 1_000_000 + b"1]}")])
    answer = client_to(base_url=server.url).request("GET", "/", stream="users")
    tracemalloc.start()
    try:
        assert answer.json() is None
        for read in (answer.read_json, lambda: answer.split_page("results")):
            with pytest.raises(InvalidBodyError, match="values"):
                read()
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_an_answer_of_the_greatest_length_is_read(
    client_to: Any, canned_server: Any, canned: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "MAX_BODY_BYTES", 1000)
    client = client_to(base_url=canned_server([canned(200, b"1" * 1000)]).url)
    assert len(client.request("GET", "/", stream="users").body) == 1000


def test_the_longest_wait_a_vendor_may_ask_for_is_kept_and_no_longer_one(client_to: Any, fake_time: Any) -> None:
    client = client_to("sk-acme;error=429;retry_after=600;error_times=1")
    assert client.request("GET", "/api/users/", stream="users").status == 200
    assert sum(fake_time.slept) >= 600
    fake_time.slept.clear()
    with pytest.raises(RateLimitedError):
        client_to("sk-acme;error=429;retry_after=601").request("GET", "/api/users/", stream="users")
    assert fake_time.slept == []


@pytest.mark.parametrize("last", [2, 3])
def test_a_listing_has_a_last_page(
    connect: Any, client_options: dict[str, Any], monkeypatch: pytest.MonkeyPatch, last: int
) -> None:
    monkeypatch.setattr(walk, "MAX_PAGES", last)
    vendor = keywordsai.KeywordsAI(connect("sk-acme;users=25"), **client_options)
    chunks = keywordsai_users.KeywordsAIUsers(vendor, keywordsai.UsersQuery(window=WINDOW, page_size=10)).read()
    try:
        if last == 3:
            assert b"".join(chunks).count(b"\n") == 25
        else:
            with pytest.raises(IncompleteSnapshotError, match="does not end within 2 pages"):
                b"".join(chunks)
    finally:
        vendor.close()


def test_a_json_value_has_a_greatest_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_records, "_MAX_VALUE_CHARS", 1000)
    endless = (b'{"data": [{"name": "', *[b"x" * 100] * 1_000_000)
    taken = iter(endless)
    with pytest.raises(InvalidBodyError):
        list(json_records.iter_records(taken, "data"))
    assert sum(1 for _ in taken) > 999_000
