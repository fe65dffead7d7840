"""Langdock: the request to the letter, the file as it is, and no signed URL anywhere it does not belong."""

from __future__ import annotations

import csv
import io
import json
import logging
import pickle
import time
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from airflow_usage_provider.exceptions import (
    AuthenticationError,
    ConfigurationError,
    DownloadExpiredError,
    ExportTooLargeError,
    IncompleteSnapshotError,
    InvalidBodyError,
    RequestRejectedError,
    UsageProviderError,
    VendorUnavailableError,
)
from airflow_usage_provider.http.client import MAX_ATTEMPTS
from airflow_usage_provider.models import StreamFacts, UsageWindow
from airflow_usage_provider.vendors.langdock.api import Export, ExportQuery, Langdock
from airflow_usage_provider.vendors.langdock.ranges import is_of_another_day
from airflow_usage_provider.vendors.langdock.streams import LangdockExport

DAY = (datetime.now(UTC) - timedelta(days=3)).date()
WINDOW = UsageWindow(DAY, "Europe/Berlin")
Connect = Callable[..., Langdock]


@pytest.fixture
def langdock(connect: Any, client_options: dict[str, Any]) -> Iterator[Connect]:
    """Connect to the sandbox's Langdock: ``langdock("rows=30")``."""
    made: list[Langdock] = []

    def make(switches: str = "", **settings: Any) -> Langdock:
        made.append(Langdock(connect(f"sk-acme;{switches}", **settings), **client_options))
        return made[-1]

    yield make
    for each in made:
        each.close()


def query(**settings: Any) -> ExportQuery:
    return ExportQuery(**{"window": WINDOW, "stream": "api_keys", **settings})


def read(stream: LangdockExport) -> tuple[bytes, StreamFacts]:
    chunks, body = stream.read(), b""
    while True:
        try:
            body += next(chunks)
        except StopIteration as end:
            return body, end.value


def export(vendor: Langdock, **settings: Any) -> tuple[bytes, StreamFacts]:
    return read(LangdockExport(vendor, query(**settings)))


@pytest.mark.parametrize(("group_by", "more"), [(None, {}), ("model", {"group_by": "model"})])
def test_the_request_is_the_documented_one_to_the_letter(
    langdock: Connect, sandbox: Any, group_by: str | None, more: dict[str, str]
) -> None:
    export(langdock(), group_by=group_by)
    api, download = sandbox.requests
    assert (api.method, api.path, api.query) == ("POST", "/export/api-keys", {})
    assert json.loads(api.body) == {
        "from": {"date": f"{DAY}T00:00:00.000Z", "timezone": "Europe/Berlin"},
        "to": {"date": f"{DAY}T23:59:59.999Z", "timezone": "Europe/Berlin"},
        **more,
    }
    assert api.headers["content-type"] == "application/json"
    assert (download.port_role, download.method) == ("download", "GET")
    for record in sandbox.requests:
        assert not {"origin", "referer", "cookie"} & set(record.headers)
    assert "authorization" not in download.headers


@pytest.mark.parametrize(
    ("stream", "output_format", "path"),
    [
        ("api_keys", "csv", "/export/api-keys"),
        ("users", "csv", "/export/users"),
        ("agents", "csv", "/export/agents"),
        ("projects", "csv", "/export/projects"),
        ("models", "csv", "/export/models"),
        ("workflows", "csv", "/export/workflows"),
        ("api_keys", "json", "/export/api-keys/json"),
    ],
)
def test_each_stream_has_its_path(stream: str, output_format: str, path: str) -> None:
    assert query(stream=stream, output_format=output_format).path == path


@pytest.mark.parametrize("stream", ["users", "agents", "projects", "models", "workflows", "api_keys"])
@pytest.mark.parametrize("group_by", [None, "model", "source", "deployment"])
def test_group_by_is_taken_where_the_vendor_takes_it(
    langdock: Connect, sandbox: Any, stream: str, group_by: str | None
) -> None:
    body = query().body | ({"group_by": group_by} if group_by else {})
    path = query(stream=stream).path
    answer = langdock("byok=1").http.request("POST", path, stream=stream, body=body, expected=(400,))
    if answer.status == 400:
        with pytest.raises(ConfigurationError, match=f"has no group_by '{group_by}'"):
            query(stream=stream, group_by=group_by)
        return
    asked = query(stream=stream, group_by=group_by)
    _, facts = read(LangdockExport(langdock("byok=1"), asked))
    assert facts.rows > 0
    assert asked.archive_stream == (f"{stream}_by_{group_by}" if group_by else stream)


