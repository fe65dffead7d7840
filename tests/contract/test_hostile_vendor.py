"""Whatever a vendor sends: a snapshot that verifies and holds a whole answer, or an error of this package.

The vendor is a socket that cuts, stalls, lies about lengths and encodings and mutates bodies, as hypothesis chooses.
"""

from __future__ import annotations

import csv
import gc
import gzip
import io
import itertools
import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hostile import CODINGS, ODD_CODINGS, ODD_SIZES, SIZES, Answer, HostileServer
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from airflow_usage_provider.archive.catalog import Selection
from airflow_usage_provider.archive.keys import ArchiveLocation, Series
from airflow_usage_provider.archive.manifest import Manifest
from airflow_usage_provider.archive.objects import S3Objects
from airflow_usage_provider.archive.snapshot import Archive
from airflow_usage_provider.archive.verify import verify_archive
from airflow_usage_provider.exceptions import UsageProviderError
from airflow_usage_provider.http.connection import VendorConnection
from airflow_usage_provider.http.limiter import RateLimiter
from airflow_usage_provider.models import UsageWindow, VendorStream
from airflow_usage_provider.testing.s3 import S3Server
from airflow_usage_provider.vendors.keywordsai.api import KeywordsAI, UsersQuery
from airflow_usage_provider.vendors.keywordsai.streams import KeywordsAIUsers
from airflow_usage_provider.vendors.langdock.api import ExportQuery, Langdock
from airflow_usage_provider.vendors.langdock.streams import LangdockExport

