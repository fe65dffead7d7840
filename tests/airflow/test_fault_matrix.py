"""Every fault through the real operators: what the task says, who tries again, what is left on S3.

``docs/faults.md`` is made from the rows below: ``UPDATE_DOCS=1 pytest tests/airflow/test_fault_matrix.py`` writes it.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_usage_provider import exceptions
from airflow_usage_provider.compat import AirflowFailException
from airflow_usage_provider.exceptions import FatalError, TransientError, UsageProviderError
from airflow_usage_provider.hooks.keywordsai import KeywordsAIHook
from airflow_usage_provider.hooks.langdock import LangdockHook
from airflow_usage_provider.http.limiter import RateLimiter
from airflow_usage_provider.operators.keywordsai import KeywordsAIUsersToS3Operator
from airflow_usage_provider.operators.langdock import LangdockExportToS3Operator

DAY = (datetime.now(UTC) - timedelta(days=2)).date().isoformat()
PAGE = Path(__file__).parents[2] / "docs" / "faults.md"
ARCHIVED, EMPTY = "archived", "archived as empty"
LEFT = {ARCHIVED: "a snapshot", EMPTY: "a manifest"}


@dataclass(frozen=True)
class Fault:
    """
    One row.

    :param what: the fault, in words.
    :param switches: how the sandbox is told to behave.
    :param outcome: name of the error, or what became of the day.
    :param asked: how often the request that fails was sent, or the most frequent one.
    :param extra: extras of the connection.
    :param task: parameters of the operator.
    :param s3: changes of the AWS connection.
    """

    what: str
    switches: str
    outcome: str
    asked: int
    extra: dict[str, Any] = field(default_factory=dict)
    task: dict[str, Any] = field(default_factory=dict)
    s3: dict[str, Any] = field(default_factory=dict)

    @property
    def left(self) -> str:
        return LEFT.get(self.outcome, "nothing")

    @property
    def is_retried(self) -> bool:
        return self.outcome not in LEFT and issubclass(getattr(exceptions, self.outcome), TransientError)

    @property
    def row(self) -> str:
        is_error = self.outcome not in LEFT
        cells = (
            self.what,
            f"`{self.switches}`" if self.switches else "",
            f"`{self.outcome}`" if is_error else self.outcome,
            {0: "not at all", 1: "once", 2: "twice"}.get(self.asked, f"{self.asked} times"),
            ("yes" if self.is_retried else "no") if is_error else "",
            self.left,
        )
        return f"| {' | '.join(cells)} |"


PAGES = {"page_size": 50}
QUICK = {"timeout": 0.2, "connect_timeout": 0.2}
KEYWORDSAI = [
    Fault("wrong key", "bad_key=401", "AuthenticationError", 1),
    Fault("key without the scope", "error=403", "AuthenticationError", 1),
    Fault("request rejected", "error=422", "RequestRejectedError", 1),
    Fault("wrong host: no such path", "error=404", "ConfigurationError", 1),
    Fault("a gateway in its place, for a while", "error=404-text;error_times=2", ARCHIVED, 3),
    Fault("a gateway in its place", "error=404-text", "VendorUnavailableError", 5),
    Fault("a web page in its place", "body=html", "InvalidBodyError", 1),
    Fault("redirect: the API has moved", "redirect=other", "ConfigurationError", 1),
    Fault("redirect to a login or maintenance page", "redirect=login", "VendorUnavailableError", 5),
    Fault("interim answers before the answer", "interim=3", ARCHIVED, 1),
    Fault("too many requests, for a while", "error=429;error_times=2", ARCHIVED, 3),
    Fault("too many requests, for ever", "error=429", "RateLimitedError", 5),
    Fault("told to wait more than ten minutes", "error=429;retry_after=700", "RateLimitedError", 1),
    Fault("vendor down, for a while", "error=503;error_times=4", ARCHIVED, 5),
    Fault("vendor down", "error=502-html", "VendorUnavailableError", 5),
    Fault("no answer within the timeout", "latency=1", "VendorUnavailableError", 5, extra=QUICK),
    Fault("body cut once", "body=cut;error_times=1", ARCHIVED, 2),
    Fault("body cut", "body=cut", "IncompleteSnapshotError", 5),
    Fault("body cut, its length unknown", "body=cut_close", "InvalidBodyError", 1),
    Fault("body is not JSON", "body=invalid", "InvalidBodyError", 1),
    Fault("page 2 cut (asked ahead once)", "users=120;body=cut;error_page=2", "IncompleteSnapshotError", 6, task=PAGES),
    Fault("a page repeats", "users=120;repeat_page=2", "IncompleteSnapshotError", 1, task=PAGES),
    Fault("an empty page among others", "users=120;empty_page=2", "IncompleteSnapshotError", 1, task=PAGES),
    Fault("`next` points back", "users=120;next=loop", "IncompleteSnapshotError", 1, task=PAGES),
    Fault("no `next`, 404 behind the end", "users=120;next=missing;past_end=404", ARCHIVED, 1, task=PAGES),
    Fault(
        "page 2 not found, says the vendor",
        "users=120;error=404;error_page=2",
        "IncompleteSnapshotError",
        2,
        task=PAGES,
    ),
    Fault("page 2 not found, says a gateway", "users=120;gateway_page=2", "IncompleteSnapshotError", 2, task=PAGES),
    Fault("fewer users than `total_users`", "missing=1", "IncompleteSnapshotError", 1),
    Fault("a user twice, with other figures", "users=40;twice=1", ARCHIVED, 1),
    Fault("users move between pages, once", "users=120;drift=delete;drift_times=1", ARCHIVED, 2, task=PAGES),
    Fault("users move all the time", "users=120;drift=delete", "ListingChangedError", 5, task=PAGES),
    Fault("no users", "empty=1", EMPTY, 1),
]
LANGDOCK = [
    Fault("wrong key", "bad_key=401", "AuthenticationError", 1),
    Fault("wrong host: no such path", "error=404-other", "ConfigurationError", 1),
    Fault("a gateway in its place", "error=404-text", "VendorUnavailableError", 1),
    Fault("201 in place of 200", "created=1", ARCHIVED, 1),
    Fault("interim answers before the answer", "interim=3", ARCHIVED, 1),
    Fault("an answer that says it is of another day", "date_range=day_before", "IncompleteSnapshotError", 1),
    Fault("request rejected", "error=400", "RequestRejectedError", 1),
    Fault("more rows than the vendor exports", "error=400-too-large", "ExportTooLargeError", 1),
    Fault("too many requests", "error=429", "RateLimitedError", 5),
    Fault("vendor down", "error=500", "VendorUnavailableError", 5),
    Fault("no success, under status 200", "success_false=1", "InvalidBodyError", 1),
    Fault("no download URL", "no_url=1", "IncompleteSnapshotError", 1),
    Fault("signed URL late", "ready_after_requests=2", ARCHIVED, 3),
    Fault("signed URL expired", "download=403", "DownloadExpiredError", 5),
    Fault("signed URL expired, under status 400", "download=400;download_times=2", ARCHIVED, 3),
    Fault("download fails, for a while", "download=500;download_times=2", ARCHIVED, 3),
    Fault("download fails", "download=500", "VendorUnavailableError", 5),
    Fault("download redirects in circles", "download=redirect_loop", "DownloadExpiredError", 20),
    Fault("download cut", "download=cut", "IncompleteSnapshotError", 1),
    Fault("download cut, in chunks", "download=cut_chunked", "IncompleteSnapshotError", 1),
    Fault("download cut, its length unknown", "download=cut_close", "IncompleteSnapshotError", 1),
    Fault("download is a web page", "download=html", "InvalidBodyError", 1),
    Fault("another number of records than announced", "record_count=+1", "IncompleteSnapshotError", 1),
    Fault("a record too narrow", "ragged=1", "IncompleteSnapshotError", 1),
    Fault("no data, as a 404", "empty=404", EMPTY, 1),
    Fault("no data, as a header alone", "empty=header", EMPTY, 1),
]
S3 = [
    Fault("no such bucket", "", "ArchiveAccessError", 0, task={"archive_url": "s3://no-such-bucket/llm"}),
    Fault("wrong AWS key", "", "ArchiveAccessError", 0, s3={"password": "wrong"}),
    Fault("bucket may only be read", "", "ArchiveAccessError", 1, s3={"login": "reader", "password": "readersecret"}),
    Fault("S3 away", "", "ArchiveUnavailableError", 0, s3={"endpoint_url": "dead"}),
    Fault("store knows no checksums", "", "ArchiveAccessError", 1, s3={"writes": "501 NotImplemented"}),
    Fault("store knows no checksums, as 400", "", "ArchiveAccessError", 1, s3={"writes": "400 InvalidArgument"}),
    Fault("store takes only so much at once", "", "ArchiveUnavailableError", 1, s3={"writes": "503 SlowDown"}),
    Fault("a code nobody knows", "", "ArchiveUnavailableError", 1, s3={"writes": "400 Novelty"}),
    Fault("the role's keys have expired", "", "ArchiveUnavailableError", 1, s3={"writes": "400 ExpiredToken"}),
]
TASKS = [
    Fault(
        "no such connection, or its secrets backend failed",
        "",
        "ConnectionLookupError",
        0,
        task={"langdock_conn_id": "nowhere"},
    ),
    Fault("an extra that cannot be read", "", "ConfigurationError", 0, extra={"timeout": "soon"}),
    Fault("a day in the future", "", "ConfigurationError", 0, task={"usage_date": "2062-11-20"}),
    Fault("a day of before there were such vendors", "", "ConfigurationError", 0, task={"usage_date": "2006-11-20"}),
    Fault("a day that the vendor no longer has", "", "ConfigurationError", 0, task={"usage_date": "2020-01-01"}),
]
TABLES = {
    "Keywords AI": (KeywordsAIUsersToS3Operator, KEYWORDSAI),
    "Langdock": (LangdockExportToS3Operator, LANGDOCK),
    "S3": (LangdockExportToS3Operator, S3),
    "Connection and day": (LangdockExportToS3Operator, TASKS),
}
#: Why each fatal error is one: how it is known that the same request fails again until a person changes something.
WHY = {
    "AuthenticationError": "the vendor itself refuses the key, with 401 or 403 that is no web page",
    "ConfigurationError": "a setting cannot be right, the API says in JSON that it has no such path, it has moved, its "
    "TLS certificate is not trusted, or a download leads where the connection does not allow",
    "RequestRejectedError": "the API itself, in JSON, refuses this very request",
    "ExportTooLargeError": "the day holds more rows than the vendor exports at once",
    "ArchiveAccessError": "S3 says that there is no such bucket, that the key is wrong or may not do this, or that it "
    "knows no checksums",
    "UnreadableValueError": "archived bytes do not change, and these hold money that cannot be read as money",
}
ROWS = [
    pytest.param(operator, fault, id=f"{title}: {fault.what}")
    for title, (operator, faults) in TABLES.items()
    for fault in faults
]


@pytest.fixture
def waits(monkeypatch):
    """Seconds that the clients would have waited between two tries; nobody waits."""
    slept: list[float] = []
    options = {"sleep": slept.append, "limiter": RateLimiter(0, sleep=slept.append)}
    for hook in (KeywordsAIHook, LangdockHook):
        build = hook.open_vendor
        monkeypatch.setattr(hook, "open_vendor", lambda self, build=build: build(self, **options))
    return slept


@pytest.fixture
def break_s3(set_connection, s3_server, dead_url, canned_server, canned):
    """Change the AWS connection; ``writes`` leads to a store without objects that answers so to what is written."""

    def _break(changes: dict[str, str]) -> None:
        endpoint_url = dead_url if changes.get("endpoint_url") == "dead" else s3_server.endpoint_url
        if "writes" in changes:
            status, code = changes["writes"].split()
            nothing = canned(body=b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")
            error = canned(int(status), f"<Error><Code>{code}</Code></Error>".encode())
            endpoint_url = canned_server([nothing, nothing, error]).url
        extra = {
            "endpoint_url": endpoint_url,
            "region_name": "us-east-1",
            "config_kwargs": {"s3": {"addressing_style": "path"}, "retries": {"max_attempts": 1}},
        }
        keys = {"login": s3_server.access_key, "password": s3_server.secret_key}
        keys |= {name: changes[name] for name in keys if name in changes}
        set_connection("aws_default", conn_type="aws", extra=extra, **keys)

    return _break


def run(operator) -> tuple[str, bool]:
    """Execute it; return the name of its error or what became of the day, and whether Airflow would try again."""
    try:
        (summary,) = operator.execute({})
    except AirflowFailException as error:  # what it was made from is its context
        return type(error.__context__).__name__, False
    except UsageProviderError as error:
        return type(error).__name__, True
    return EMPTY if summary["empty"] else ARCHIVED, False


@pytest.mark.parametrize(("operator", "fault"), ROWS)
def test_a_fault_ends_as_the_matrix_says(
    connect_vendors, break_s3, waits, sandbox, s3_server, archive_url, objects, operator, fault
):
    connect_vendors(f"sk-acme;{fault.switches}".rstrip(";"), **fault.extra)
    if fault.s3:
        break_s3(fault.s3)
    task = operator(task_id="archive", **{"archive_url": archive_url, "usage_date": DAY, **fault.task})
    assert run(task) == (fault.outcome, fault.is_retried)
    asked = Counter((request.port_role, request.query.get("page")) for request in sandbox.requests)
    assert max(asked.values(), default=0) == fault.asked
    names = {key.rpartition("/")[2].partition(".")[0] for key in objects()}
    assert (
        names == {"a snapshot": {"part-00000", "_manifest"}, "a manifest": {"_manifest"}, "nothing": set()}[fault.left]
    )
    uploads = s3_server.client().list_multipart_uploads(Bucket=s3_server.bucket).get("Uploads", [])
    assert uploads == []
    assert all(0 <= seconds <= 60 for seconds in waits)


def render() -> str:
    """The page."""
    lines = [
        "# Faults and what becomes of them",
        "",
        "<!-- Made from the rows of tests/airflow/test_fault_matrix.py, which runs each of them. -->",
        "",
        "Each row is run through the real operators, against a real S3 server and vendors that misbehave on purpose.",
        "",
        "- *Sandbox* is the switch of the sandbox vendors that shows it: `sk-acme;<switch>` as the API key.",
        "- *Asked* is how often the client sent the request that fails (where none does, the most frequent one) within",
        "  one try of the task. The pauses between grow up to a minute, or are what the vendor asks for.",
        "- *Airflow retries* is no where a retry cannot help: the task fails at once, whatever its `retries`, and says",
        "  what to change.",
        "- *Asked* of the last two tables is how often the vendor was asked for an export.",
        "- *On S3* is what this try left. An upload that was begun is aborted.",
    ]
    for title, (_, faults) in TABLES.items():
        lines += ["", f"## {title}", "", "| Fault | Sandbox | Outcome | Asked | Airflow retries | On S3 |"]
        lines += ["|---|---|---|---|---|---|", *(fault.row for fault in faults)]
    lines += [
        "",
        "## Errors that a retry cannot mend",
        "",
        "Everything else, also what nobody foresaw, is left to Airflow's retries, and waited out by a sensor.",
        "",
        "| Error | It is known to fail again because | Rows above |",
        "|---|---|---|",
    ]
    faults = [fault for _, table in TABLES.values() for fault in table]
    for name, kind in fatal_kinds().items():
        shown = dict.fromkeys(fault.what for fault in faults if fault.outcome == name)
        lines.append(f"| `{name}` | {WHY.get(name, kind.__doc__)} | {'; '.join(shown)} |")
    return "\n".join(lines) + "\n"


def fatal_kinds() -> dict[str, type[FatalError]]:
    """Every fatal error by its name."""
    kinds = [kind for kind in vars(exceptions).values() if isinstance(kind, type) and issubclass(kind, FatalError)]
    return {kind.__name__: kind for kind in kinds if kind is not FatalError}


def test_every_error_that_is_fatal_says_why():
    assert set(WHY) <= set(fatal_kinds())
    assert all(name in WHY or kind.__doc__.count("\n") == 0 for name, kind in fatal_kinds().items())


def test_the_page_shows_what_was_tested():
    if os.environ.get("UPDATE_DOCS"):
        PAGE.write_text(render(), encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == render(), "run this test with UPDATE_DOCS=1"
