"""What every stream of every vendor keeps, so that the loop that archives them needs to know none of them.

A vendor of one's own passes this suite by adding its streams to ``CASES``.
"""

from __future__ import annotations

import csv
import io
import json
import pickle
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from airflow_usage_provider.exceptions import (
    AuthenticationError,
    ConfigurationError,
    IncompleteSnapshotError,
    InvalidBodyError,
    RateLimitedError,
    UsageProviderError,
    VendorUnavailableError,
)
from airflow_usage_provider.http.connection import VendorConnection
from airflow_usage_provider.models import FileFormat, StreamFacts, UsageWindow, VendorStream
from airflow_usage_provider.vendors.keywordsai.api import KeywordsAI, UsersQuery
from airflow_usage_provider.vendors.keywordsai.streams import KeywordsAIUsers
from airflow_usage_provider.vendors.langdock.api import ExportQuery, Langdock
from airflow_usage_provider.vendors.langdock.streams import LangdockExport
from sandbox.server import Sandbox

DAY = (datetime.now(UTC) - timedelta(days=3)).date()
WINDOW = UsageWindow(DAY, "Europe/Berlin")
Row = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One stream, and the sandbox switches that make its vendor misbehave.

    :param plenty: switches for an answer of several pages or many rows.
    :param empty: switches for a day without records.
    :param cuts: switches that cut a body short in each way there is.
    :param expect: reads from the sandbox, by hand, what the stream has to hold.
    """

    name: str
    open: Callable[..., tuple[Any, VendorStream]]
    expect: Callable[[Sandbox, str, VendorStream], list[Row]]
    plenty: str
    empty: tuple[str, ...]
    cuts: tuple[str, ...]
    open_cuts: tuple[str, ...] = ("body=cut_close",)
    packed: str = ""


def users_case(name: str, **query: Any) -> Case:
    def open_stream(connection: VendorConnection, options: dict[str, Any]) -> tuple[Any, VendorStream]:
        vendor = KeywordsAI(connection, **options)
        return vendor, KeywordsAIUsers(vendor, UsersQuery(window=WINDOW, page_size=10, **query))

    def expect(sandbox: Sandbox, key: str, stream: VendorStream) -> list[Row]:
        request = stream.request
        parameters = {**request["parameters"], "page_size": 1000}
        headers = {"Authorization": f"Bearer {key}"}
        url = sandbox.url + request["path"]
        answer = requests.request(request["method"], url, params=parameters, headers=headers, timeout=10)
        rows: list[Row] = answer.json()["results"]
        return rows

    return Case(
        f"keywordsai-{name}",
        open_stream,
        expect,
        plenty="users=25",
        empty=("empty=1",),
        cuts=("body=cut", "users=25;body=cut;error_page=2"),
        packed="gzip=1",
    )


def export_case(stream: str, group_by: str | None = None, output_format: str = "csv") -> Case:
    def open_stream(connection: VendorConnection, options: dict[str, Any]) -> tuple[Any, VendorStream]:
        vendor = Langdock(connection, **options)
        query = ExportQuery(window=WINDOW, stream=stream, group_by=group_by, output_format=output_format)
        return vendor, LangdockExport(vendor, query)

    def expect(sandbox: Sandbox, key: str, stream: VendorStream) -> list[Row]:
        url = sandbox.url + stream.request["path"]
        headers = {"Authorization": f"Bearer {key}"}
        data = requests.post(url, json=stream.request["parameters"], headers=headers, timeout=10).json()["data"]
        if output_format == "json":
            rows: list[Row] = data
            return rows
        content = requests.get(data["downloadUrl"], timeout=10).content.decode()
        return list(csv.DictReader(io.StringIO(content, newline="")))

    name = "-".join(filter(None, ["langdock", stream, group_by, output_format]))
    if output_format == "json":
        return Case(name, open_stream, expect, "rows=30", ("empty=404", "empty=200"), ("body=cut",))
    return Case(
        name,
        open_stream,
        expect,
        plenty="rows=30;multiline=1",
        empty=("empty=404", "empty=200", "empty=header"),
        cuts=("body=cut", "download=cut", "download=cut_chunked", "download=cut_close"),
        packed="download=gzip",
    )


EXPORTS: list[tuple[str, str | None]] = [
    ("api_keys", None),
    ("api_keys", "model"),
    ("users", None),
    ("users", "model"),
    ("agents", None),
    ("agents", "model"),
    ("projects", None),
    ("models", None),
    ("models", "source"),
    ("workflows", None),
]
CASES = [
    users_case("users"),
    users_case("users_weekly", summary_type="weekly"),
    users_case("users_test", environment="test"),
    users_case("users_list", stream="users_list"),
    *(export_case(stream, group_by, form) for stream, group_by in EXPORTS for form in ("csv", "json")),
]
Open = Callable[..., VendorStream]


@pytest.fixture(params=CASES, ids=[case.name for case in CASES])
def case(request: pytest.FixtureRequest) -> Case:
    value: Case = request.param
    return value


@pytest.fixture
def open_stream(case: Case, connect: Any, client_options: dict[str, Any]) -> Iterator[Open]:
    """Open the case's stream with a key: ``open_stream("sk-acme;rows=30")``."""
    vendors: list[Any] = []

    def open_with(key: str, **settings: Any) -> VendorStream:
        vendor, stream = case.open(connect(key, **settings), client_options)
        vendors.append(vendor)
        return stream

    yield open_with
    for vendor in vendors:
        vendor.close()