@pytest.mark.parametrize("settings", [{"stream": "logs"}, {"output_format": "xml"}, {"stream": "", "group_by": "x"}])
def test_a_query_that_cannot_be_is_refused_with_what_can(settings: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="Give "):
        query(**settings)


@pytest.mark.parametrize(
    "switches",
    [
        "rows=1",
        "rows=2500;multiline=1",
        "bom=1;crlf=1",
        "final_newline=0",
        "crlf=1;final_newline=0;multiline=1;bom=1",
        "byok=1;extra_column=1",
        "user_data=0",
        "download=chunked",
        "download=close",
        "download=redirect",
        "download=gzip",
        "ignore_range=1",
        "date_range=offset",
        "date_range=date",
    ],
)
@pytest.mark.parametrize("stream", ["users", "agents"])
def test_every_oddity_of_a_csv_is_archived_as_it_is_and_counted(langdock: Connect, stream: str, switches: str) -> None:
    body, facts = export(langdock(switches), stream=stream)
    head, *rows = csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""))
    assert facts.rows == facts.vendor_rows == len(rows) > 0
    assert facts.columns == tuple(head)
    assert body.startswith(b"\xef\xbb\xbf") == ("bom=1" in switches)
    assert (b"\r\n" in body.splitlines(keepends=True)[0]) == ("crlf=1" in switches)
    assert body.endswith(b"\n") == ("final_newline=0" not in switches)
    assert facts.window_returned
    assert facts.window_returned["from"].startswith(str(DAY))


@pytest.mark.parametrize("claim", ["+1", "-1", "99", "0"])
@pytest.mark.parametrize("output_format", ["csv", "json"])
def test_a_record_count_that_disagrees_with_the_file_is_refused(
    langdock: Connect, claim: str, output_format: str
) -> None:
    with pytest.raises(IncompleteSnapshotError, match=r"has 20 records, the vendor announced \d+"):
        export(langdock(f"rows=20;record_count={claim}"), output_format=output_format)


@pytest.mark.parametrize(
    ("switches", "message"),
    [
        ("rows=20;ragged=1", "record 20 has"),
        ("rows=20;download=close;final_newline=0", "nothing proves that it is whole"),
        ("rows=20;download=cut_close", "."),
        ("no_url=1", "no download URL"),
    ],
)
def test_what_is_not_proven_whole_is_refused_with_the_streams_name(
    langdock: Connect, switches: str, message: str
) -> None:
    with pytest.raises(IncompleteSnapshotError, match=message) as caught:
        export(langdock(switches))
    assert (caught.value.vendor, caught.value.stream, caught.value.connection) == ("langdock", "api_keys", "under_test")


def test_an_error_of_the_download_keeps_its_own_words(langdock: Connect) -> None:
    with pytest.raises(IncompleteSnapshotError, match="announced end") as caught:
        export(langdock("download=cut"))
    assert (caught.value.url, caught.value.next_step) == ("http://127.0.0.1", "Try again.")


def test_html_in_place_of_the_file_is_an_invalid_body(langdock: Connect) -> None:
    with pytest.raises(InvalidBodyError, match="HTML") as caught:
        export(langdock("download=html"))
    assert caught.value.vendor == "langdock"


@pytest.mark.parametrize("output_format", ["csv", "json"])
def test_an_answer_that_says_it_is_of_another_day_is_refused(langdock: Connect, output_format: str) -> None:
    vendor = langdock("date_range=day_before")
    with pytest.raises(IncompleteSnapshotError, match=f"another day than {DAY}") as caught:
        export(vendor, output_format=output_format)
    assert (caught.value.vendor, caught.value.stream) == ("langdock", "api_keys")


NOON = UsageWindow(date(2026, 11, 20), "Europe/Berlin")


