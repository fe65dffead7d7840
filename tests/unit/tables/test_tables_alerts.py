"""Budgets count exactly, and a spike is told by what its weekday costs."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from airflow_usage_provider.archive.keys import Series
from airflow_usage_provider.exceptions import ConfigurationError, UnreadableValueError
from airflow_usage_provider.schema import StreamSchema
from airflow_usage_provider.tables.alerts import DayCost, find_spending, read_day_costs
from airflow_usage_provider.tables.layout import Month
from airflow_usage_provider.tables.owners import Owners, parse_owners
from tests.unit.tables.months import MonthArchive

OTHER = Series("other", "acme", "costs")
SCHEMA = StreamSchema(
    ("who",),
    {"who": "text", "cost": "money", "currency": "text"},
    {"cost": "cost", "currency": "currency", "charges": "api", "principal": "who", "principal_kind": "user"},
)
FRIDAY = date(2026, 10, 30)


@pytest.fixture
def archive(tmp_path: Path) -> MonthArchive:
    return MonthArchive(tmp_path / "archive")


def store(archive: MonthArchive, day: date, cost: str, currency: str = "USD", who: str = "ana") -> None:
    archive.store_rows(OTHER, day, [{"who": who, "cost": cost, "currency": currency}], SCHEMA)


@pytest.mark.parametrize(("by", "name"), [("principal", "ana"), ("owner", "Team"), ("account", "other/acme")])
@pytest.mark.parametrize(("limit", "told"), [("1", [True]), ("10", []), ("3.75", [False]), ("2.9999999999", [True])])
def test_a_budget_is_told_of_when_it_is_nearly_spent_and_when_it_is_passed(
    archive: MonthArchive, by: str, name: str, limit: str, told: list[bool]
) -> None:
    store(archive, FRIDAY, "1")
    store(archive, FRIDAY - timedelta(days=1), "2.00")
    store(archive, FRIDAY - timedelta(days=2), "900", "EUR")
    found = find_spending(
        archive.objects,
        Month(2026, 10),
        by=by,
        budgets={name: Decimal(limit), "else": Decimal(1)},
        currency="USD",
        warn_at=Decimal("0.8"),
        owners=parse_owners(b"principal,owner\nana,Team\n"),
    )
    assert [each.is_over for each in found] == told
    assert all(str(each).startswith(f"{name} has spent 3.00 of {limit} USD") for each in found)


def test_money_that_nobody_knows_is_within_no_budget(archive: MonthArchive) -> None:
    archive.store_rows(OTHER, FRIDAY, [{"who": "ana", "cost": None, "currency": "USD"}], SCHEMA)
    with pytest.raises(UnreadableValueError, match="there is no cost"):
        find_spending(
            archive.objects,
            Month(2026, 10),
            by="principal",
            budgets={"ana": Decimal(1)},
            currency="USD",
            warn_at=Decimal(1),
            owners=Owners(),
        )


def test_a_subject_that_does_not_exist_is_a_sentence(archive: MonthArchive) -> None:
    with pytest.raises(ConfigurationError, match="owner, principal, account"):
        find_spending(
            archive.objects,
            Month(2026, 10),
            by="team",
            budgets={},
            currency="USD",
            warn_at=Decimal(1),
            owners=Owners(),
        )


def test_a_day_is_held_against_its_weekday_alone(archive: MonthArchive) -> None:
    for week in range(1, 9):
        store(archive, FRIDAY - timedelta(weeks=week), "1")
        store(archive, FRIDAY - timedelta(weeks=week, days=1), "500")
    store(archive, FRIDAY, "3")
    (cost,) = read_day_costs(archive.objects, FRIDAY)
    assert (cost.cost, cost.before) == (3, (Decimal(1),) * 8)
    assert cost.is_spike(Decimal(5), Decimal(1))
    assert not cost.is_spike(Decimal(5), Decimal(2))


@pytest.mark.parametrize(
    ("cost", "before", "is_spike"),
    [
        ("20", "10 11 9 10", True),
        ("13", "10 11 9 10", False),
        ("20", "10 30 1 22 15", False),
        ("99", "1 1 1", False),
        ("1000", "10 10 10 10 900", True),
        ("0", "10 11 9 10", False),
    ],
)
def test_one_odd_day_before_neither_makes_nor_hides_a_spike(cost: str, before: str, is_spike: bool) -> None:
    day = DayCost("v", "a", "s", FRIDAY, "USD", Decimal(cost), tuple(map(Decimal, before.split())))
    assert day.is_spike(Decimal(5), Decimal(1)) is is_spike
