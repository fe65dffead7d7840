"""Metrics as a StatsD server gets them: Airflow's own StatsD client sends to a UDP socket of this test."""

from __future__ import annotations

import inspect
import re
import socket
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from airflow_usage_provider.compat import Stats
from airflow_usage_provider.exceptions import TransientError
from airflow_usage_provider.operators.keywordsai import KeywordsAIUsersToS3Operator
from airflow_usage_provider.operators.langdock import LangdockExportToS3Operator

pytest.importorskip("statsd")
DAY = (datetime.now(UTC) - timedelta(days=2)).date().isoformat()
PAGE = Path(__file__).parents[2] / "docs" / "observability.md"
TAGS = {"vendor": "langdock", "account": "acme", "stream": "api_keys"}
KINDS = {"c": "counter", "ms": "timer"}


@dataclass
class StatsdServer:
    """What was sent since the last look."""

    sock: socket.socket

    def read(self) -> dict[str, tuple[str, float, dict[str, str]]]:
        """Kind, value and tags by name; each name was sent once."""
        found = {}
        while True:
            try:
                line = self.sock.recv(2048).decode()
            except BlockingIOError:
                return found
            name_and_tags, value, kind = re.fullmatch(r"airflow\.([^:]+):([^|]+)\|(\w+)", line).groups()
            name, *tags = name_and_tags.split(",")
            if name.startswith("usage_provider."):
                assert name not in found
                found[name] = KINDS[kind], float(value), dict(tag.split("=") for tag in tags)

    def count(self) -> dict[str, int]:
        """The counters' values by the last part of their names."""
        sent = self.read()
        return {name.split(".")[-1]: int(value) for name, (kind, value, _) in sent.items() if kind == "counter"}


@pytest.fixture
def statsd(monkeypatch):
    """A StatsD server, of which Airflow is told as its process of a task is at its start."""
    stats_utils = pytest.importorskip("airflow.sdk.observability.metrics.stats_utils")
    if "export_legacy_names" not in inspect.signature(Stats.initialize).parameters:
        pytest.skip("before Airflow 3.3, Stats begins otherwise")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        settings = {"HOST": "127.0.0.1", "PORT": str(sock.getsockname()[1]), "INFLUXDB_ENABLED": "True", "ON": "True"}
        for name, value in settings.items():
            monkeypatch.setenv(f"AIRFLOW__METRICS__STATSD_{name}", value)
        logger = stats_utils.get_stats_factory()()
        Stats.initialize(factory=lambda: logger, export_legacy_names=False)
        yield StatsdServer(sock)
        logger.statsd.close()
        monkeypatch.setenv("AIRFLOW__METRICS__STATSD_ON", "False")
        Stats.initialize(factory=stats_utils.get_stats_factory(), export_legacy_names=False)


def archive(archive_url: str, **kwargs: object) -> dict:
    operator = LangdockExportToS3Operator(task_id="archive", archive_url=archive_url, usage_date=DAY, **kwargs)
    return operator.execute({})[0]


def test_a_day_is_counted_under_vendor_account_and_stream(statsd, connect_vendors, archive_url):
    connect_vendors()
    summary = archive(archive_url, compression="none")
    sent = statsd.read()
    assert all(tags == TAGS for _, _, tags in sent.values())
    counts = {name.split(".")[-1]: value for name, (kind, value, _) in sent.items() if kind == "counter"}
    assert counts == {
        "snapshots": 1, "rows": summary["rows"], "bytes": summary["bytes"], "stored_bytes": summary["bytes"],
        "requests": 1, "retries": 0, "failures": 0, "revisions": 0, "revised_rows": 0, "unchanged": 0, "empty": 0,
    }  # fmt: skip
    kind, milliseconds, _ = sent["usage_provider.archive.duration"]
    assert (kind, 1 < milliseconds < 60_000) == ("timer", True)


def test_an_unchanged_day_stores_nothing_and_a_revised_one_counts_what_it_differs_by(
    statsd, connect_vendors, archive_url
):
    connect_vendors("sk-acme;rows=20")
    archive(archive_url)
    first = statsd.count()
    archive(archive_url)
    again = statsd.count()
    assert (again["unchanged"], again["stored_bytes"], again["revisions"]) == (1, 0, 0)
    assert (again["rows"], again["bytes"]) == (first["rows"], first["bytes"]) == (20, first["bytes"])
    connect_vendors("sk-acme;rows=13")
    archive(archive_url)
    revised = statsd.count()
    assert (revised["revisions"], revised["revised_rows"], revised["unchanged"]) == (1, 7, 0)
    assert revised["stored_bytes"] > 0


def test_an_empty_day_is_a_snapshot(statsd, connect_vendors, archive_url):
    connect_vendors("sk-acme;empty=404")
    archive(archive_url)
    counts = statsd.count()
    assert (counts["snapshots"], counts["empty"], counts["rows"], counts["stored_bytes"]) == (1, 1, 0, 0)


def test_a_day_that_fails_is_counted_with_what_was_asked_for_it(statsd, connect_vendors, archive_url):
    connect_vendors("sk-acme;record_count=+1")
    with pytest.raises(TransientError):
        archive(archive_url)
    sent = statsd.read()
    counts = {name.split(".")[-1]: value for name, (kind, value, _) in sent.items() if kind == "counter" and value}
    assert counts == {"failures": 1, "requests": 1}
    assert sent["usage_provider.archive.duration"][1] > 0


def test_a_new_try_is_a_request_and_a_retry_of_its_own_day(statsd, connect_vendors, archive_url):
    connect_vendors("sk-acme;ready_after_requests=1")
    archive(archive_url)
    counts = statsd.count()
    assert (counts["requests"], counts["retries"]) == (2, 1)


def test_every_page_of_a_listing_is_a_request(statsd, connect_vendors, archive_url):
    connect_vendors("sk-acme;users=120")
    KeywordsAIUsersToS3Operator(
        task_id="archive", archive_url=archive_url, usage_date=DAY, page_size=50, pages_in_flight=1
    ).execute({})
    assert statsd.count()["requests"] == 3


def test_an_account_may_have_any_name(statsd, connect_vendors, archive_url):
    connect_vendors(account="Müller, Söhne = 1|c:2")
    archive(archive_url)
    assert {tags["account"] for _, _, tags in statsd.read().values()} == {"M_ller__S_hne___1_c_2"}


def test_the_page_of_the_docs_names_every_metric_and_no_other(statsd, connect_vendors, archive_url):
    connect_vendors()
    archive(archive_url)
    sent = {name: kind for name, (kind, _, _) in statsd.read().items()}
    rows = re.findall(r"^\| `(usage_provider\.[a-z_.]+)` \| (\w+) \|", PAGE.read_text(), re.MULTILINE)
    money = {"usage_provider.archive.cost": "gauge"}  # told by those who look at tables: test_alerts.py
    assert dict(rows) == sent | money
    assert len(rows) == len(sent | money)
