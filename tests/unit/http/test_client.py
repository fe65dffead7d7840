"""The one way an API is asked: bounded, polite, and with the key kept at home."""

from __future__ import annotations

import logging
import pickle
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_usage_provider.exceptions import (
    AuthenticationError,
    ConfigurationError,
    IncompleteSnapshotError,
    InvalidBodyError,
    RateLimitedError,
    RequestRejectedError,
    UsageProviderError,
    VendorUnavailableError,
)
from airflow_usage_provider.http import BearerAuth, HeaderAuth
from airflow_usage_provider.http.answers import ApiResponse, read_retry_after, request_id
from airflow_usage_provider.http.client import MAX_ATTEMPTS, HttpClient
from airflow_usage_provider.http.limiter import RateLimiter

ClientMaker = Callable[..., HttpClient]


@pytest.fixture
def client_to(connect: Any, client_options: dict[str, Any]) -> Iterator[ClientMaker]:
    """Make clients that never really wait: ``client_to("sk-acme;error=500")``."""
    clients: list[HttpClient] = []

    def make(api_key: str = "sk-acme", settings: dict[str, Any] | None = None, **options: Any) -> HttpClient:
        clients.append(HttpClient("keywordsai", connect(api_key, **(settings or {})), **{**client_options, **options}))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


def get(client: HttpClient, **options: Any) -> ApiResponse:
    return client.request("GET", "/api/users/", stream="users", **options)


def test_an_answer_comes_with_the_key_and_the_parameters(client_to: ClientMaker, sandbox: Any) -> None:
    answer = get(client_to(), params={"page": 1, "date": "2026-11-20 00:00:00"})
    assert answer.status == 200
    assert answer.json()["results"]
    (record,) = sandbox.requests
    assert record.headers["authorization"] == "Bearer sk-acme"
    assert record.query == {"page": "1", "date": "2026-11-20 00:00:00"}
    assert not {"origin", "referer", "cookie", "sec-fetch-mode"} & set(record.headers)


STATUSES = [
    ("bad_key=401", AuthenticationError, 401, 1),
    ("bad_key=403", AuthenticationError, 403, 1),
    ("error=400", RequestRejectedError, 400, 1),
    ("error=413", RequestRejectedError, 413, 1),
    ("error=422", RequestRejectedError, 422, 1),
    ("error=404", ConfigurationError, 404, 1),
    ("redirect=other", ConfigurationError, 307, 1),
    ("body=html", InvalidBodyError, 200, 1),
    ("error=500", VendorUnavailableError, 500, MAX_ATTEMPTS),
    ("error=502-html", VendorUnavailableError, 502, MAX_ATTEMPTS),
    ("error=503;retry_after_in=neither", VendorUnavailableError, 503, MAX_ATTEMPTS),
    ("error=429;retry_after_in=neither", RateLimitedError, 429, MAX_ATTEMPTS),
    ("error=429", RateLimitedError, 429, MAX_ATTEMPTS),
    ("body=cut", IncompleteSnapshotError, None, MAX_ATTEMPTS),
]


@pytest.mark.parametrize(("switches", "kind", "status", "requests"), STATUSES)
def test_each_refusal_has_its_error_and_is_retried_only_where_that_may_help(
    client_to: ClientMaker, sandbox: Any, switches: str, kind: type[UsageProviderError], status: int, requests: int
) -> None:
    client = client_to(f"sk-acme;{switches}")
    with pytest.raises(kind) as caught:
        get(client)
    error = caught.value
    assert type(error) is kind
    assert len(sandbox.requests) == client.connection.traffic.requests == requests
    assert (error.connection, error.vendor, error.stream) == ("under_test", "keywordsai", "users")
    assert (error.status, error.url) == (status, f"{sandbox.url}/api/users/")
    assert error.next_step


def test_the_status_a_caller_understands_is_no_error(client_to: ClientMaker, sandbox: Any) -> None:
    answer = get(client_to("sk-acme;error=404"), expected=(404,))
    assert (answer.status, answer.json()) == (404, {"detail": "Not found."})


