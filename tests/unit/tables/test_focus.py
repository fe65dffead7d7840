"""A month as FOCUS: what its rows say, and that no money is lost or made. R numbers are the rules of docs/focus.md."""

from __future__ import annotations

import json
import sys
import tempfile
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_usage_provider.archive.keys import Series
from airflow_usage_provider.cli import main
from airflow_usage_provider.exceptions import ConfigurationError, UnreadableValueError
from airflow_usage_provider.schema import StreamSchema
from airflow_usage_provider.tables.charges import EXACT, add_up, choose_pots, iter_charges, read_views
from airflow_usage_provider.tables.focusfiles import FocusFile, write_focus
from airflow_usage_provider.tables.layout import Month
from airflow_usage_provider.tables.shelf import FolderShelf
from tests.unit.tables.focus_rules import find_violations
from tests.unit.tables.months import OCTOBER, MonthArchive, read_csv

MONTH = Month(2026, 10)
COSTS = StreamSchema(
    ("id",),
    {"id": "text", "cost": "money", "currency": "text", "requests": "count", "who": "text", "model": "text"},
    {"cost": "cost", "currency": "currency", "charges": "api"},
)
OTHER = Series("other", "acme", "costs")


def scaled(scale: str) -> StreamSchema:
    return StreamSchema(COSTS.identity, COSTS.columns, {**COSTS.roles, "cost_scale": scale})


@pytest.fixture
def archive(tmp_path: Path) -> MonthArchive:
    return MonthArchive(tmp_path / "archive")


@pytest.fixture
def month(archive: MonthArchive) -> MonthArchive:
    """Five days of both vendors."""
    for day in OCTOBER[:5]:
        archive.store_export(day)
        archive.store_export(day, "model")
        archive.store_users(day)
    return archive


def export(archive: MonthArchive, to: Path, **settings: Any) -> list[FocusFile]:
    return write_focus(archive.objects, MONTH, FolderShelf(to), **settings)


def rows_of(to: Path, spec: str = "1.4") -> list[dict[str, Any]]:
    files = sorted((to / f"focus/{spec}/billing_month=2026-10").glob("*.parquet"))
    return [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]


def raw_total(archive: MonthArchive, stream: str) -> Decimal:
    """What the vendor sent of one stream, read anew and added up."""
    views = [view for view in read_views(archive.objects, MONTH) if view.day.series.stream == stream]
    return sum((add_up(iter_charges(archive.objects, view)).get("USD", Decimal(0)) for view in views), Decimal(0))


@pytest.mark.parametrize("spec", ["1.4", "1.2"])
def test_every_row_keeps_every_rule_of_its_version(month: MonthArchive, tmp_path: Path, spec: str) -> None:
    export(month, tmp_path, spec=spec)
    rows = rows_of(tmp_path, spec)
    assert len(rows) > 200
    assert [violation for row in rows for violation in find_violations(row, spec)] == []


def test_r1_only_the_finest_view_of_a_pot_counts_and_never_two(month: MonthArchive, tmp_path: Path) -> None:
    keywordsai, langdock = export(month, tmp_path)
    assert langdock.totals == {"USD": raw_total(month, "api_keys")} == {"USD": raw_total(month, "api_keys_by_model")}
    assert keywordsai.totals == {"USD": raw_total(month, "users")}
    assert all(
        row["x_ModelId"] for row in rows_of(tmp_path) if row["BillingAccountId"] == "acme" and row["x_CredentialId"]
    )


def test_r1_a_day_without_the_finest_view_is_that_of_the_next(archive: MonthArchive, tmp_path: Path) -> None:
    archive.store_export(OCTOBER[0])
    archive.store_export(OCTOBER[0], "model")
    archive.store_export(OCTOBER[1])
    (file,) = export(archive, tmp_path)
    assert file.totals == {"USD": raw_total(archive, "api_keys")}


def test_r2_listings_without_a_day_of_their_own_have_no_rows(archive: MonthArchive, tmp_path: Path) -> None:
    for summary_type in ("daily", "weekly", "monthly", "all"):
        archive.store_users(OCTOBER[0], summary_type)
    archive.store_export(OCTOBER[0], stream="models")
    (file,) = export(archive, tmp_path)
    assert file.totals == {"USD": raw_total(archive, "users")}