@pytest.mark.parametrize(
    "said",
    [
        {"from": "2026-11-20T00:00:00.000Z", "to": "2026-11-20T23:59:59.999Z"},
        {"from": "2026-11-20T00:00:00+00:00", "to": "2026-11-20T23:59:59+00:00"},
        {"from": "2026-11-20T00:00:00.000+01:00", "to": "2026-11-21T00:00:00.000+01:00"},
        {"from": "2026-11-19T23:00:00Z", "to": "2026-11-20T22:59:59.999Z"},
        {"from": "2026-11-19T23:00:00Z", "to": "2026-11-20T23:00:00Z"},
        {"from": "2026-11-20 00:00:00", "to": "2026-11-20 23:59:59.999999999"},
        {"from": "2026-11-20", "to": "2026-11-20"},
        {"from": "2026-11-20", "to": "2026-11-21"},
        {"from": {"date": "2026-11-20T00:00:00.000Z"}, "to": {"date": "2026-11-20T23:59:59.999Z", "timezone": "x"}},
        *[{"from": "2026-11-20"}, {"to": "2026-11-20"}, {"from": "x", "to": None}, {"from": 7}, {}, None, [], "x"],
        {"from": "0001-01-01T00:00:00Z", "to": "9999-12-31T23:59:59Z"},
    ],
)
def test_a_range_that_may_be_the_day_is_taken(said: Any) -> None:
    assert not is_of_another_day(said, NOON)


@pytest.mark.parametrize(
    "said",
    [
        {"from": "2026-11-19T00:00:00.000Z", "to": "2026-11-19T23:59:59.999Z"},
        {"from": "2026-11-21T00:00:00.000Z", "to": "2026-11-21T23:59:59.999Z"},
        {"from": "2026-11-20T00:00:00.000Z", "to": "2026-11-21T23:59:59.999Z"},
        {"from": "2026-11-01T00:00:00.000Z", "to": "2026-11-20T23:59:59.999Z"},
        *[{"from": "2026-11-19", "to": "2026-11-20"}, {"from": "2026-11-21"}, {"to": "2026-11-19T23:59:59+01:00"}],
        {"from": {"date": "2025-11-20T00:00:00.000Z"}},
    ],
)
def test_a_range_that_plainly_is_another_is_not(said: Any) -> None:
    assert is_of_another_day(said, NOON)


@pytest.mark.parametrize(
    ("today", "oldest"), [("2026-11-25", "2025-11-25"), ("2028-02-29", "2027-02-28"), ("2027-01-01", "2026-01-01")]
)
def test_the_vendor_goes_twelve_months_back(langdock: Connect, today: str, oldest: str) -> None:
    vendor = langdock()
    for each in (vendor, LangdockExport(vendor, query())):
        assert each.oldest_date(date.fromisoformat(today)) == date.fromisoformat(oldest)


def test_the_oldest_day_can_be_had_and_none_before_it(langdock: Connect) -> None:
    vendor = langdock("rows=3")
    oldest = vendor.oldest_date(datetime.now(UTC).date())
    assert oldest
    export(vendor, window=UsageWindow(oldest))
    with pytest.raises(RequestRejectedError, match="12 months back"):
        export(vendor, window=UsageWindow(oldest - timedelta(days=7)))


def test_the_question_is_what_was_asked_without_its_day() -> None:
    def ask(**settings: Any) -> Any:
        return LangdockExport(None, query(**settings)).question  # type: ignore[arg-type]

    assert ask() == {
        "method": "POST",
        "path": "/export/api-keys",
        "output_format": "csv",
        "timezone": "Europe/Berlin",
    }
    assert ask() == ask(window=UsageWindow(DAY - timedelta(days=1), "Europe/Berlin"))
    others = [
        {"group_by": "model"},
        {"output_format": "json"},
        {"window": UsageWindow(DAY, "UTC")},
        {"stream": "users"},
    ]
    assert all(ask(**other) != ask() for other in others)
    json.dumps(ask(group_by="model"))


@pytest.mark.parametrize("form", ["404", "200", "header"])
@pytest.mark.parametrize("nested", ["0", "1"])
def test_a_period_without_data_has_three_forms(langdock: Connect, form: str, nested: str) -> None:
    body, facts = export(langdock(f"empty={form};nested_error={nested}"))
    assert (facts.rows, facts.vendor_rows) == (0, 0)
    assert (b"api_key_id" in body) == (form == "header")
    assert (facts.window_returned is None) == (form == "404")