@pytest.mark.parametrize("status", [408, 425, 502, 599])
def test_a_status_that_passes_is_tried_again(
    client_to: ClientMaker, canned_server: Any, canned: Any, status: int
) -> None:
    server = canned_server([canned(status, b"", {"X-Request-Id": "req-7"}), canned()])
    assert get(client_to(settings={"base_url": server.url})).body == b"{}"
    server.answers = [canned(status, b"", {"X-Request-Id": "req-7"})]
    with pytest.raises(VendorUnavailableError) as caught:
        get(client_to(settings={"base_url": server.url}))
    assert caught.value.request_id == "req-7"


HTML = b"<html><h1>Back soon</h1></html>"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        *[(404, b"404 page not found\n"), (404, HTML), (404, b""), (410, HTML), (400, HTML), (400, b""), (403, HTML)],
        *[(401, b"\xef\xbb\xbf \n<!doctype html>"), (413, HTML), (405, b"no"), (407, b""), (422, b"null")],
        *[(409, b'{"detail": "busy"}'), (421, b"{}"), (423, b"{}"), (418, b"[]"), (502, HTML), (503, HTML), (520, b"")],
        *[(400, b'{"detail": "cut'), (400, b'{"detail": "' + b"x" * 70_000 + b'"}')],
    ],
)
def test_what_stands_in_the_apis_place_passes(
    client_to: ClientMaker, canned_server: Any, canned: Any, status: int, body: bytes
) -> None:
    server = canned_server([canned(status, body), canned()])
    assert get(client_to(settings={"base_url": server.url})).status == 200
    server.answers = [canned(status, body)]
    with pytest.raises(VendorUnavailableError) as caught:
        get(client_to(settings={"base_url": server.url}))
    assert (caught.value.status, caught.value.stream, bool(caught.value.next_step)) == (status, "users", True)


@pytest.mark.parametrize("status", [400, 402, 405, 413, 415, 422, 451])
def test_what_the_api_itself_refuses_is_fatal(
    client_to: ClientMaker, canned_server: Any, canned: Any, status: int
) -> None:
    server = canned_server([canned(status, b'{"detail": "no"}')])
    with pytest.raises(RequestRejectedError):
        get(client_to(settings={"base_url": server.url}))
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("https://api.example.com/api/users/?page=1", ConfigurationError),
        ("https://api.example.com/api/users", ConfigurationError),
        ("/api/users/", ConfigurationError),
        ("https://login.example.com/", VendorUnavailableError),
        ("https://status.example.com", VendorUnavailableError),
        ("/maintenance", VendorUnavailableError),
        ("http://[broken", VendorUnavailableError),
        ("", VendorUnavailableError),
    ],
)
def test_an_api_that_has_moved_is_told_from_a_page_that_stands_in_for_it(
    client_to: ClientMaker, canned_server: Any, canned: Any, status: int, target: str, kind: type[UsageProviderError]
) -> None:
    server = canned_server([canned(status, b"", {"Location": target})])
    with pytest.raises(kind, match=r"redirects to .*, which is not followed"):
        get(client_to(settings={"base_url": server.url}))


@pytest.mark.parametrize("status", [200, 201, 202, 203, 299])
def test_every_answer_of_success_is_one(client_to: ClientMaker, canned_server: Any, canned: Any, status: int) -> None:
    client = client_to(settings={"base_url": canned_server([canned(status, b'{"a": 1}')]).url})
    assert client.request("POST", "/", stream="users", body={}).read_json() == {"a": 1}
    with client.stream("POST", "/", stream="users", body={}) as exchange:
        assert exchange.read(100) == b'{"a": 1}'


def test_an_error_whose_body_does_not_come_is_that_of_its_status(
    client_to: ClientMaker, canned_server: Any, canned: Any
) -> None:
    cut = canned(401, b"{", {"Content-Length": "100", "Connection": "close"}, has_length=False)
    with pytest.raises(AuthenticationError):
        get(client_to(settings={"base_url": canned_server([cut]).url}))