WINDOW = UsageWindow(date(2026, 11, 20))
NOW = datetime(2026, 11, 21, 2, tzinfo=UTC)
MAX_SECONDS = 30.0  # two tries of each of some requests, each with its own deadline
CSV = b'api_key_id,name,requests\nk1,"Ops, ""night""\nshift",5\nk2,plain,7\nk3,\xc3\xa9,0\n'
HOSTILE = settings(
    max_examples=40,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
Replies = dict[str, list[Answer]]

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def no_garbage_collection() -> Iterator[None]:
    """A collection in the depth of a deep JSON text would find no stack for the finalizers of other tests' objects."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(scope="module")
def hostile() -> Iterator[HostileServer]:
    server = HostileServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def s3_client(s3_server: S3Server) -> Iterator[Any]:
    client = s3_server.client()
    yield client
    client.close()


@dataclass(frozen=True)
class Attempt:
    """What came of one reading: the manifest and the raw bytes, or the error's type."""

    manifest: Manifest | None
    raw: bytes
    error: str


@pytest.fixture
def archive_from(hostile: HostileServer, s3_server: S3Server, s3_client: Any) -> Callable[..., Attempt]:
    """Read one stream of a vendor that replies like this into a snapshot of its own archive, and verify that."""

    def read(open_stream: Callable[[VendorConnection, dict[str, Any]], Any], replies: Replies) -> Attempt:
        hostile.begin(replay(replies))
        connection = VendorConnection(
            conn_id="hostile",
            api_key="key",
            base_url=hostile.url,
            account="acme",
            timeout=1.0,
            connect_timeout=1.0,
            download_timeout=3.0,
            allow_insecure_download=True,
            allow_private_download=True,
        )
        limiter = RateLimiter(0, sleep=lambda _: None)
        options = {"max_attempts": 2, "sleep": lambda _: None, "limiter": limiter}
        location = ArchiveLocation(s3_server.bucket, f"hostile-{uuid.uuid4().hex[:12]}")
        archive = Archive(client=s3_client, location=location, now=lambda: NOW)
        vendor, stream = open_stream(connection, options)
        begun = datetime.now(UTC)
        try:
            attempt = copy(archive, stream)
        except UsageProviderError as error:
            attempt = Attempt(None, b"", type(error).__name__)
        finally:
            vendor.close()
        assert (datetime.now(UTC) - begun).total_seconds() < MAX_SECONDS
        objects = S3Objects(s3_client, location)
        names = [entry.name for entry in objects.list("")]
        if attempt.manifest is None:
            assert names == []
            return attempt
        reports = verify_archive(objects, Selection(), now=NOW, jobs=1)
        assert [finding for report in reports for finding in report.findings] == []
        for name in names:
            if name.endswith(".json"):
                json.loads(b"".join(objects.chunks(name)), parse_constant=pytest.fail)
        parts = [b"".join(objects.chunks(name)) for name in names if name.endswith(".gz")]
        return replace(attempt, raw=gzip.decompress(parts[0]) if parts else b"")

    return read


def copy(archive: Archive, stream: VendorStream) -> Attempt:
    """What the operator's loop does for one day."""
    series = Series("hostile", "acme", stream.name)
    with archive.open_snapshot(series, WINDOW, stream.file_format) as snapshot:
        chunks = stream.read()
        while True:
            try:
                snapshot.write(next(chunks))
            except StopIteration as end:
                manifest = snapshot.commit(end.value, maturity="final", request=stream.request)
                return Attempt(manifest, b"", "")


def replay(replies: Replies) -> Callable[[str], Answer]:
    """Answer by the part of the target that ``replies`` knows: answer after answer, the last one for ever."""
    queues = {part: list(answers) for part, answers in replies.items()}

    def route(target: str) -> Answer:
        queue = next((queue for part, queue in queues.items() if part in target), [Answer(b"{}")])
        return queue.pop(0) if len(queue) > 1 else queue[0]

    return route


# What a body may be instead of what it should be.

DEEP = 100_000
ODD_BODIES = [
    b"",
    b"<html><body>Bad gateway</body></html>",
    b"null",
    b"[]",
    b"{}",
    b'{"error": "no data found"}',
    b'{"error": {"type": "too_large", "message": 5}}',
    b'{"message": "slow down", "retry_after": 1' + b"0" * 400 + b"}",
    b'{"retry_after": NaN}',
    b"[" * DEEP,
    b"[" * DEEP + b"]" * DEEP,
    b'{"results": [' + b'{"a":' * DEEP,
    b'{"data": [{"a": ' + b"[" * DEEP + b"]" * DEEP + b"}]}",
    b'{"results": [], "next": null, "aggregation_data": ' + b"[" * 700 + b"]" * 700 + b"}",
    b'{"results": [], "next": "/?page=1' + b"1" * 5000 + b'"}',
    b'{"results": [], "next": "http://[broken"}',
    b'{"data": [], "metadata": {"recordCount": 0, "dateRange": 7}}',
    b'{"data": [], "metadata": {"recordCount": 0, "dataType": ' + b"[" * 700 + b"]" * 700 + b"}}",
    b'{"data": {"recordCount": 0, "dataType": ' + b"[" * 900 + b"]" * 900 + b', "dateRange": {"a": NaN}}}',
    b'{"data": {"recordCount": 0, "dateRange": {"a": ' + b"[" * 700 + b"]" * 700 + b"}}}",
    b'{"data": {"recordCount": 1' + b"0" * 5000 + b"}}",
    '{"results": []}'.encode("utf-16"),
    b"a,b\n1,2\n",
]
NOISE = [b"\x00", b"\xff", b"\n", b'"', b",", b"\\", b"\xed\xa0\x80", b" " * 300, b"}]", b"\r"]


@st.composite
def mutations(draw: st.DrawFn, body: bytes) -> bytes:
    """The body as it should be, or one that somebody broke."""
    kind = draw(st.sampled_from(["valid", "valid", "cut", "noise", "byte", "odd", "random", "twice"]))
    where = draw(st.integers(0, len(body)))
    if kind == "cut":
        return body[:where]
    if kind == "noise":
        return body[:where] + draw(st.sampled_from(NOISE)) + body[where:]
    if kind == "byte":
        return body[:where] + bytes([draw(st.integers(0, 255))]) + body[where + 1 :]
    if kind == "odd":
        return draw(st.sampled_from(ODD_BODIES))
    if kind == "random":
        return draw(st.binary(max_size=200))
    return body * 2 if kind == "twice" else body


STATUS_LINES = [
    *("HTTP/1.1 200 OK",) * 4,
    *(f"HTTP/1.1 {status} X" for status in (201, 204, 206, 301, 302, 304, 307, 400, 401, 404, 410, 429, 500, 503, 999)),
    "HTTP/1.0 200",
    "HTTP/1.1 abc",
    "HTTP/9.9 200 OK",
    "nonsense",
    "",
]
HEADERS = [
    *(("Content-Encoding", value) for value in ("gzip", "gzip", "br", "identity", "gzip, gzip", "aws-chunked")),
    *(("Content-Range", value) for value in ("bytes 0-9/100", "x")),
    *(
        ("Location", value)
        for value in ("/again", "http://[broken", "ftp://127.0.0.1/", "http://127.0.0.1:99999/", "é", "")
    ),
    *(
        ("Retry-After", value)
        for value in (
            *("soon", "-5", "nan", "1e400", "0.01", "9" * 500, "Fri, 31 Dec 9999 23:59:59 -9999"),
            "Fri, 20 Nov 2026 00:00:00 +99999999999999999999",
            "Fri, 20 Nov 99999 00:00:00 GMT",
        )
    ),
    ("Content-Type", "text/html; charset=é"),
    ("X-Big", "x" * 70_000),
    ("Content-Length", "1_0"),
    ("Content-Length", "7, 8"),
    ("Set-Cookie", "a=" + "b" * 5000),
]


#: What nobody asked for: a whole answer, which must be taken for none to the next request.
OTHER = b"HTTP/1.1 200 OK\r\nContent-Length: 32\r\n\r\n" + b'{"results": [{"a": 1}], "next":0}'


@st.composite
def answers(draw: st.DrawFn, body: bytes) -> Answer:
    """An answer that should carry this body: often as it should, else with a fault or two."""
    if draw(st.integers(0, 3)) == 0:
        return whole(body)
    body = draw(mutations(body))
    headers = tuple(draw(st.lists(st.sampled_from(HEADERS), max_size=2, unique_by=lambda header: header[0])))
    if ("Content-Encoding", "gzip") in headers and draw(st.booleans()):
        packed = b"".join(map(gzip.compress, (body[:7], body[7:]))) if draw(st.booleans()) else gzip.compress(body)
        body = packed[: draw(st.sampled_from([len(packed), len(packed), len(packed) // 2, len(packed) - 4]))]
    lengths = [str(len(body))] * 4 + [None, str(len(body) + 7), str(max(len(body) - 7, 0)), "-1", "many", "9" * 5000]
    chunked = draw(st.sampled_from([None, None, None, "whole", "cut", "broken"]))
    return Answer(
        body=body,
        status_line=draw(st.sampled_from(STATUS_LINES)) if draw(st.integers(0, 2)) == 0 else STATUS_LINES[0],
        headers=headers,
        length=None if chunked else draw(st.sampled_from(lengths)),
        chunked=chunked,
        size=draw(st.sampled_from([*SIZES * 4, *ODD_SIZES])),
        coding=draw(st.sampled_from([*CODINGS * 4, *ODD_CODINGS])),
        interim=draw(st.sampled_from([(), (), (), (103,), (100, 102, 103, 103), (102,) * 64, (102,) * 65])),
        left=draw(st.sampled_from([b"", b"", b"", b"\r\n", b"x", OTHER])),
        drop_at=draw(st.sampled_from([1.0, 1.0, 1.0, 0.5, 0.0])),
        ending=draw(st.sampled_from([*["close"] * 20, *["keep"] * 6, *["reset"] * 4, "stall"])),
        delay=draw(st.sampled_from([0.0, 0.0, 0.003])),
    )


def whole(body: bytes) -> Answer:
    return Answer(body=body, length=str(len(body)))


def sequences(body: bytes) -> st.SearchStrategy[list[Answer]]:
    """One answer for ever, or one first and then another one."""
    return st.lists(answers(body), min_size=1, max_size=2)


# Langdock


def envelope(url: object, count: object = 3, **data: Any) -> bytes:
    return json.dumps({"success": True, "data": {"recordCount": count, "downloadUrl": url, **data}}).encode()


ODD_URLS = [
    *("", 5, None, "//x", "http:///f", "ftp://127.0.0.1/f", "file:///etc/passwd", "http://u@127.0.0.1/f"),
    *("http://[::1", "http://127.0.0.1:99999/f", "http://127.0.0.1:0/f", "\ud800", f"http://{'a' * 70}.localhost/"),
]


@st.composite
def envelopes(draw: st.DrawFn, url: str) -> bytes:
    if draw(st.integers(0, 3)):
        return envelope(url, dataType="api_keys", dateRange={"from": "2026-11-20", "to": "2026-11-20"})
    odd_count = draw(st.sampled_from([3, 0, 2, 4, -1, "3", 3.0, True, None, 10**300]))
    return envelope(draw(st.sampled_from([url, *ODD_URLS])), odd_count)


def open_export(output_format: str) -> Callable[[VendorConnection, dict[str, Any]], Any]:
    def open_stream(connection: VendorConnection, options: dict[str, Any]) -> Any:
        vendor = Langdock(connection, **options)
        return vendor, LangdockExport(
            vendor, ExportQuery(window=WINDOW, stream="api_keys", output_format=output_format)
        )

    return open_stream


@given(data=st.data())
@HOSTILE
def test_an_export_from_a_hostile_vendor_is_whole_or_refused(
    archive_from: Callable[..., Attempt], hostile: HostileServer, data: st.DataObject
) -> None:
    body = data.draw(envelopes(f"{hostile.url}/file?sig=1"))
    api = [whole(body)] if data.draw(st.integers(0, 2)) else data.draw(sequences(body))
    downloads = data.draw(sequences(CSV))
    attempt = archive_from(open_export("csv"), {"/export/": api, "/file": downloads, "/again": downloads})
    event(attempt.error or ("empty" if attempt.manifest and attempt.manifest.empty else "committed"))
    if attempt.manifest is None:
        return
    counts = [read_count(answer, "data") for target, answer in hostile.served if "/export/" in target]
    bodies = [answer.find_body() for target, answer in hostile.served if "/export/" not in target]
    assert attempt.manifest.rows in counts or says_no_data(hostile)
    if attempt.manifest.rows:
        assert attempt.raw in bodies
        width, *widths = [len(row) for row in csv.reader(io.StringIO(attempt.raw.decode("latin-1"), newline="")) if row]
        assert widths == [width] * attempt.manifest.rows


def read_count(answer: Answer, member: str) -> Any:
    try:
        return json.loads(answer.find_body() or b"")[member]["recordCount"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def says_no_data(hostile: HostileServer) -> bool:
    return any(answer.status == "404" and b"no data found" in answer.body for _, answer in hostile.served)


ROWS = [{"api_key_id": f"k{number}", "cost": 0.1, "name": 'é "x"', "n": [{}, "\ud83d"]} for number in range(3)]


@given(data=st.data())
@HOSTILE
def test_json_from_a_hostile_vendor_is_whole_or_refused(
    archive_from: Callable[..., Attempt], hostile: HostileServer, data: st.DataObject
) -> None:
    metadata = {"recordCount": data.draw(st.sampled_from([3, 3, 3, 2, "3"])), "dateRange": {"from": "x"}}
    body = json.dumps({"success": True, "data": ROWS, "metadata": metadata}, indent=1).encode()
    attempt = archive_from(open_export("json"), {"/export/": data.draw(sequences(body))})
    event(attempt.error or ("empty" if attempt.manifest and attempt.manifest.empty else "committed"))
    if attempt.manifest is None:
        return
    records = [json.loads(line) for line in attempt.raw.split(b"\n") if line]
    answers_read = [read_json(answer) for _, answer in hostile.served]
    assert says_no_data(hostile) or any(
        document["data"] == records and document["metadata"]["recordCount"] == len(records)
        for document in answers_read
        if isinstance(document, dict) and {"data", "metadata"} <= set(document)
    )


def read_json(answer: Answer) -> Any:
    try:
        return json.loads(answer.find_body() or b"")
    except (ValueError, RecursionError):
        return None


# Keywords AI


def user_page(number: int, pages: int) -> bytes:
    users = [{"customer_identifier": f"u{number}{letter}", "total_cost": 0.1} for letter in "abc"]
    following = f"http://vendor/api/users/?page={number + 1}" if number < pages else None
    totals = {"total_users": 3 * pages}
    return json.dumps({"results": users, "count": 3, "next": following, "aggregation_data": totals}).encode()


def open_users(connection: VendorConnection, options: dict[str, Any]) -> Any:
    vendor = KeywordsAI(connection, **options)
    return vendor, KeywordsAIUsers(vendor, UsersQuery(window=WINDOW, page_size=3, pages_in_flight=2))


@given(data=st.data())
@HOSTILE
def test_users_of_a_hostile_vendor_are_whole_or_refused(
    archive_from: Callable[..., Attempt], hostile: HostileServer, data: st.DataObject
) -> None:
    pages = data.draw(st.sampled_from([1, 1, 2, 3]))
    broken = data.draw(st.integers(1, pages))
    replies = {
        f"page={number}&": data.draw(sequences(body)) if number == broken else [whole(body)]
        for number in range(1, pages + 1)
        for body in [user_page(number, pages)]
    }
    attempt = archive_from(open_users, replies)
    event(attempt.error or ("empty" if attempt.manifest and attempt.manifest.empty else "committed"))
    if attempt.manifest is None:
        return
    records = [json.loads(line) for line in attempt.raw.split(b"\n") if line]
    assert len(records) == attempt.manifest.rows
    assert records in list(find_listings(hostile))


def find_listings(hostile: HostileServer) -> Iterator[list[Any]]:
    """Every listing that the whole pages that were served make up, in order and with each user once."""
    versions: dict[str, list[Any]] = {}
    for target, answer in hostile.served:
        page = read_json(answer)
        if isinstance(page, dict) and "results" in page:
            versions.setdefault(target.partition("page=")[2].partition("&")[0], []).append(page)
    numbers = sorted(versions, key=int)
    for count in range(1, len(numbers) + 1):
        for chosen in itertools.product(*(versions[number] for number in numbers[:count])):
            is_ended = chosen[-1].get("next") is None or not chosen[-1]["results"]
            if is_ended and numbers[:count] == [str(number) for number in range(1, count + 1)]:
                users: dict[str, Any] = {}
                for user in itertools.chain.from_iterable(page["results"] for page in chosen):
                    users.setdefault(json.dumps([user.get("customer_identifier")]), user)
                yield list(users.values())


def test_one_huge_field_comes_through_whole(archive_from: Callable[..., Attempt], hostile: HostileServer) -> None:
    body = b'api_key_id,name,requests\nk1,"' + (b"x" * 998 + b",\n") * 50_000 + b'",5\n'
    api = whole(envelope(f"{hostile.url}/file", 1))
    attempt = archive_from(open_export("csv"), {"/export/": [api], "/file": [whole(body)]})
    assert attempt.raw == body


@pytest.mark.parametrize(
    ("route", "status"), [("users", 200), ("json", 200), ("envelope", 200), ("download", 200), ("users", 429)]
)
@pytest.mark.parametrize("body", ODD_BODIES, ids=lambda body: body[:40].decode("latin-1"))
def test_every_odd_body_is_refused_or_archived(
    archive_from: Callable[..., Attempt], hostile: HostileServer, route: str, body: bytes, status: int
) -> None:
    odd = replace(whole(body), status_line=f"HTTP/1.1 {status} X")
    api = odd if route != "download" else whole(envelope(f"{hostile.url}/file"))
    open_stream = {"users": open_users, "json": open_export("json")}.get(route, open_export("csv"))
    attempt = archive_from(open_stream, {"/file": [odd], "/": [api]})
    assert attempt.manifest is None or (status == 200 and attempt.manifest.rows == 0)


@pytest.mark.parametrize(
    "header", [header for header in HEADERS if header[0] != "Content-Encoding"], ids=lambda header: header[0]
)
@pytest.mark.parametrize("status", [200, 302, 429])
def test_every_odd_header_is_refused_or_of_no_matter(
    archive_from: Callable[..., Attempt], hostile: HostileServer, header: tuple[str, str], status: int
) -> None:
    body = user_page(1, 1)
    odd = replace(whole(body), status_line=f"HTTP/1.1 {status} X", headers=(header,))
    attempt = archive_from(open_users, {"/": [odd]})
    assert attempt.manifest is None or (status == 200 and attempt.manifest.rows == 3)
    assert attempt.manifest is None or header[0] != "Content-Range"