def read(stream: VendorStream) -> tuple[bytes, StreamFacts]:
    chunks, body = stream.read(), b""
    while True:
        try:
            body += bytes(next(chunks))
        except StopIteration as end:
            facts: StreamFacts = end.value
            return body, facts


def parse(body: bytes, file_format: FileFormat) -> list[Row]:
    if file_format is FileFormat.CSV:
        return list(csv.DictReader(io.StringIO(body.decode(), newline="")))
    return [json.loads(line) for line in body.splitlines()]


def test_the_bytes_hold_every_record_of_the_vendor_in_its_order(case: Case, open_stream: Open, sandbox: Any) -> None:
    key = f"sk-acme;{case.plenty}"
    stream = open_stream(key)
    body, _ = read(stream)
    rows = parse(body, stream.file_format)
    assert rows == case.expect(sandbox, key, stream)
    assert len(rows) >= 25


def test_the_facts_are_those_of_the_bytes(case: Case, open_stream: Open) -> None:
    stream = open_stream(f"sk-acme;{case.plenty}")
    body, facts = read(stream)
    rows = parse(body, stream.file_format)
    assert facts.rows == len(rows)
    assert facts.columns == tuple(rows[0])
    assert facts.vendor_rows in (None, facts.rows)
    assert facts.pages >= 1
    assert facts.duplicates == 0
    assert body.endswith(b"\n")


def test_facts_and_request_can_go_into_a_manifest_and_hold_no_secret(
    open_stream: Open, sandbox: Any, canary: str
) -> None:
    stream = open_stream(f"sk-{canary}")
    _, facts = read(stream)
    text = json.dumps([stream.request, facts.envelope, facts.window_returned, facts.columns, facts.vendor_rows])
    assert canary not in text.replace(f"{canary} GmbH", "")
    assert "Signature" not in text
    assert stream.request["method"] in {"GET", "POST"}
    assert stream.request["path"] == sandbox.requests[0].path
    assert stream.request["parameters"]


def test_the_name_is_a_plain_word(open_stream: Open) -> None:
    name = open_stream("sk-acme").name
    assert name.isascii()
    assert name.replace("_", "").isalnum()
    assert name == name.lower()


def test_a_day_without_records_is_an_answer_and_no_error(case: Case, open_stream: Open) -> None:
    for switches in case.empty:
        stream = open_stream(f"sk-acme;{switches}")
        body, facts = read(stream)
        assert facts.rows == 0
        assert facts.vendor_rows in (None, 0)
        assert parse(body, stream.file_format) == []


def test_a_body_that_is_cut_is_an_incomplete_snapshot(case: Case, open_stream: Open) -> None:
    for switches in case.cuts:
        with pytest.raises(IncompleteSnapshotError) as caught:
            read(open_stream(f"sk-acme;{switches}"))
        assert caught.value.vendor
        assert caught.value.stream