def test_a_fault_that_heals_is_not_noticed(client_to: ClientMaker, sandbox: Any, fake_time: Any) -> None:
    assert get(client_to("sk-acme;error=500;error_times=3")).status == 200
    assert len(sandbox.requests) == 4
    assert len(fake_time.slept) == 3


def test_pauses_grow_within_a_cap(client_to: ClientMaker, fake_time: Any) -> None:
    with pytest.raises(VendorUnavailableError):
        get(client_to("sk-acme;error=500", max_attempts=20))
    assert len(fake_time.slept) == 19
    assert all(min(60, 2**n) / 2 <= pause <= min(60, 2**n) for n, pause in enumerate(fake_time.slept))


@pytest.mark.parametrize(
    "switches", ["retry_after_in=neither", "retry_after=0", "retry_after=0.01;retry_after_in=body"]
)
def test_after_too_many_requests_a_pause_is_a_second_at_least(
    client_to: ClientMaker, fake_time: Any, switches: str
) -> None:
    with pytest.raises(RateLimitedError):
        get(client_to(f"sk-acme;error=429;{switches}"))
    assert len(waits(fake_time.slept)) == MAX_ATTEMPTS - 1
    assert min(waits(fake_time.slept)) >= 1


def test_one_attempt_is_one_request(client_to: ClientMaker, sandbox: Any, fake_time: Any) -> None:
    with pytest.raises(VendorUnavailableError):
        get(client_to("sk-acme;error=500", max_attempts=1))
    assert len(sandbox.requests) == 1
    assert fake_time.slept == []


def waits(slept: list[float]) -> list[float]:
    return [seconds for seconds in slept if seconds]


@pytest.mark.parametrize("place", ["header", "body", "both"])
@pytest.mark.parametrize("fault", ["429", "503"])
def test_the_wait_a_vendor_asks_for_is_kept_to_the_second(
    client_to: ClientMaker, sandbox: Any, fake_time: Any, place: str, fault: str
) -> None:
    client = client_to(f"sk-acme;error={fault};retry_after=7;retry_after_in={place};error_times=2")
    assert get(client).status == 200
    assert waits(fake_time.slept) == [7.0, 7.0]


def test_the_wait_may_be_a_date(client_to: ClientMaker, fake_time: Any) -> None:
    assert get(client_to("sk-acme;error=429;retry_after=30;retry_after_in=date;error_times=1")).status == 200
    (pause,) = waits(fake_time.slept)
    assert 25 < pause <= 31.5


def test_a_wait_beyond_the_cap_fails_at_once_and_says_how_long(
    client_to: ClientMaker, sandbox: Any, fake_time: Any
) -> None:
    with pytest.raises(RateLimitedError, match="asks to wait 3600 s") as caught:
        get(client_to("sk-acme;error=429;retry_after=3600"))
    assert caught.value.retry_after == 3600
    assert len(sandbox.requests) == 1
    assert fake_time.slept == []


def test_a_wait_asked_of_one_request_holds_back_the_others(
    client_to: ClientMaker, fake_time: Any, client_options: dict[str, Any]
) -> None:
    client_options["limiter"].pause(9)
    assert get(client_to()).status == 200
    assert fake_time.slept == [9.0]


def test_the_wait_is_kept_by_the_request_and_by_all_others_of_its_limiter(client_to: ClientMaker) -> None:
    own: list[float] = []
    others: list[float] = []
    limiter = RateLimiter(0, clock=lambda: 0.0, sleep=others.append)
    client = client_to("sk-acme;error=429;retry_after=7;error_times=1", sleep=own.append, limiter=limiter)
    assert get(client).status == 200
    assert (own, others) == ([7.0], [7.0])


def test_the_limiter_keeps_requests_under_the_connections_rate(client_to: ClientMaker, fake_time: Any) -> None:
    limiter = RateLimiter(2, clock=fake_time.clock, sleep=fake_time.sleep)
    client = client_to("sk-acme;rate_limit=5", limiter=limiter)
    for _ in range(5):
        get(client)
    assert fake_time.slept == [60.5, 60.5]