@pytest.mark.parametrize("form", ["404", "200"])
def test_a_period_without_data_by_the_json_route(langdock: Connect, form: str) -> None:
    body, facts = export(langdock(f"empty={form}"), output_format="json")
    assert (body, facts.rows, facts.vendor_rows) == (b"", 0, 0)


@pytest.mark.parametrize("output_format", ["csv", "json"])
def test_any_other_404_is_a_wrong_host_or_a_missing_stream(langdock: Connect, output_format: str) -> None:
    for switches, stream in (("error=404-other", "api_keys"), ("workflows=0", "workflows")):
        with pytest.raises(ConfigurationError, match=r"no such export.*/api/public") as caught:
            export(langdock(switches), stream=stream, output_format=output_format)
        assert caught.value.status == 404


@pytest.mark.parametrize("nested", ["0", "1"])
@pytest.mark.parametrize("output_format", ["csv", "json"])
def test_an_export_that_is_too_large_has_its_own_error(langdock: Connect, nested: str, output_format: str) -> None:
    with pytest.raises(ExportTooLargeError, match=r"1,000,000.*group_by"):
        export(langdock(f"error=400-too-large;nested_error={nested}"), output_format=output_format)


def test_any_other_400_is_a_rejected_request(langdock: Connect) -> None:
    with pytest.raises(RequestRejectedError, match=r"12 months back") as caught:
        export(langdock(), window=UsageWindow(DAY - timedelta(days=400)))
    assert not isinstance(caught.value, ExportTooLargeError)


@pytest.mark.parametrize("switches", ["success_false=1", "body=invalid"])
def test_an_answer_that_is_no_envelope_is_an_invalid_body(langdock: Connect, sandbox: Any, switches: str) -> None:
    with pytest.raises(InvalidBodyError, match="not the envelope") as caught:
        export(langdock(switches))
    assert caught.value.url == f"{sandbox.url}/export/api-keys"


@pytest.mark.parametrize(
    "document",
    [
        [],
        {"success": True},
        {"success": True, "data": []},
        {"data": {"recordCount": "5"}},
        {"data": {"recordCount": True}},
        {"data": {"recordCount": -1}},
        {"data": {"recordCount": None}},
        {"success": False, "data": {"recordCount": 5}},
    ],
)
def test_an_envelope_without_a_record_count_is_no_envelope(
    langdock: Connect, canned_server: Any, canned: Any, document: Any
) -> None:
    server = canned_server([canned(body=json.dumps(document).encode())])
    with pytest.raises(InvalidBodyError, match="not the envelope"):
        langdock(base_url=server.url).create_export(query())


def test_the_json_route_needs_its_record_count_too(langdock: Connect, canned_server: Any, canned: Any) -> None:
    for metadata in ({}, {"metadata": {}}, {"metadata": {"recordCount": "1"}}, {"metadata": [], "success": True}):
        server = canned_server([canned(body=json.dumps({"data": [{"a": 1}], **metadata}).encode())])
        with pytest.raises(InvalidBodyError, match="not the envelope"):
            export(langdock(base_url=server.url), output_format="json")


def test_the_json_route_yields_each_record_as_it_was_sent(langdock: Connect, canned_server: Any, canned: Any) -> None:
    body = rb"""{"success":true, "data":[ {"id":12345678901234567890, "cost":5.2e-05, "name":"\ud83d \u00eb"},
        {"x":1.10} ], "metadata":{"recordCount":2,"dataType":"users","dateRange":{"from":"x"},"url":"y"}}"""
    server = canned_server([canned(body=body)])
    lines, facts = export(langdock(base_url=server.url), output_format="json")
    assert lines == rb'{"id":12345678901234567890,"cost":5.2e-05,"name":"\ud83d \u00eb"}' + b'\n{"x":1.10}\n'
    assert facts.columns == ("id", "cost", "name", "x")
    assert facts.envelope == {"dataType": "users"}
    assert facts.window_returned == {"from": "x"}


def test_a_signed_url_that_does_not_serve_is_asked_for_anew(langdock: Connect, sandbox: Any) -> None:
    _, facts = export(langdock(f"ready_after_requests={MAX_ATTEMPTS - 1}"))
    assert facts.rows > 0
    roles = [record.port_role for record in sandbox.requests]
    assert roles == ["api", "download"] * MAX_ATTEMPTS


