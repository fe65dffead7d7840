"""What must be equal is compared exactly, and what differs or is missing is told."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from airflow_usage_provider.cli import main
from airflow_usage_provider.exceptions import UnreconciledError
from airflow_usage_provider.tables.charges import read_views
from airflow_usage_provider.tables.close import check_month
from airflow_usage_provider.tables.layout import Month
from airflow_usage_provider.tables.reconcile import KINDS, Line, reconcile
from airflow_usage_provider.vendors.langdock.schemas import export_schema
from tests.unit.tables.months import API_KEYS, API_KEYS_BY_MODEL, OCTOBER, MonthArchive

NOVEMBER = datetime(2026, 11, 3, tzinfo=UTC)


@pytest.fixture
def archive(tmp_path: Path) -> MonthArchive:
    return MonthArchive(tmp_path / "archive")


def lines(archive: MonthArchive, days: int = 0) -> list[Line]:
    views = read_views(archive.objects, Month(2026, 10))
    return list(reconcile(archive.objects, views, OCTOBER[:days]))


def store_keys(archive: MonthArchive, cost: str, by_model: str) -> None:
    header = "api_key_id,requests,total_cost_usd"
    archive.store(API_KEYS, OCTOBER[0], f"{header}\nk,5,{cost}\n".encode(), 1, export_schema("api_keys"))
    body = f"{header},model\nk,5,{by_model},m\n".encode()
    archive.store(API_KEYS_BY_MODEL, OCTOBER[0], body, 1, export_schema("api_keys", "model"))


def test_a_month_of_the_sandbox_reconciles(archive: MonthArchive) -> None:
    for day in OCTOBER:
        archive.store_export(day)
        archive.store_export(day, "model")
        archive.store_users(day)
    archive.store_users(OCTOBER[-1], "monthly", at=NOVEMBER)
    archive.store_users(OCTOBER[8], "weekly", at=NOVEMBER)
    compared = lines(archive, 31)
    assert {line.kind for line in compared} == {"views", "vendor totals", "longer listings"}
    assert [line for line in compared if line.difference] == []
    assert len([line for line in compared if line.kind == "longer listings"]) == 4


def test_views_of_a_pot_that_differ_are_told_to_the_last_digit(archive: MonthArchive) -> None:
    store_keys(archive, "0.30", "0.3000000000000000000001")
    money, requests = lines(archive)
    assert money.difference == Decimal("1E-22")
    assert requests.difference == 0
    assert str(money) == (
        "views: langdock/acme api 2026-10-01: api_keys_by_model 0.3000000000000000000001, api_keys 0.30, "
        "difference 0.0000000000000000000001 USD"
    )


@pytest.mark.parametrize(
    ("name", "said", "unit"),
    [
        ("total_users", 99, "rows"),
        ("daily_requests", 1, "requests"),
        ("monthly_cost", "4.90", "USD"),
        ("montly_cost", "4.90", "USD"),
    ],
)
def test_rows_that_are_not_the_vendors_own_totals_are_told(
    archive: MonthArchive, name: str, said: object, unit: str
) -> None:
    archive.store_users(OCTOBER[0], envelope={"aggregation_data": {name: said}})
    (line,) = lines(archive)
    assert (line.kind, line.unit, line.right) == ("vendor totals", unit, (name, Decimal(str(said))))
    assert line.is_beyond(Decimal(0))


def test_rows_without_a_cost_are_told_and_keep_a_month_open(
    archive: MonthArchive, capsys: pytest.CaptureFixture[str]
) -> None:
    schema = export_schema("api_keys")
    body = b"api_key_id,requests,total_cost_usd\na,1,\nb,1,0.50\nc,1,\n"
    archive.store(API_KEYS, OCTOBER[0], body, 3, schema)
    told = "not priced: langdock/acme/api_keys 2026-10-01: without a cost 2, expected 0, difference 2 rows"
    assert [str(line) for line in lines(archive)] == [told]
    with pytest.raises(UnreconciledError, match=told):
        check_month(archive.objects, Month(2026, 10), as_of=NOVEMBER, partial=True, skip=KINDS)
    skipped = [word for kind in KINDS for word in ("--skip", kind)]
    assert main(["reconcile", str(archive.folder), "--month", "2026-10", *skipped]) == 1
    assert f"FINDING {told}" in capsys.readouterr().out


def test_a_view_with_a_row_that_has_no_cost_differs_by_it_from_the_other(archive: MonthArchive) -> None:
    store_keys(archive, "0.30", "")
    kinds = {line.kind: line.difference for line in lines(archive)}
    assert kinds == {"views": Decimal("-0.30"), "not priced": 1}


def test_a_longer_listing_counts_only_when_its_time_was_over_and_its_days_are_there(archive: MonthArchive) -> None:
    for day in OCTOBER[4:10]:
        archive.store_users(day, envelope={})
    archive.store_users(OCTOBER[8], "weekly", envelope={}, at=NOVEMBER)
    archive.store_users(OCTOBER[9], "weekly", envelope={})
    assert lines(archive) == []
    archive.store_users(OCTOBER[10], envelope={})
    assert [line.difference for line in lines(archive)] == [0, 0]


def test_a_day_that_is_missing_is_told_for_each_pot(archive: MonthArchive) -> None:
    archive.store_export(OCTOBER[0])
    archive.store_export(OCTOBER[2])
    (line,) = lines(archive, 3)
    assert (line.kind, line.subject) == ("missing days", "langdock/acme api 2026-10-02")
    assert line.is_beyond(Decimal(100))


def test_the_command_exits_with_1_beyond_the_tolerance(
    archive: MonthArchive, capsys: pytest.CaptureFixture[str]
) -> None:
    store_keys(archive, "0.30", "0.31")
    command = ["reconcile", str(archive.folder), "--month", "2026-10", "--as-of", "2026-10-02"]
    assert main(command) == 1
    printed = capsys.readouterr().out
    assert (
        "FINDING views: langdock/acme api 2026-10-01: api_keys_by_model 0.31, api_keys 0.30, difference 0.01 USD"
        in (printed)
    )
    assert "2026-10: 2 comparisons, 1 finding" in printed
    assert main([*command, "--tolerance", "0.01"]) == 0
    assert "NOTE views" in capsys.readouterr().out
    assert main([*command, "--skip", "views"]) == 0
    with pytest.raises(SystemExit):
        main([*command, "--tolerance", "-1"])