def test_clients_of_one_connection_share_its_limiter(connect: Any) -> None:
    settings = {"conn_id": "shared_by_two", "requests_per_minute": 1}
    first, second = (HttpClient("keywordsai", connect(**settings)) for _ in range(2))
    assert first._limiter is second._limiter
    for client in (first, second):
        client.close()


def answer(header: str | None = None, body: bytes = b"") -> ApiResponse:
    return ApiResponse(429, {"Retry-After": header} if header is not None else {}, body, UsageProviderError)


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (answer("30"), 30),
        (answer("1.5"), 1.5),
        (answer("-3"), 0),
        (answer("soon", b'{"retry_after":4}'), 4),
        (answer("30", b'{"retry_after":4}'), 30),
        (answer(None, b'{"retry_after":"12"}'), 12),
        (answer(None, b'{"retry_after":null}'), None),
        (answer("nan"), None),
        (answer("inf"), None),
        (answer("1e400"), None),
        (answer(""), None),
        (answer(None, b'[{"retry_after":4}]'), None),
        (answer(None, b"<html>"), None),
        (answer("Wed, 21 Oct 2015 07:28:00 GMT"), 0),
        (answer(None, b"[" * 100_000), None),
    ],
)
def test_the_wait_is_read_from_header_or_body(given: ApiResponse, seconds: float | None) -> None:
    assert read_retry_after(given) == seconds


def test_the_wait_is_read_from_a_date_in_any_zone() -> None:
    moment = datetime.now(UTC) + timedelta(seconds=100)
    for header in (format_datetime(moment), format_datetime(moment.replace(tzinfo=None))):
        assert 95 < (read_retry_after(answer(header)) or 0) <= 100


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"x-request-id": "req_1-a"}, "req_1-a"),
        ({"cf-ray": "8f2-FRA"}, "8f2-FRA"),
        ({"x-request-id": "a b"}, None),
        ({"x-request-id": "x" * 101}, None),
        ({"x-request-id": "<script>", "cf-ray": "1"}, "1"),
        ({}, None),
    ],
)
def test_a_request_id_is_shown_only_if_it_looks_like_one(headers: dict[str, str], expected: str | None) -> None:
    assert request_id(headers) == expected


def test_a_redirect_takes_the_key_nowhere(client_to: ClientMaker, sandbox: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"redirects to http://127\.0\.0\.1, which is not followed"):
        get(client_to("sk-acme;redirect=other"))
    assert [record.port_role for record in sandbox.requests] == ["api"]


def test_a_host_without_a_listener_is_tried_and_then_unavailable(
    client_to: ClientMaker, dead_url: str, fake_time: Any
) -> None:
    client = client_to(settings={"base_url": dead_url})
    with pytest.raises(VendorUnavailableError, match="The request failed"):
        get(client)
    assert client.connection.traffic.requests == MAX_ATTEMPTS
    assert len(fake_time.slept) == MAX_ATTEMPTS - 1


def test_a_base_url_may_have_a_path(client_to: ClientMaker, sandbox: Any) -> None:
    client = client_to(settings={"base_url": f"{sandbox.url}/api/public"})
    with pytest.raises(RequestRejectedError, match=f"url {sandbox.url}/api/public/export/users"):
        client.request("POST", "/export/users", stream="users", body={})
    assert sandbox.requests[0].path == "/api/public/export/users"


