"""An archive of millions of objects: only what is asked for is listed, and memory does not grow with the rest."""

from __future__ import annotations

import json
import sys
import tracemalloc
import urllib.request
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import pytest

from airflow_usage_provider.archive.catalog import Selection, iter_catalog
from airflow_usage_provider.archive.objects import StoredObject
from airflow_usage_provider.cli import main
from benchmarks.archive import NAMES, STREAMS, Names
from benchmarks.measure import Server


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name, value in (("ACCESS_KEY_ID", "x"), ("SECRET_ACCESS_KEY", "x"), ("CONFIG_FILE", "/nonexistent")):
        monkeypatch.setenv(f"AWS_{name}", value)
    with Server("archive", "--latency", 0) as running:
        yield f"http://127.0.0.1:{running.port}"


def ask(url: str, *arguments: str) -> dict[str, int]:
    """Run a command on all of it, and return what the server was asked."""
    assert main([*arguments, "--endpoint-url", url, "--region", "us-east-1"]) == 0
    sys.stdout.flush()
    with urllib.request.urlopen(f"{url}/requests") as answer:
        asked: dict[str, int] = json.load(answer)
    return asked


def test_a_day_of_seven_series_takes_a_listing_for_each(server: str, capfd: Any) -> None:
    asked = ask(server, "show", "s3://archive", "2026-10-17", "--account", "team0042")
    assert asked == {"list": 3 + len(STREAMS), "get": 5 * len(STREAMS)}


def test_a_month_takes_a_listing_for_each_series(server: str, capfd: Any) -> None:
    asked = ask(server, "ls", "s3://archive", "--account", "team0042", "--since", "2026-10-01", "--until", "2026-10-30")
    assert asked == {"list": 3 + len(STREAMS), "get": 30 * len(STREAMS)}


class Virtual:
    """Objects that are nowhere."""

    def __init__(self, names: Names) -> None:
        self.names = names

    def list(self, prefix: str, after: str = "") -> Iterator[StoredObject]:
        return (StoredObject(name, 1) for name, _ in self.names.behind(prefix, after, ""))

    def level(self, prefix: str) -> Iterator[StoredObject | str]:
        return (name for name, _ in self.names.behind(prefix, "", "/"))


def peak(names: Names) -> int:
    objects: Any = Virtual(names)
    tracemalloc.start()
    count = sum(1 for _ in iter_catalog(objects, Selection(), jobs=1, now=datetime(2027, 1, 1, tzinfo=UTC)))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == names.accounts * len(STREAMS) * names.days
    return most


def test_memory_does_not_grow_with_the_days_or_the_series_of_an_archive() -> None:
    peak(Names(accounts=1, days=10))  # what is remembered once
    small = peak(Names(accounts=1, days=150))
    assert peak(Names(accounts=1, days=300)) < 1.3 * small
    assert peak(Names(accounts=3, days=150)) < 1.3 * small


def test_the_names_of_the_server_are_sorted_and_as_many_as_it_says() -> None:
    names = Names(accounts=2, days=3, first=date(2026, 12, 30))
    assert list(names) == sorted(names)
    assert len(set(names)) == len(names) == 2 * 7 * 3 * 9
    assert len(NAMES) > 6_800_000