money = st.decimals(min_value=-(10**9), max_value=10**9, allow_nan=False, allow_infinity=False, places=None)
figures = st.one_of(money, st.floats(min_value=0, max_value=1e9).map(lambda value: Decimal(repr(value))))


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(costs=st.lists(figures, min_size=1, max_size=8), scale=st.sampled_from(["1", "0.01", "1E-6"]))
def test_r3_money_is_conserved_to_the_last_digit(costs: list[Decimal], scale: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        archive = MonthArchive(Path(folder) / "archive")
        rows = [{"id": str(n), "cost": str(cost), "currency": "usd"} for n, cost in enumerate(costs)]
        archive.store_rows(OTHER, OCTOBER[0], rows, scaled(scale))
        expected = Decimal(0)
        for cost in costs:
            expected = EXACT.add(expected, EXACT.multiply(cost, Decimal(scale)))
        (file,) = export(archive, Path(folder), file_format="csv")
        assert file.totals == {"USD": expected}
        written = Decimal(0)
        for row in read_csv(Path(folder) / file.name):
            written = EXACT.add(written, Decimal(row["BilledCost"]))
        assert written == expected
        if any(_digits(EXACT.multiply(cost, Decimal(scale))) > 38 for cost in costs):
            return
        try:
            export(archive, Path(folder))
        except UnreadableValueError:
            return
        in_parquet = Decimal(0)
        for row in rows_of(Path(folder)):
            in_parquet = EXACT.add(in_parquet, row["BilledCost"])
        assert in_parquet == expected


def _digits(value: Decimal) -> int:
    decimals = max(18, -int(EXACT.normalize(value).as_tuple().exponent))
    return decimals + max(0, value.adjusted() + 1 if value else 0)


def test_r3_figures_of_more_than_18_decimals_get_as_many_as_they_have(archive: MonthArchive, tmp_path: Path) -> None:
    costs = ["5.200000000000001e-05", "0.1", "12.5"]
    archive.store_rows(
        OTHER, OCTOBER[0], [{"id": str(n), "cost": c, "currency": "USD"} for n, c in enumerate(costs)], COSTS
    )
    export(archive, tmp_path)
    assert [row["ListCost"] for row in rows_of(tmp_path)] == [Decimal(cost) for cost in costs]


def test_r3_a_figure_that_no_parquet_decimal_holds_is_refused_and_csv_holds_it(
    archive: MonthArchive, tmp_path: Path
) -> None:
    archive.store_rows(OTHER, OCTOBER[0], [{"id": "a", "cost": "1e-40", "currency": "USD"}], COSTS)
    with pytest.raises(UnreadableValueError, match="more than 38 digits"):
        export(archive, tmp_path)
    (file,) = export(archive, tmp_path, file_format="csv")
    assert file.totals == {"USD": Decimal("1e-40")}


def test_r4_cents_are_scaled_exactly(archive: MonthArchive, tmp_path: Path) -> None:
    archive.store_rows(OTHER, OCTOBER[0], [{"id": "a", "cost": "123.45678901", "currency": "usd"}], scaled("0.01"))
    (file,) = export(archive, tmp_path)
    assert file.totals == {"USD": Decimal("1.2345678901")}


def test_r5_two_currencies_are_never_added(archive: MonthArchive, tmp_path: Path) -> None:
    rows = [{"id": "a", "cost": "1", "currency": "USD"}, {"id": "b", "cost": "2", "currency": "EUR"}]
    archive.store_rows(OTHER, OCTOBER[0], rows, COSTS)
    (file,) = export(archive, tmp_path)
    assert file.totals == {"USD": 1, "EUR": 2}
    assert [row["BillingCurrency"] for row in rows_of(tmp_path)] == ["USD", "EUR"]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (
            {"id": "a", "cost": None, "currency": "USD"},
            "other/acme/costs 2026-10-01, row 1, column cost: there is no cost",
        ),
        ({"id": "a", "currency": "USD"}, "row 1, column cost: there is no cost"),
        ({"id": "a", "cost": '"1,234.56"', "currency": "USD"}, "'1,234.56' cannot be read as money"),
        ({"id": "a", "cost": "true", "currency": "USD"}, "cannot be read as money"),
        ({"id": "a", "cost": "1", "currency": "Euro"}, "'EURO' is no currency"),
        ({"id": "a", "cost": "1"}, "column currency: '' is no currency"),
    ],
)
def test_r6_a_cost_that_cannot_be_read_is_a_sentence_and_nothing_is_written(
    archive: MonthArchive, tmp_path: Path, row: dict[str, Any], words: str
) -> None:
    archive.store_rows(OTHER, OCTOBER[0], [row], COSTS)
    with pytest.raises(UnreadableValueError) as refused:
        export(archive, tmp_path)
    assert words in str(refused.value)
    assert not (tmp_path / "focus").exists()


