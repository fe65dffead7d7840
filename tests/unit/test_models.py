"""Windows are whole local days, and every run resolves to the day its documentation says."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from airflow_usage_provider.exceptions import ConfigurationError
from airflow_usage_provider.models import FileFormat, UsageWindow, load_zone, parse_usage_date, resolve_usage_date

DAY = date(2026, 11, 20)
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("day", "timezone", "start", "hours"),
    [
        ("2026-11-20", "UTC", "2026-11-20T00:00:00+00:00", 24),
        ("2026-03-29", "Europe/Berlin", "2026-03-29T00:00:00+01:00", 23),
        ("2026-10-25", "Europe/Berlin", "2026-10-25T00:00:00+02:00", 25),
        ("2026-11-01", "America/Los_Angeles", "2026-11-01T00:00:00-07:00", 25),
        ("2026-07-01", "Asia/Kolkata", "2026-07-01T00:00:00+05:30", 24),
        ("2026-10-04", "Australia/Lord_Howe", "2026-10-04T00:00:00+10:30", 23.5),
        ("2026-04-24", "Africa/Cairo", "2026-04-24T00:00:00+02:00", 23),
    ],
)
def test_a_window_is_the_local_day_however_long(day: str, timezone: str, start: str, hours: float) -> None:
    window = UsageWindow.parse(day, timezone)
    length = window.end.astimezone(UTC) - window.start.astimezone(UTC)
    assert window.start.isoformat() == start
    assert length == timedelta(hours=hours)
    assert window.as_dict() == {"start": start, "end": window.end.isoformat(), "timezone": timezone}


def test_windows_of_neighbouring_days_touch() -> None:
    days = [UsageWindow(date(2026, 10, 24) + timedelta(days=n), "Europe/Berlin") for n in range(3)]
    assert [day.end for day in days[:2]] == [day.start for day in days[1:]]


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../etc/passwd", "Europe", "\x00", None])
def test_a_zone_that_does_not_exist_is_refused_with_an_example(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"Europe/Berlin"):
        load_zone(name)


@pytest.mark.parametrize("value", ["2026-11-20", " 2026-11-20\n", DAY, datetime(2026, 11, 20, 23, tzinfo=UTC)])
def test_a_usage_date_is_a_date_or_its_text(value: Any) -> None:
    assert parse_usage_date(value) == DAY
    assert type(parse_usage_date(value)) is date


@pytest.mark.parametrize(
    "value",
    ["20.11.2026", "2026-11-31", "20261120", "2026-W47-5", "2026-11-20T00:00:00", "", "\u0662026-11-20", 20261120],
)
def test_anything_else_is_refused_and_named(value: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"is not a date.*YYYY-MM-DD"):
        UsageWindow.parse(value)


def resolve(timezone: str = "UTC", **context: Any) -> date:
    return resolve_usage_date(context, timezone)


def whole_context() -> dict[str, Any]:
    """Everything a run can say of its day, each naming another one."""
    return {
        "params": {"usage_date": "2026-01-01"},
        "partition_key": "2026-02-02",
        "data_interval_start": datetime(2026, 3, 3, tzinfo=UTC),
        "data_interval_end": datetime(2026, 3, 4, tzinfo=UTC),
        "logical_date": datetime(2026, 4, 5, tzinfo=UTC),
        "dag_run": SimpleNamespace(run_after=datetime(2026, 5, 6, tzinfo=UTC)),
    }


def test_the_day_is_looked_for_in_the_documented_order() -> None:
    context, found = whole_context(), []
    for name in ("params", "partition_key", "data_interval_start", "logical_date", "dag_run"):
        found.append(resolve_usage_date(context).isoformat())
        del context[name]
    assert found == ["2026-01-01", "2026-02-02", "2026-03-03", "2026-04-04", "2026-05-05"]


def test_a_param_that_is_no_date_is_an_error_and_not_passed_over() -> None:
    with pytest.raises(ConfigurationError, match="'yesterday'"):
        resolve_usage_date(whole_context() | {"params": {"usage_date": "yesterday"}})


@pytest.mark.parametrize("params", [None, {}, {"usage_date": None}, {"usage_date": ""}])
def test_a_param_without_a_value_is_passed_over(params: Any) -> None:
    assert resolve_usage_date(whole_context() | {"params": params}) == date(2026, 2, 2)


@pytest.mark.parametrize("key", ["2026-11-20", "2026-11-20T00:00:00", "20261120", "2026-11-20|eu"])
def test_a_partition_key_that_begins_with_a_date_is_that_day(key: str) -> None:
    assert resolve(partition_key=key, logical_date=datetime(2026, 1, 1, tzinfo=UTC)) == DAY


@pytest.mark.parametrize("key", ["eu-west", "2026-W47", "2026-W47-5", "2026-11", "2026-13-01", "202611201", "42"])
def test_a_partition_key_that_is_no_day_leaves_the_run_to_tell(key: str) -> None:
    assert resolve(partition_key=key, logical_date=NOON) == DAY


def test_an_interval_without_a_length_is_no_interval() -> None:
    assert resolve(data_interval_start=NOON, data_interval_end=NOON, logical_date=NOON) == DAY
    assert resolve(data_interval_start=NOON, data_interval_end=None, run_after=NOON) == DAY


def test_the_run_object_tells_what_the_context_does_not() -> None:
    run = SimpleNamespace(
        partition_key=None, data_interval_start=None, data_interval_end=None, logical_date=None, run_after=NOON
    )
    assert resolve(dag_run=run) == DAY
    run.logical_date = NOON - timedelta(days=1)
    assert resolve(dag_run=run) == date(2026, 11, 19)
    run.data_interval_start, run.data_interval_end = NOON - timedelta(days=9), NOON
    assert resolve(dag_run=run) == date(2026, 11, 12)
    run.partition_key = "2026-06-06"
    assert resolve(dag_run=run) == date(2026, 6, 6)
    assert resolve(dag_run=run, partition_key="2026-07-07") == date(2026, 7, 7)


@pytest.mark.parametrize(
    ("timezone", "interval_day", "day_before"),
    [
        ("UTC", "2026-11-20", "2026-11-19"),
        ("Pacific/Auckland", "2026-11-21", "2026-11-20"),
        ("America/Los_Angeles", "2026-11-20", "2026-11-19"),
        ("Asia/Kolkata", "2026-11-21", "2026-11-20"),
    ],
)
def test_instants_are_read_in_the_days_zone(timezone: str, interval_day: str, day_before: str) -> None:
    evening = datetime(2026, 11, 20, 20, tzinfo=UTC)
    interval = {"data_interval_start": evening, "data_interval_end": evening + timedelta(days=1)}
    assert resolve(timezone, **interval).isoformat() == interval_day
    assert resolve(timezone, logical_date=evening).isoformat() == day_before
    assert resolve(timezone, run_after=evening).isoformat() == day_before


def test_a_local_midnight_is_the_day_it_begins() -> None:
    midnight = datetime(2026, 11, 20, tzinfo=ZoneInfo("America/Los_Angeles"))
    interval = {"data_interval_start": midnight, "data_interval_end": midnight + timedelta(days=1)}
    assert resolve("America/Los_Angeles", **interval) == DAY
    assert resolve("UTC", **interval) == DAY


def test_a_run_without_any_time_is_an_error_that_says_what_to_give() -> None:
    with pytest.raises(ConfigurationError, match="Give usage_date"):
        resolve(params={}, dag_run=SimpleNamespace())


def test_file_formats_know_their_extension_and_media_type() -> None:
    assert (FileFormat.CSV.extension, FileFormat.CSV.content_type) == ("csv", "text/csv")
    assert (FileFormat.JSON_LINES.extension, FileFormat.JSON_LINES.content_type) == ("jsonl", "application/x-ndjson")
