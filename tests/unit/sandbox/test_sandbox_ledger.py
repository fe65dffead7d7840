"""Every stream and grouping of both vendors is a sum over one ledger."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import requests

from sandbox.ledger import Ledger

if TYPE_CHECKING:
    from sandbox.server import Sandbox

DAY = (datetime.now(UTC) - timedelta(days=40)).date()
Row = dict[str, Any]


def export(sandbox: Sandbox, kind: str, group_by: str | None = None, days: int = 1, key: str = "sk-acme") -> list[Row]:
    ends = (f"{DAY}T00:00:00.000Z", f"{DAY + timedelta(days=days - 1)}T23:59:59.999Z")
    body = {name: {"date": end, "timezone": "UTC"} for name, end in zip(("from", "to"), ends, strict=True)}
    answer = requests.post(
        f"{sandbox.url}/export/{kind}",
        json=body | ({"group_by": group_by} if group_by else {}),
        headers={"Authorization": f"Bearer {key}"},
        timeout=10,
    )
    text = requests.get(answer.json()["data"]["downloadUrl"], timeout=10).content.decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


def list_users(sandbox: Sandbox, summary_type: str, day: date = DAY, key: str = "sk-acme") -> Row:
    answer = requests.get(
        f"{sandbox.url}/api/users/",
        {"summary_type": summary_type, "date": str(day), "page_size": "1000"},
        headers={"Authorization": f"Bearer {key}"},
        timeout=30,
    )
    listing: Row = json.loads(answer.text, parse_float=Decimal)
    return listing


def add_up(rows: list[Row], column: str, *by: str) -> dict[tuple[Any, ...], Decimal]:
    totals: Counter[tuple[Any, ...]] = Counter()
    for row in rows:
        totals[tuple(row[name] for name in by)] += Decimal(row[column])  # type: ignore[assignment]
    return dict(totals)  # type: ignore[arg-type]


@pytest.mark.parametrize("switches", ["", ";rows=24", ";revise_after=1", ";byok=1"])
@pytest.mark.parametrize("column", ["total_cost_usd", "requests"])
def test_a_keys_figures_are_the_sum_of_those_by_model(sandbox: Sandbox, switches: str, column: str) -> None:
    key = f"sk-acme{switches}"
    whole, split = ([export(sandbox, "api-keys", group, key=key) for _ in range(2)][-1] for group in (None, "model"))
    by_key, by_model = add_up(whole, column, "api_key_id"), add_up(split, column, "api_key_id")
    assert {key: by_key[key] for key in by_model} == by_model
    assert "rows=" in switches or by_key == by_model


@pytest.mark.parametrize("group_by", ["source", "deployment"])
def test_models_are_the_sum_of_their_groups(sandbox: Sandbox, group_by: str) -> None:
    names = ("provider", "name", "bring_your_keys")
    whole, split = (export(sandbox, "models", group, key="sk-acme;byok=1") for group in (None, group_by))
    assert add_up(whole, "total_cost_usd", *names) == add_up(split, "total_cost_usd", *names)


def test_models_and_users_show_the_same_money_and_keys_a_part_of_it(sandbox: Sandbox) -> None:
    models = sum(add_up(export(sandbox, "models", key="sk-acme;byok=1"), "total_cost_usd").values())
    users = sum(add_up(export(sandbox, "users"), "payg_cost_usd").values())
    keys = sum(add_up(export(sandbox, "api-keys"), "total_cost_usd").values())
    assert 0 < keys < models == users


def test_a_window_is_the_sum_of_its_days(sandbox: Sandbox) -> None:
    week = add_up(export(sandbox, "api-keys", days=7), "total_cost_usd")
    ledger = Ledger(7, "acme")
    events = [event for n in range(7) for event in ledger.events(0, DAY + timedelta(days=n))]
    assert week == {(): sum((event.cost for event in events if event.key is not None), Decimal(0))}


@pytest.mark.parametrize("summary_type", ["daily", "weekly", "monthly"])
@pytest.mark.parametrize("switches", ["", ";users=700", ";revise_after=1"])
def test_users_add_up_to_the_vendors_own_totals(sandbox: Sandbox, summary_type: str, switches: str) -> None:
    answer = [list_users(sandbox, summary_type, key=f"sk-acme{switches}") for _ in range(2)][-1]
    totals = answer["aggregation_data"]
    assert len(answer["results"]) == totals["total_users"] > 0
    assert sum(row["requests"] for row in answer["results"]) == totals["daily_requests"]
    cost = totals.get("monthly_cost", totals.get("montly_cost"))
    assert sum(row["cost"] for row in answer["results"]) == cost > 0


def test_a_months_users_are_the_sum_of_its_days(sandbox: Sandbox) -> None:
    first = DAY.replace(day=1)
    days = [first + timedelta(days=n) for n in range(31) if (first + timedelta(days=n)).month == first.month]
    rows = [row for day in days for row in list_users(sandbox, "daily", day)["results"]]
    month = list_users(sandbox, "monthly")["results"]
    assert add_up(rows, "cost", "customer_identifier") == add_up(month, "cost", "customer_identifier")


def test_a_revision_knows_of_late_events_and_forgets_none() -> None:
    ledger = Ledger(7, "acme")
    early, late = (set(ledger.events(0, DAY, revision)) for revision in (0, 1))
    assert early < late
    assert {event.member % 3 for event in late - early} == {0}