def test_a_body_that_is_cut_and_claims_no_length_is_noticed_too(case: Case, open_stream: Open) -> None:
    for switches in case.open_cuts:
        with pytest.raises((IncompleteSnapshotError, InvalidBodyError)) as caught:
            read(open_stream(f"sk-acme;{switches}"))
        assert caught.value.vendor


@pytest.mark.parametrize("key", ["nonsense", "sk-acme;bad_key=401", "sk-acme;bad_key=403"])
def test_a_wrong_key_is_an_authentication_error_at_the_first_request(open_stream: Open, sandbox: Any, key: str) -> None:
    with pytest.raises(AuthenticationError, match="password"):
        read(open_stream(key))
    assert len(sandbox.requests) == 1


def test_reading_twice_gives_the_same_bytes_and_facts(case: Case, open_stream: Open) -> None:
    stream = open_stream(f"sk-acme;{case.plenty}")
    first, second = read(stream), read(stream)
    assert first[0] == second[0]
    assert first[1].rows == second[1].rows
    assert first[1].columns == second[1].columns
    assert read(open_stream(f"sk-acme;{case.plenty}"))[0] == first[0]


@pytest.mark.parametrize("case", [case for case in CASES if case.packed], ids=lambda case: case.name)
def test_a_compressed_transfer_is_no_difference(case: Case, open_stream: Open) -> None:
    assert read(open_stream(f"sk-acme;{case.packed}")) == read(open_stream("sk-acme"))


def test_a_host_that_answers_html_is_a_configuration_error(open_stream: Open, sandbox: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"HTML.*Check the host"):
        read(open_stream("sk-acme;body=html"))
    assert len(sandbox.requests) == 1


def test_a_redirect_is_not_followed_and_takes_the_key_nowhere(open_stream: Open, sandbox: Any) -> None:
    with pytest.raises(ConfigurationError, match="redirects"):
        read(open_stream("sk-acme;redirect=other"))
    assert [record.port_role for record in sandbox.requests] == ["api"]


def test_the_key_goes_to_the_api_and_nowhere_else(case: Case, open_stream: Open, sandbox: Any, canary: str) -> None:
    read(open_stream(f"sk-{canary};{case.plenty}"))
    assert {record.port_role for record in sandbox.requests if canary in str(record.headers)} == {"api"}
    assert all(canary not in f"{record.path}{record.query}{record.body!r}" for record in sandbox.requests)
    assert all("authorization" not in record.headers for record in sandbox.requests if record.port_role == "download")


def test_a_fault_that_heals_is_not_noticed(open_stream: Open) -> None:
    assert read(open_stream("sk-acme;error=500;error_times=2"))[1].rows > 0


def test_a_vendor_that_stays_down_is_unavailable(open_stream: Open) -> None:
    with pytest.raises(VendorUnavailableError):
        read(open_stream("sk-acme;error=502-html"))


def test_the_wait_a_vendor_asks_for_is_kept(open_stream: Open, fake_time: Any) -> None:
    assert read(open_stream("sk-acme;error=429;retry_after=7;error_times=1"))[1].rows > 0
    assert 7.0 in fake_time.slept
    with pytest.raises(RateLimitedError):
        read(open_stream("sk-acme;error=429;retry_after=3600"))


def test_nothing_is_asked_before_the_stream_is_read(open_stream: Open, sandbox: Any) -> None:
    stream = open_stream("sk-acme")
    stream.read()
    assert (bool(stream.name), bool(stream.request), sandbox.requests) == (True, True, [])


def test_a_reader_that_stops_early_leaves_no_error(case: Case, open_stream: Open) -> None:
    chunks = open_stream(f"sk-acme;{case.plenty}").read()
    assert next(chunks)
    chunks.close()


@pytest.mark.parametrize(
    "switches", ["bad_key=401", "error=500", "error=400", "body=html", "body=cut", "redirect=other", "error=429"]
)
def test_no_error_holds_the_key_or_a_query(open_stream: Open, canary: str, switches: str) -> None:
    with pytest.raises(UsageProviderError) as caught:
        read(open_stream(f"sk-{canary};{switches}"))
    error = caught.value
    shown = [str(error), repr(error), str(pickle.dumps(error)), *traceback.format_exception(error)]
    assert canary not in "".join(shown)
    assert "?" not in str(error)
    assert (error.connection, bool(error.stream), bool(error.next_step)) == ("under_test", True, True)
