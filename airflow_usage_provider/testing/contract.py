"""What every stream of every vendor keeps, as tests to inherit: the loop that archives them knows none of them.

A subclass says how its vendor answers and how its stream is opened; everything that goes wrong is put around the
answers by :class:`~airflow_usage_provider.testing.server.FaultServer`.
"""

from __future__ import annotations

import csv
import io
import json
import pickle
import secrets
import traceback
from abc import abstractmethod
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from airflow_usage_provider.exceptions import (
    AuthenticationError,
    IncompleteSnapshotError,
    InvalidBodyError,
    RateLimitedError,
    UsageProviderError,
    VendorUnavailableError,
)
from airflow_usage_provider.http.clock import Clock
from airflow_usage_provider.models import FileFormat, StreamFacts, UsageWindow, VendorStream
from airflow_usage_provider.schema import StreamSchema, parse_value, value_at
from airflow_usage_provider.testing.connection import FakeTime, connect
from airflow_usage_provider.testing.server import FaultServer, Request

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_usage_provider.http.connection import VendorConnection

_DAY = datetime.now(UTC).date() - timedelta(days=3)


class StreamContract:
    """
    The rules, a test each. Inherit from it in a class whose name begins with ``Test``.

    ``records`` is what the vendor has of the day, as its API gives it, best with enough of them for several pages;
    ``window`` is the day that is asked for; ``has_days`` is False for a listing that is the same for all of them.
    """

    records: ClassVar[list[dict[str, Any]]]
    window: ClassVar[UsageWindow] = UsageWindow(_DAY)
    has_days: ClassVar[bool] = True

    @abstractmethod
    def answer(self, request: Request, records: list[dict[str, Any]]) -> Any:
        """Answer as the vendor does, from the records it has."""

    @abstractmethod
    def open_stream(self, connection: VendorConnection, window: UsageWindow) -> VendorStream:
        """Return the stream under test; nothing is asked of the vendor yet."""

    def expect(self, record: dict[str, Any]) -> dict[str, Any]:
        """Return how a record stands in the archive, where that is not as the API gives it."""
        return record

    @contextmanager
    def serving(self, fault: str = "", *, times: int = 0, records: list[Any] | None = None) -> Iterator[FaultServer]:
        """Serve the vendor, with a fault put around it."""
        with FaultServer(self.answer, self.records if records is None else records, fault=fault, times=times) as server:
            yield server

    def open(self, server: FaultServer, **settings: Any) -> VendorStream:
        """Open the stream at a server."""
        return self.open_stream(connect(server.url, **settings), self.window)

    def test_the_bytes_hold_every_record_in_the_vendors_order(self) -> None:
        with self.serving() as server:
            stream = self.open(server)
            body, facts = read(stream)
        rows = parse(body, stream.file_format)
        assert rows == [self.expect(record) for record in self.records]
        assert facts.rows == len(rows)
        assert list(facts.columns) == list(dict.fromkeys(name for row in rows for name in row))
        assert facts.vendor_rows in (None, facts.rows)
        assert (facts.duplicates, facts.conflicts) == (0, 0)
        assert body.endswith(b"\n")

    def test_reading_again_gives_the_same_bytes(self) -> None:
        with self.serving() as server:
            stream = self.open(server)
            assert read(stream)[0] == read(stream)[0] == read(self.open(server))[0]

    def test_a_day_without_records_is_an_answer_and_no_error(self) -> None:
        with self.serving(records=[]) as server:
            stream = self.open(server)
            body, facts = read(stream)
        assert (facts.rows, facts.vendor_rows in (None, 0)) == (0, True)
        assert parse(body, stream.file_format) == []

    def test_the_schema_fits_the_records(self) -> None:
        with self.serving() as server:
            stream = self.open(server)
            rows = parse(read(stream)[0], stream.file_format)
        schema = schema_of(stream)
        for row in rows:
            for name, kind in schema.columns.items():
                parse_value(kind, value_at(row, name))
        if schema.identity:
            keys = [tuple(str(value_at(row, name)) for name in schema.identity) for row in rows]
            assert len(set(keys)) == len(rows), "two records of one identity"

    def test_every_day_is_asked_for_by_itself_and_is_the_same_question(self) -> None:
        other = UsageWindow(self.window.usage_date - timedelta(days=1), self.window.timezone)
        connection = connect("http://127.0.0.1:9")
        streams = [self.open_stream(connection, window) for window in (self.window, other)]
        assert (streams[0].request != streams[1].request) == self.has_days
        assert len({json.dumps(getattr(stream, "question", None), sort_keys=True) for stream in streams}) == 1

    def test_name_request_and_facts_fit_a_manifest_and_hold_no_secret(self) -> None:
        canary = f"canary{secrets.token_hex(8)}"
        with self.serving() as server:
            stream = self.open(server, api_key=canary)
            _, facts = read(stream)
        assert stream.name.isascii()
        assert stream.name.replace("_", "").isalnum()
        assert stream.name == stream.name.lower()
        assert stream.request["method"] == server.requests[0].method
        assert stream.request["path"] == server.requests[0].path
        told = [stream.request, getattr(stream, "question", None), facts.envelope, facts.window_returned, facts.end]
        assert canary not in json.dumps(told)

    def test_the_key_stands_in_headers_alone(self) -> None:
        canary = f"canary{secrets.token_hex(8)}"
        with self.serving() as server:
            read(self.open(server, api_key=canary))
        assert canary in str(server.requests[0].headers)
        assert all(canary not in f"{each.path}{each.query}{each.body!r}" for each in server.requests)

    def test_nothing_is_asked_before_the_stream_is_read(self) -> None:
        with self.serving() as server:
            stream = self.open(server)
            stream.read()
            assert (bool(stream.name), bool(stream.request), server.requests) == (True, True, [])

    def test_a_reader_that_stops_early_leaves_no_error(self) -> None:
        with self.serving() as server:
            chunks = self.open(server).read()
            assert next(chunks)
            chunks.close()

    @pytest.mark.parametrize("fault", ["cut", "close"])
    def test_an_answer_that_is_cut_is_refused(self, fault: str) -> None:
        with self.serving(fault) as server, pytest.raises((IncompleteSnapshotError, InvalidBodyError)) as caught:
            read(self.open(server))
        assert_named(caught.value)

    def test_a_record_that_goes_while_pages_are_read_is_noticed(self) -> None:
        with self.serving() as server:
            read(self.open(server))
            is_one_answer = len({(each.path, str(each.query), each.body) for each in server.requests}) == 1
        if is_one_answer:
            pytest.skip("one answer: nothing can move within it")
        with self.serving("drift") as server, pytest.raises(IncompleteSnapshotError) as caught:
            read(self.open(server))
        assert_named(caught.value)

    @pytest.mark.parametrize("fault", ["401", "403"])
    def test_a_refused_key_is_an_authentication_error_at_the_first_request(self, fault: str) -> None:
        with self.serving(fault) as server, pytest.raises(AuthenticationError) as caught:
            read(self.open(server))
        assert len(server.requests) == 1
        assert_named(caught.value)

    @pytest.mark.parametrize("fault", ["500", "502-html", "503"])
    def test_a_vendor_that_stays_down_is_unavailable(self, fault: str) -> None:
        with self.serving(fault) as server, pytest.raises(VendorUnavailableError) as caught:
            read(self.open(server))
        assert_named(caught.value)

    @pytest.mark.parametrize("fault", ["500", "429"])
    def test_a_fault_that_heals_is_not_noticed(self, fault: str) -> None:
        with self.serving(fault, times=1) as server:
            assert read(self.open(server))[1].rows == len(self.records)

    def test_too_many_requests_are_waited_for_and_then_told(self) -> None:
        time = FakeTime()
        with self.serving("429") as server, pytest.raises(RateLimitedError) as caught:
            read(self.open(server, clock=Clock(time.clock, time.sleep)))
        assert sum(time.slept) >= 1
        assert_named(caught.value)

    @pytest.mark.parametrize("fault", ["html", "redirect"])
    def test_a_host_that_is_not_the_api_is_named(self, fault: str) -> None:
        with self.serving(fault) as server, pytest.raises(UsageProviderError) as caught:
            read(self.open(server))
        assert {request.path for request in server.requests} == {server.requests[0].path}
        assert_named(caught.value)

    def test_a_compressed_answer_is_no_difference(self) -> None:
        with self.serving("gzip") as packed, self.serving() as plain:
            assert read(self.open(packed))[0] == read(self.open(plain))[0]

    @pytest.mark.parametrize("fault", ["400", "401", "404", "429", "500", "html", "cut", "redirect"])
    def test_no_error_holds_the_key_or_a_query(self, fault: str) -> None:
        canary = f"canary{secrets.token_hex(8)}"
        with self.serving(fault) as server, pytest.raises(UsageProviderError) as caught:
            read(self.open(server, api_key=canary))
        error = caught.value
        shown = [str(error), repr(error), str(pickle.dumps(error)), *traceback.format_exception(error)]
        assert canary not in "".join(shown)
        assert "?" not in str(error)


def read(stream: VendorStream) -> tuple[bytes, StreamFacts]:
    """Read a stream to its end; return its bytes and its facts."""
    chunks, body = stream.read(), b""
    while True:
        try:
            body += bytes(next(chunks))
        except StopIteration as end:
            facts = end.value
            break
    assert isinstance(facts, StreamFacts), "a stream returns its facts"
    return body, facts


def parse(body: bytes, file_format: FileFormat) -> list[dict[str, Any]]:
    """Return the records of a part."""
    if file_format is FileFormat.CSV:
        return list(csv.DictReader(io.StringIO(body.decode(), newline="")))
    return [json.loads(line) for line in body.splitlines()]


def schema_of(stream: VendorStream) -> StreamSchema:
    """Return what a stream says of its columns."""
    schema = getattr(stream, "schema", None)
    return schema if isinstance(schema, StreamSchema) else StreamSchema()


def assert_named(error: UsageProviderError) -> None:
    """Check that an error says whose it is and what to do."""
    told: Mapping[str, Any] = error.details
    missing = [name for name in ("vendor", "connection", "stream", "next_step") if not told.get(name)]
    assert not missing, f"{error!r} does not name {', '.join(missing)}"
