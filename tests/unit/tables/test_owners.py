"""Each charge is somebody's or nobody's, by principal and day, and never two people's."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from airflow_usage_provider.archive.keys import Series
from airflow_usage_provider.exceptions import ConfigurationError
from airflow_usage_provider.schema import StreamSchema
from airflow_usage_provider.tables.charges import choose_pots, read_views
from airflow_usage_provider.tables.figures import Figures, gather
from airflow_usage_provider.tables.layout import Month
from airflow_usage_provider.tables.owners import parse_owners
from tests.unit.tables.months import OCTOBER, MonthArchive

HEADER = "vendor,account,principal,owner,cost_center,valid_from,valid_to\n"
SCHEMA = StreamSchema(
    ("who",),
    {"who": "text", "cost": "money"},
    {"cost": "cost", "currency": "USD", "charges": "api", "principal": "who", "principal_kind": "user"},
)


@pytest.fixture
def archive(tmp_path: Path) -> MonthArchive:
    archive = MonthArchive(tmp_path / "archive")
    for day in OCTOBER[:2]:
        rows = [{"who": who, "cost": cost} for who, cost in (("ana@a", "0.1"), ("ben@a", "0.02"), ("eve@b", "0.003"))]
        archive.store_rows(Series("other", "acme", "costs"), day, rows, SCHEMA)
    return archive


def figures(archive: MonthArchive, lines: str) -> Figures:
    pots = choose_pots(read_views(archive.objects, Month(2026, 10)))
    return gather(archive.objects, pots, parse_owners((HEADER + lines).encode()))


def owners(archive: MonthArchive, lines: str) -> dict[str, Decimal]:
    return {name: cost for (name, _, _), cost in figures(archive, lines).owners.items()}


def test_what_nobody_owns_is_a_line_of_its_own_and_totals_are_kept(archive: MonthArchive) -> None:
    found = figures(archive, ",,*@a,Team A,100,,\n")
    assert found.owners == {("Team A", "100", "USD"): Decimal("0.24"), ("", "", "USD"): Decimal("0.006")}
    assert sum(found.owners.values()) == found.totals[("USD",)] == Decimal("0.246")


def test_an_owner_is_one_from_a_day_to_a_day_both_included(archive: MonthArchive) -> None:
    lines = "other,acme,ana@a,First,,,2026-10-01\nother,acme,ana@a,Second,,2026-10-02,2026-10-02\n"
    assert owners(archive, lines) == {"First": Decimal("0.1"), "Second": Decimal("0.1"), "": Decimal("0.046")}


@pytest.mark.parametrize(
    ("dates", "changes"),
    [
        (",", False),
        ("2026-10-01,2026-10-31", False),
        ("2026-10-02,", True),
        (",2026-10-30", True),
        ("2026-11-01,", False),
        (",2026-09-30", False),
    ],
)
def test_whether_owners_change_within_some_days_is_known(dates: str, changes: bool) -> None:
    owners = parse_owners(f"{HEADER},,ana@a,Team A,,{dates}\n".encode())
    assert owners.change_between(OCTOBER[0], OCTOBER[-1]) is changes


def test_a_line_of_another_account_or_vendor_claims_nothing(archive: MonthArchive) -> None:
    assert owners(archive, "other,acme-2,*,A,,,\nelse,acme,*,B,,,\n") == {"": Decimal("0.246")}


def test_two_lines_that_claim_one_charge_are_a_sentence(archive: MonthArchive) -> None:
    with pytest.raises(ConfigurationError, match=r"Lines 2 \(A\) and 3 \(B\) .* both claim 'ana@a' of other/acme"):
        owners(archive, ",,*@a,A,,,\n,,ana@a,B,,,\n")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "has no column principal, owner"),
        (b"principal,owner,colour\n", "has a column 'colour'"),
        (b"principal,owner\na,\n", "names no owner in line 2"),
        (b"principal,owner,valid_from\na,A,1.10.2026\n", "has no date in line 2"),
        (b"principal,owner,valid_from,valid_to\na,A,2026-10-02,2026-10-01\n", "ends before it begins in line 2"),
        (b"principal,owner\na,A,B\n", "has too many cells in line 2"),
        ("principal,owner\na,Z\u00fcrich\n".encode("cp1252"), "is not UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_sentence(body: bytes, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        parse_owners(body)