@pytest.mark.parametrize("switches", [entry[0] for entry in STATUSES])
def test_nothing_an_error_shows_or_the_log_tells_holds_a_secret(
    client_to: ClientMaker, switches: str, canary: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with pytest.raises(UsageProviderError) as caught:
        get(client_to(f"sk-{canary};{switches}"), params={"secret": canary})
    shown = [str(caught.value), repr(caught.value), str(pickle.dumps(caught.value)), caplog.text]
    assert canary not in "".join([*shown, *traceback.format_exception(caught.value)])


def test_each_new_try_is_counted_and_told_with_its_reason_and_its_pause(
    client_to: ClientMaker, caplog: pytest.LogCaptureFixture, sandbox: Any
) -> None:
    client = client_to("sk-acme;error=429;error_times=2;retry_after=3")
    get(client)
    assert (client.connection.traffic.requests, client.connection.traffic.retries) == (3, 2)
    first, second = (record.getMessage() for record in caplog.records if record.levelno == logging.WARNING)
    assert first.startswith("Try 1 of 5 failed, the next is in 3.0 s: Too many requests; the vendor asks to wait 3 s")
    assert second.startswith("Try 2 of 5 failed")
    assert f"status 429, url {sandbox.url}/api/users/" in second


def test_a_request_that_is_tried_once_makes_the_next_wait(connect: Any, fake_time: Any) -> None:
    limiter = RateLimiter(0, clock=fake_time.clock, sleep=fake_time.sleep)
    connection = connect("sk-acme;error=429;error_times=1;retry_after=3")
    client = HttpClient("keywordsai", connection, sleep=fake_time.sleep, limiter=limiter)
    try:
        with pytest.raises(RateLimitedError):
            get(client, attempts=1)
        get(client)
    finally:
        client.close()
    assert (connection.traffic.requests, connection.traffic.retries) == (2, 0)
    assert fake_time.slept == [3]


def test_the_last_try_is_no_new_one(client_to: ClientMaker, caplog: pytest.LogCaptureFixture) -> None:
    client = client_to("sk-acme;error=500")
    with pytest.raises(VendorUnavailableError):
        get(client)
    assert client.connection.traffic.retries == MAX_ATTEMPTS - 1
    assert sum(record.levelno == logging.WARNING for record in caplog.records) == MAX_ATTEMPTS - 1


def test_a_long_wait_for_a_turn_is_told(connect: Any, fake_time: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    limiter = RateLimiter(2, clock=fake_time.clock, sleep=fake_time.sleep)
    client = HttpClient("keywordsai", connect(requests_per_minute=2), sleep=fake_time.sleep, limiter=limiter)
    try:
        for _ in range(3):
            get(client)
    finally:
        client.close()
    (line,) = (record.getMessage() for record in caplog.records if "Waited" in record.getMessage())
    assert line == "Waited 60 s for a turn to ask (connection under_test, requests_per_minute 2)"


def test_every_answer_is_told_to_who_asks_for_details_with_the_vendors_id_of_the_request(
    client_to: ClientMaker, canned_server: Any, canned: Any, canary: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="airflow_usage_provider")
    server = canned_server([canned(headers={"X-Request-Id": "req-4711"})])
    get(client_to(f"sk-{canary}", settings={"base_url": server.url}), params={"secret": canary})
    assert f"GET {server.url}/api/users/ answered 200 after" in caplog.text
    assert "request id req-4711" in caplog.text
    assert canary not in caplog.text


def test_a_proxy_of_the_environment_is_asked_with_the_key_for_the_vendor(
    connect: Any, client_options: dict[str, Any], canned_server: Any, canned: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = canned_server([canned(body=b"{}")])
    monkeypatch.setenv("http_proxy", proxy.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    connection = connect("sk-acme", base_url="http://api.example.com", allow_http=True)
    client = HttpClient("keywordsai", connection, **client_options)
    try:
        assert client.request("GET", "/api/users/", stream="users").body == b"{}"
    finally:
        client.close()
    ((path, headers),) = proxy.requests
    assert path == "http://api.example.com/api/users/"
    assert headers["authorization"] == "Bearer sk-acme"


def test_a_key_may_go_into_a_header_of_another_name_beside_headers_of_the_clients_own(
    connect: Any, client_options: dict[str, Any], canned_server: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login canary password canary\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    server = canned_server()
    client = HttpClient(
        "anthropic",
        connect("sk-ant", base_url=server.url),
        auth=HeaderAuth("x-api-key"),
        headers={"anthropic-version": "2023-06-01"},
        **client_options,
    )
    try:
        get(client)
        client.stream("GET", "/api/users/", stream="users", params={"group_by": ["model", "user"]}).close()
    finally:
        client.close()
    for _, headers in server.requests:
        assert (headers["x-api-key"], headers["anthropic-version"]) == ("sk-ant", "2023-06-01")
        assert "authorization" not in headers
    assert server.requests[1][0] == "/api/users/?group_by=model&group_by=user"


def test_an_auth_holds_no_key() -> None:
    assert BearerAuth().headers("sk-acme") == {"Authorization": "Bearer sk-acme"}
    assert repr(HeaderAuth("x-api-key")) == "HeaderAuth(name='x-api-key', prefix='')"
    assert BearerAuth() == BearerAuth()


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"{", "Expecting property name enclosed in double quotes, at character 1"),
        (b"\xff", "not UTF-8, at byte 0"),
        (b"[" * 500 + b"]" * 500, "nested too deeply"),
        (b"[NaN]", "a number that is none"),
        (b"", "at character 0"),
    ],
)
def test_an_answer_that_is_no_json_is_refused_with_every_name(
    client_to: ClientMaker, canned_server: Any, canned: Any, body: bytes, why: str
) -> None:
    server = canned_server([canned(body=body)])
    given = get(client_to(settings={"base_url": server.url}))
    assert given.json() is None
    for read in (given.read_json, lambda: given.split_page("results")):
        with pytest.raises(InvalidBodyError) as caught:
            read()
        error = caught.value
        assert (error.connection, error.vendor, error.stream) == ("under_test", "keywordsai", "users")
        assert error.url == f"{server.url}/api/users/"
        assert error.next_step
    with pytest.raises(InvalidBodyError, match=why):
        given.read_json()


def test_an_answer_is_read_as_json_or_taken_apart(client_to: ClientMaker, canned_server: Any, canned: Any) -> None:
    server = canned_server([canned(body=b'{"results": [{"cost": 5.2e-05}], "next": null}')])
    given = get(client_to(settings={"base_url": server.url}))
    assert given.read_json() == {"results": [{"cost": "5.2e-05"}], "next": None}
    page = given.split_page("results")
    assert (page.records, page.envelope) == ([b'{"cost":5.2e-05}'], {"next": None})
    with pytest.raises(InvalidBodyError, match=r"no 'data' \(connection under_test, vendor keywordsai, stream users"):
        given.split_page("data")


def test_names_are_given_only_to_errors_that_have_none(client_to: ClientMaker, canned_server: Any) -> None:
    exchange = client_to(settings={"base_url": canned_server().url}).stream("GET", "/x", stream="users")
    own = InvalidBodyError("Odd", vendor="other")
    with exchange, pytest.raises(InvalidBodyError) as caught, exchange.naming():
        raise own
    assert caught.value is own
    with pytest.raises(IncompleteSnapshotError) as named, exchange.naming("Look."):
        raise IncompleteSnapshotError("Cut")
    assert (named.value.vendor, named.value.stream, named.value.next_step) == ("keywordsai", "users", "Look.")


@pytest.mark.parametrize(
    ("status", "headers", "wait"),
    [
        (429, {"x-ratelimit-reset-requests": "6m0s"}, 360),
        (429, {"Retry-After": "7", "x-ratelimit-reset-requests": "6m0s"}, 7),
        (529, {"Retry-After": "7", "x-ratelimit-reset-requests": "6m0s"}, 7),
    ],
)
def test_the_headers_of_a_rate_limit_are_heeded_where_the_vendor_says_nothing_else(
    client_to: ClientMaker,
    canned_server: Any,
    canned: Any,
    fake_time: Any,
    status: int,
    headers: dict[str, str],
    wait: float,
) -> None:
    server = canned_server([canned(status, b"{}", headers), canned()])
    get(client_to(settings={"base_url": server.url}))
    assert waits(fake_time.slept) == [wait]


def test_a_vendor_that_is_down_is_not_waited_for_as_its_limits_say(
    client_to: ClientMaker, canned_server: Any, canned: Any, fake_time: Any
) -> None:
    server = canned_server([canned(503, b"{}", {"x-ratelimit-reset-requests": "23h"}), canned()])
    get(client_to(settings={"base_url": server.url}))
    assert waits(fake_time.slept) < [1.1]
