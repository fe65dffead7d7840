from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from airflow_usage_provider.exceptions import ConfigurationError
from airflow_usage_provider.models import UsageWindow, check_day
from airflow_usage_provider.operators.days import plan_days, whole_number

DAY = date(2026, 11, 20)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def test_days_are_newest_first():
    days = plan_days(UsageWindow(DAY, "Europe/Berlin"), 2)
    assert [window.usage_date.day for window in days.windows] == [20, 19, 18]
    assert {window.timezone for window in days.windows} == {"Europe/Berlin"}
    assert days.skipped == 0


def test_days_before_the_horizon_are_skipped_and_counted():
    days = plan_days(UsageWindow(DAY), 7, horizon=date(2026, 11, 19))
    assert [window.usage_date.day for window in days.windows] == [20, 19]
    assert (days.skipped, days.oldest) == (6, date(2026, 11, 19))


def test_the_oldest_day_that_can_be_had_is_archived():
    assert len(plan_days(UsageWindow(DAY), 7, horizon=DAY).windows) == 1


def test_a_day_before_the_horizon_is_refused():
    with pytest.raises(ConfigurationError, match=r"2026-11-20 is older than what the vendor still has.*2026-11-21"):
        plan_days(UsageWindow(DAY), 7, horizon=date(2026, 11, 21))


@pytest.mark.parametrize(
    ("day", "zone", "sentence"),
    [
        ("2006-11-20", "UTC", "before 2015-01-01, when there was nothing"),
        ("2014-12-31", "UTC", "before 2015-01-01"),
        ("2062-11-20", "UTC", "is in the future; in UTC it is 2026-11-20"),
        ("2026-11-21", "UTC", "is in the future"),
        ("2026-11-21", "Pacific/Auckland", None),  # there it is that day already
        ("2026-11-20", "Pacific/Pago_Pago", None),
        ("2026-11-20", "UTC", None),
        ("2015-01-01", "UTC", None),
    ],
)
def test_a_day_that_cannot_be_is_refused_by_the_clock_of_its_zone(day, zone, sentence):
    window = UsageWindow.parse(day, zone)
    if sentence is None:
        check_day(window, now=NOON)
    else:
        with pytest.raises(ConfigurationError, match=sentence):
            check_day(window, now=NOON)


def test_a_look_back_does_not_reach_behind_the_first_day():
    assert len(plan_days(UsageWindow(date(2015, 1, 2)), 7).windows) == 2


@pytest.mark.parametrize("value", [7, "7", 7.0, " 7 "])
def test_a_whole_number_may_come_out_of_a_template(value):
    assert whole_number("lookback_days", value, least=0, most=400) == 7


@pytest.mark.parametrize(
    "value", [-1, 401, 1.5, "many", "", None, True, float("inf"), float("nan"), "1e999", [], 10**999]
)
def test_what_is_no_whole_number_is_refused_by_name(value):
    with pytest.raises(ConfigurationError, match=r"lookback_days is .*Give a whole number from 0 to 400"):
        whole_number("lookback_days", value, least=0, most=400)