@pytest.mark.parametrize(
    ("switches", "status"),
    [
        ("ready_after=1000", 404),
        ("url_lifetime=0", 403),
        ("download=403", 403),
        ("download=404", 404),
        ("download=410", 410),
    ],
)
def test_a_signed_url_that_never_serves_has_its_error(
    langdock: Connect, sandbox: Any, switches: str, status: int
) -> None:
    with pytest.raises(DownloadExpiredError, match="does not serve") as caught:
        export(langdock(switches))
    assert caught.value.status == status
    assert len(sandbox.requests) == 2 * MAX_ATTEMPTS


def test_a_download_host_that_fails_is_asked_again_and_then_unavailable(langdock: Connect, sandbox: Any) -> None:
    assert export(langdock("download=500;download_times=2"))[1].rows > 0
    assert [record.port_role for record in sandbox.requests] == ["api", "download", "download", "download"]
    with pytest.raises(VendorUnavailableError, match="status 500"):
        export(langdock("download=500"))


@pytest.mark.parametrize(
    ("switches", "kind"),
    [("download=redirect_loop", DownloadExpiredError), ("download=redirect_private", ConfigurationError)],
)
def test_a_redirect_that_leads_nowhere_good_is_refused(
    langdock: Connect, sandbox: Any, switches: str, kind: type[UsageProviderError]
) -> None:
    with pytest.raises(kind):
        export(langdock(switches, connect_timeout=0.05) if "loop" in switches else _strict(langdock, switches))
    assert all("authorization" not in record.headers for record in sandbox.requests if record.port_role == "download")


def _strict(langdock: Connect, switches: str) -> Langdock:
    """Private addresses refused: the sandbox's own too, so the first hop already is."""
    return langdock(switches, allow_private_download=False)


def test_insecure_and_private_downloads_are_refused_by_default(langdock: Connect, sandbox: Any) -> None:
    with pytest.raises(ConfigurationError, match="allow_insecure_download"):
        export(langdock(allow_insecure_download=False))
    for switches in ("", "download_host=localhost"):
        with pytest.raises(ConfigurationError, match="allow_private_download"):
            export(langdock(switches, allow_private_download=False))
    assert [record.port_role for record in sandbox.requests] == ["api"] * 3


def test_a_dedicated_deployment_has_a_path_in_its_base_url(langdock: Connect, sandbox: Any) -> None:
    for output_format in ("csv", "json"):
        _, facts = export(langdock(base_url=f"{sandbox.url}/api/public"), output_format=output_format)
        assert facts.rows > 0
    assert [record.path for record in sandbox.requests if record.port_role == "api"] == [
        "/api/public/export/api-keys",
        "/api/public/export/api-keys/json",
    ]


def test_an_export_hides_its_url(langdock: Connect) -> None:
    made = langdock("rows=20").create_export(query())
    assert made.download_url
    assert "Signature" in made.download_url
    assert "Signature" not in repr(made)
    assert (made.record_count, made.data_type) == (20, "assistants")
    assert Export(record_count=0).download_url is None


def test_an_export_is_told_with_its_records_and_its_bytes_and_never_its_url(
    langdock: Connect, sandbox: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="airflow_usage_provider")
    body, _ = export(langdock("rows=20"))
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.INFO]
    assert told == [
        f"api_keys of {DAY}: the vendor exports 20 records",
        f"api_keys of {DAY}: downloading {len(body)} bytes",
    ]
    (download,) = (record for record in sandbox.requests if record.port_role == "download")
    assert download.query["X-Sandbox-Signature"] not in caplog.text
    assert download.path not in caplog.text