def test_r7_a_day_in_another_zone_keeps_its_true_instants(archive: MonthArchive, tmp_path: Path) -> None:
    archive.store_export(date(2026, 10, 25), timezone="Europe/Berlin")
    export(archive, tmp_path)
    row = rows_of(tmp_path)[0]
    assert row["ChargePeriodStart"] == datetime(2026, 10, 24, 22, tzinfo=UTC)
    assert row["ChargePeriodEnd"] == datetime(2026, 10, 25, 23, tzinfo=UTC)
    assert row["BillingPeriodStart"] == datetime(2026, 10, 1, tzinfo=UTC)
    assert row["BillingPeriodEnd"] == datetime(2026, 11, 1, tzinfo=UTC)


def test_r8_quantity_is_what_the_vendor_counts(archive: MonthArchive, tmp_path: Path) -> None:
    def price(**roles: str) -> tuple[Decimal, str]:
        schema = StreamSchema(("id",), COSTS.columns | {"tokens": "count"}, {**COSTS.roles, **roles})
        place = MonthArchive(tmp_path / f"archive-{len(roles)}")
        row = {"id": "a", "cost": "1", "currency": "USD", "requests": 3, "tokens": 700}
        place.store_rows(OTHER, OCTOBER[0], [row], schema)
        export(place, tmp_path)
        (written,) = rows_of(tmp_path)
        return written["PricingQuantity"], written["PricingUnit"]

    assert price(requests="requests", input_tokens="tokens") == (3, "Requests")
    assert price(input_tokens="tokens") == (700, "Tokens")
    assert price() == (1, "Days")


def test_r9_names_of_people_are_written_only_on_request(month: MonthArchive, tmp_path: Path) -> None:
    export(month, tmp_path)
    assert all("x_PrincipalName" not in row for row in rows_of(tmp_path))
    assert all(row["ChargeDescription"].isascii() for row in rows_of(tmp_path))
    assert not any(row["x_PrincipalId"] in row["ChargeDescription"] for row in rows_of(tmp_path))
    export(month, tmp_path, names=True)
    assert any(row["x_PrincipalName"] for row in rows_of(tmp_path))


def test_r10_keys_are_credentials_and_projects_are_sub_accounts(archive: MonthArchive, tmp_path: Path) -> None:
    roles = {**COSTS.roles, "principal": "who", "principal_kind": "project", "model": "model"}
    row = {"id": "a", "cost": "1", "currency": "USD", "who": "proj_1", "model": "m"}
    archive.store_rows(OTHER, OCTOBER[0], [row], StreamSchema(("id",), COSTS.columns, roles))
    archive.store_export(OCTOBER[0])
    export(archive, tmp_path)
    key, project = rows_of(tmp_path)[0], rows_of(tmp_path)[-1]
    assert (project["SubAccountId"], project["x_CredentialId"], project["x_ModelId"]) == ("proj_1", None, "m")
    assert (key["SubAccountId"], key["x_CredentialId"]) == (None, key["x_PrincipalId"])


def test_r11_rows_name_the_snapshot_they_were_made_from(archive: MonthArchive, tmp_path: Path) -> None:
    manifest = archive.store_export(OCTOBER[0], revision=3)
    export(archive, tmp_path)
    assert {(row["x_SnapshotId"], row["x_Revision"]) for row in rows_of(tmp_path)} == {(manifest.snapshot_id, 3)}


