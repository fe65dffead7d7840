"""A month is closed whole or not at all, and no close is ever replaced."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from airflow_usage_provider.archive.keys import Series
from airflow_usage_provider.exceptions import ArchiveCorruptError, UnreconciledError
from airflow_usage_provider.schema import StreamSchema
from airflow_usage_provider.tables.close import check_month, list_closes, read_close, seal_month, write_close
from airflow_usage_provider.tables.layout import Month
from airflow_usage_provider.tables.owners import Owners
from tests.unit.tables.months import OCTOBER, USERS, MonthArchive

MONTH = Month(2026, 10)
OTHER = Series("other", "acme", "costs")
SCHEMA = StreamSchema(("who",), {"who": "text", "cost": "money"}, {"cost": "cost", "currency": "USD", "charges": "api"})
CLOSED = datetime(2026, 11, 10, 13, tzinfo=UTC)


@pytest.fixture
def archive(tmp_path: Path) -> MonthArchive:
    archive = MonthArchive(tmp_path / "archive")
    for day in OCTOBER:
        store(archive, day, "0.10")
    return archive


def store(archive: MonthArchive, day: Any, cost: str, **fields: Any) -> None:
    archive.store_rows(OTHER, day, [{"who": "a", "cost": cost}], SCHEMA, **fields)


def revise(archive: MonthArchive, day: date, cost: str, at: datetime) -> None:
    """Archive a day's next answer, behind its first."""
    (before,) = archive.folder.rglob(f"usage_date={day}/snapshot=*/_manifest.json")
    snapshot_id, body = before.parent.name.removeprefix("snapshot="), before.read_bytes()
    store(archive, day, cost, at=at, revision=2, previous=snapshot_id, previous_sha256=hashlib.sha256(body).hexdigest())


def close(archive: MonthArchive, at: datetime) -> tuple[str, dict[str, Any]]:
    check_month(archive.objects, MONTH, as_of=at)
    sealed = seal_month(archive.objects, MONTH, now=at)
    return write_close(archive.objects, MONTH, as_of=at, now=at, owners=Owners(), sealed=sealed)


def test_a_close_has_the_totals_the_root_and_the_page(archive: MonthArchive) -> None:
    folder, said = close(archive, CLOSED)
    assert folder.startswith("closes/2026-10/20261110T130000Z-")
    assert said["totals"] == {"USD": "3.10"}
    assert (archive.folder / said["seal"]).exists()
    assert (said["previous"], said["difference"], said["revised"]) == (None, None, [])
    assert (
        json.loads((archive.folder / folder / "close.json").read_text()) == said == read_close(archive.objects, folder)
    )
    assert said["root"] in (archive.folder / folder / "report.html").read_text()


def test_closing_again_is_another_close_and_tells_the_difference(archive: MonthArchive) -> None:
    first, _ = close(archive, CLOSED)
    kept = (archive.folder / first / "close.json").read_bytes()
    revise(archive, OCTOBER[4], "0.35", CLOSED + timedelta(days=1))
    second, said = close(archive, CLOSED + timedelta(days=2))
    assert list_closes(archive.objects, MONTH) == [first, second]
    assert (archive.folder / first / "close.json").read_bytes() == kept
    assert (said["previous"], said["difference"]) == (first, {"USD": "0.25"})
    assert said["revised"] == [
        {"day": "other/acme api 2026-10-05", "currency": "USD", "before": "0.10", "after": "0.35"}
    ]


def test_a_close_tells_of_what_was_known_when_it_began(archive: MonthArchive) -> None:
    revise(archive, OCTOBER[0], "5", CLOSED + timedelta(hours=1))
    _, said = close(archive, CLOSED)
    assert said["totals"] == {"USD": "3.10"}


def test_a_month_with_a_missing_or_a_provisional_day_is_not_closed_unless_partly(tmp_path: Path) -> None:
    archive = MonthArchive(tmp_path / "archive")
    store(archive, OCTOBER[0], "1", maturity="provisional")
    with pytest.raises(UnreconciledError) as refused:
        check_month(archive.objects, MONTH, as_of=CLOSED)
    assert "missing days: other/acme api 2026-10-02" in str(refused.value)
    assert "and 21 more" in str(refused.value)
    assert check_month(archive.objects, MONTH, as_of=CLOSED, partial=True) == []
    with pytest.raises(UnreconciledError, match="nothing in the archive is a charge of 2026-09"):
        check_month(archive.objects, Month(2026, 9), as_of=CLOSED, partial=True)


def test_figures_that_do_not_agree_are_not_closed(archive: MonthArchive) -> None:
    finer = StreamSchema(("who", "model"), {**SCHEMA.columns, "model": "text"}, SCHEMA.roles)
    rows = [{"who": "a", "model": "m", "cost": "0.11"}]
    archive.store_rows(Series("other", "acme", "costs_by_model"), OCTOBER[0], rows, finer)
    with pytest.raises(UnreconciledError, match=r"difference 0\.01 USD"):
        check_month(archive.objects, MONTH, as_of=CLOSED)
    check_month(archive.objects, MONTH, as_of=CLOSED, tolerance=Decimal("0.01"))


def test_what_is_not_compared_is_said_by_the_close(archive: MonthArchive) -> None:
    said = {"aggregation_data": {"monthly_cost": "99"}}
    archive.store_rows(USERS, OCTOBER[0], [{"who": "a", "cost": "0.10"}], SCHEMA, envelope=said)
    with pytest.raises(UnreconciledError, match="vendor totals"):
        check_month(archive.objects, MONTH, as_of=CLOSED, partial=True)
    skip = ["vendor totals"]
    check_month(archive.objects, MONTH, as_of=CLOSED, partial=True, skip=skip)
    sealed = seal_month(archive.objects, MONTH, now=CLOSED)
    folder, close = write_close(
        archive.objects, MONTH, as_of=CLOSED, now=CLOSED, owners=Owners(), sealed=sealed, skip=skip
    )
    assert close["reconciliation"]["skipped"] == skip
    assert "Not compared, as asked: vendor totals." in (archive.folder / folder / "report.html").read_text()


def test_what_does_not_verify_is_not_sealed(archive: MonthArchive) -> None:
    part = next(archive.folder.rglob("part-*"))
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    with pytest.raises(ArchiveCorruptError, match="Not sealed until 2026-10-31"):
        seal_month(archive.objects, MONTH, now=CLOSED)
    assert not (archive.folder / "seals").exists()