def test_the_vendors_id_of_an_export_is_told_even_of_a_day_without_data(
    langdock: Connect, canned_server: Any, canned: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    nothing = canned(404, b'{"error": "no_data_found"}', {"X-Request-Id": "req-4711"})
    assert export(langdock(base_url=canned_server([nothing]).url))[1].rows == 0
    assert f"api_keys of {DAY}: the vendor exports 0 records (request id req-4711)" in caplog.text


@pytest.mark.parametrize(
    ("switches", "ready"),
    [
        ("rows=20", True),
        ("rows=20;ignore_range=1", True),
        ("empty=404", None),
        ("empty=200", None),
        ("no_url=1", False),
    ],
)
def test_an_export_is_ready_once_its_url_serves(
    langdock: Connect, sandbox: Any, switches: str, ready: bool | None
) -> None:
    assert langdock(switches).is_ready(query()) is ready
    assert len(sandbox.requests) == (2 if ready else 1)


def test_an_export_that_is_not_ready_says_so_without_waiting(langdock: Connect, sandbox: Any) -> None:
    vendor = langdock("ready_after_requests=1")
    with pytest.raises(DownloadExpiredError):
        vendor.is_ready(query())
    assert vendor.is_ready(query()) is True
    assert sandbox.requests[1].headers["range"] == "bytes=0-0"


def test_checking_a_connection_asks_for_an_export_and_downloads_nothing(langdock: Connect, sandbox: Any) -> None:
    langdock().check()
    assert [record.port_role for record in sandbox.requests] == ["api"]
    langdock("empty=404").check()
    with pytest.raises(AuthenticationError):
        langdock("error=403").check()


def test_an_export_in_the_making_is_waited_for(langdock: Connect) -> None:
    begun = time.monotonic()
    assert export(langdock("latency=0.3"))[1].rows > 0
    assert time.monotonic() - begun >= 0.3


@pytest.mark.parametrize(
    "switches",
    [
        "url_lifetime=0",
        "download=500",
        "download=cut",
        "download=cut_chunked",
        "download=html",
        "download=redirect_loop",
        "rows=5;record_count=+1",
        "rows=5;ragged=1",
    ],
)
def test_no_error_shows_the_signed_url(langdock: Connect, sandbox: Any, switches: str) -> None:
    with pytest.raises(UsageProviderError) as caught:
        export(langdock(switches))
    error = caught.value
    shown = "".join([str(error), repr(error), str(pickle.dumps(error)), *traceback.format_exception(error)])
    downloads = [record for record in sandbox.requests if record.port_role == "download"]
    assert downloads
    for record in downloads:
        assert record.query["X-Sandbox-Signature"] not in shown
        assert record.path not in shown
    assert "api_key_name" not in shown


def show_with_locals(error: BaseException) -> str:
    """What a service that collects errors sees of one: every frame but this file's, with its locals."""
    shown: list[str] = []
    while error is not None:
        stack = traceback.StackSummary.extract(traceback.walk_tb(error.__traceback__), capture_locals=True)
        shown += [str(frame.locals) for frame in stack if frame.filename != __file__]
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    return "".join(shown)


@pytest.mark.parametrize(
    "switches",
    [
        *("error=400", "error=404-other", "error=429", "error=500", "bad_key=401", "redirect=other", "body=html"),
        *("body=cut", "success_false=1", "no_url=1", "date_range=day_before", "record_count=+1", "ragged=1"),
        *("url_lifetime=0", "download=cut", "download=cut_chunked", "download=500", "download=html"),
        *("download=redirect_loop", "download=redirect_private"),
    ],
)
@pytest.mark.parametrize("output_format", ["csv", "json"])
def test_no_local_of_an_error_holds_the_key_or_the_signed_url(
    connect: Any, client_options: dict[str, Any], sandbox: Any, canary: str, switches: str, output_format: str
) -> None:
    vendor = Langdock(connect(f"sk-{canary};{switches}", download_timeout=2.0), **client_options)
    try:
        export_all = LangdockExport(vendor, query(output_format=output_format)).read()
        b"".join(export_all)
    except UsageProviderError as error:
        shown = show_with_locals(error)
        assert "self" in shown
        assert canary not in shown
        assert "X-Sandbox-Signature" not in shown
    finally:
        vendor.close()


def test_no_local_of_an_error_holds_an_answer_that_is_no_envelope(
    langdock: Connect, canned_server: Any, canned: Any, canary: str
) -> None:
    body = json.dumps({"data": {"recordCount": "many", "downloadUrl": f"https://files/{canary}"}}).encode()
    with pytest.raises(InvalidBodyError) as caught:
        export(langdock(base_url=canned_server([canned(body=body)]).url))
    assert canary not in show_with_locals(caught.value)