def test_r12_sealed_days_are_complete_sectors_and_others_are_not(archive: MonthArchive, tmp_path: Path) -> None:
    for day in OCTOBER[:3]:
        archive.store_export(day, maturity="provisional" if day == OCTOBER[2] else "final")
    export(archive, tmp_path)
    said = json.loads((tmp_path / "focus/1.4/billing_month=2026-10/metadata.json").read_text())
    sectors = said["Recency"]["TimeSectors"]
    assert [sector["TimeSectorComplete"] for sector in sectors] == [True, True] + [False] * 29
    assert sectors[0] == {
        "TimeSectorStart": "2026-10-01T00:00:00Z",
        "TimeSectorEnd": "2026-10-02T00:00:00Z",
        "TimeSectorComplete": True,
        "TimeSectorLastUpdated": "2026-10-02T02:00:00Z",
    }
    assert said["Recency"]["DatasetInstanceComplete"] is False
    assert said["Recency"]["RecencyLastUpdated"] == "2026-10-04T02:00:00Z"
    assert said["Schema"]["FocusVersion"] == "1.4"
    assert [column["ColumnName"] for column in said["Schema"]["ColumnDefinition"]] == list(rows_of(tmp_path)[0])
    assert said["DatasetInstance"]["FocusDatasetId"] == "CostAndUsage"


def test_the_same_archive_gives_the_same_bytes(month: MonthArchive, tmp_path: Path) -> None:
    written = []
    for number in (1, 2):
        export(month, tmp_path / str(number))
        written.append(
            {path.name: path.read_bytes() for path in (tmp_path / str(number)).rglob("*.*") if path.is_file()}
        )
    assert written[0] == written[1]


def test_as_of_a_time_is_what_was_known_then(archive: MonthArchive, tmp_path: Path) -> None:
    def cost(text: str, day: int) -> None:
        row = {"id": "a", "cost": text, "currency": "USD"}
        archive.store_rows(OTHER, OCTOBER[0], [row], COSTS, at=datetime(2026, 10, day, 2, tzinfo=UTC))

    cost("1", 2)
    cost("2", 9)
    (now,) = export(archive, tmp_path)
    (then,) = export(archive, tmp_path, as_of=datetime(2026, 10, 5, tzinfo=UTC))
    assert (then.totals, now.totals) == ({"USD": 1}, {"USD": 2})
    with pytest.raises(ConfigurationError, match="2026-10 as of 2026-10-01"):
        export(archive, tmp_path, as_of=datetime(2026, 10, 1, tzinfo=UTC))


def test_an_archive_of_before_schemas_is_read_by_those_of_the_package(archive: MonthArchive, tmp_path: Path) -> None:
    archive.store_export(OCTOBER[0], schema=None)
    (file,) = export(archive, tmp_path)
    assert file.totals["USD"] > 0


def test_pots_of_two_environments_are_two(archive: MonthArchive) -> None:
    archive.store_users(OCTOBER[0])
    schema = StreamSchema(COSTS.identity, COSTS.columns, {**COSTS.roles, "charges": "usage_test"})
    archive.store_rows(Series("keywordsai", "acme", "users_test"), OCTOBER[0], [], schema)
    assert [pot.pot for pot in choose_pots(read_views(archive.objects, MONTH))] == ["usage", "usage_test"]


def test_the_command_writes_where_it_is_told_and_prints_exact_totals(
    month: MonthArchive, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["focus", str(month.folder), "--month", "2026-10", "--to", str(tmp_path), "--spec", "1.2"]
    assert main([*arguments, "--vendor", "langdock", "--format", "csv"]) == 0
    printed = capsys.readouterr().out
    assert "focus/1.2/billing_month=2026-10/langdock.acme.csv" in printed
    assert f"{raw_total(month, 'api_keys'):f} USD" in printed


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--month", "2099-01"], "2099-01 has not begun"),
        (["--month", "2026-13"], "is not a month"),
        (["--month", "2026-09"], "Nothing in the archive is a charge of 2026-09"),
    ],
)
def test_a_month_without_charges_is_a_sentence(
    month: MonthArchive, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert main(["focus", str(month.folder), *arguments, "--to", str(tmp_path)]) == 2
    assert words in capsys.readouterr().err


def test_without_pyarrow_csv_is_written_and_parquet_is_a_sentence(
    month: MonthArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    export(month, tmp_path, file_format="csv")
    with pytest.raises(ConfigurationError, match=r"airflow-usage-provider\[tables\]"):
        export(month, tmp_path)
