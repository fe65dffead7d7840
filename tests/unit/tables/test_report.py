"""The report of a month, read as its reader would: tables with exact figures, and text that stays text."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from airflow_usage_provider.archive.keys import Series
from airflow_usage_provider.cli import main
from airflow_usage_provider.schema import StreamSchema
from airflow_usage_provider.tables.layout import Month
from airflow_usage_provider.tables.owners import parse_owners
from airflow_usage_provider.tables.page import bars
from airflow_usage_provider.tables.report import gather_report, render_report
from tests.unit.tables.months import OCTOBER, MonthArchive

NOW = datetime(2026, 11, 10, tzinfo=UTC)
OTHER = Series("other", "<script>alert(1)</script>", "costs")
SCHEMA = StreamSchema(
    ("who",),
    {"who": "text", "cost": "money", "currency": "text"},
    {"cost": "cost", "currency": "currency", "charges": "api", "principal": "who", "principal_kind": "user"},
)


class Page(HTMLParser):
    """The sections of a page with the cells of their tables, and every tag there is."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: dict[str, list[list[str]]] = {}
        self.tags: set[str] = set()
        self.addresses: list[str] = []
        self._heading = ""
        self._inside: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href")]
        self._inside.append(tag)
        if tag == "h2":
            self._heading = ""
        if tag == "tr":
            self.rows.setdefault(self._heading, []).append([])
        if tag in ("td", "th"):
            self.rows[self._heading][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        while self._inside and self._inside.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self._inside and self._inside[-1] == "h2":
            self._heading += data
        elif self._inside and self._inside[-1] in ("td", "th"):
            self.rows[self._heading][-1][-1] += data


@pytest.fixture
def archive(tmp_path: Path) -> MonthArchive:
    return MonthArchive(tmp_path / "archive")


def store(
    archive: MonthArchive, day: int, who: str, cost: str, currency: str = "USD", at: datetime | None = None
) -> None:
    rows = [{"who": who, "cost": cost, "currency": currency}]
    archive.store_rows(OTHER, OCTOBER[day - 1], rows, SCHEMA, at=at, revision=2 if at else 1)


def render(archive: MonthArchive, owners: bytes = b"principal,owner\n", **settings: Any) -> Page:
    report = gather_report(archive.objects, Month(2026, 10), owners=parse_owners(owners), now=NOW, **settings)
    return Page(render_report(report))


def test_its_tables_have_every_figure_exactly_and_add_up(archive: MonthArchive) -> None:
    for number in range(1, 32):
        store(archive, number, f"user-{number}", f"0.{number:02d}000000000000000001")
    page = render(archive)
    head, *rows = page.rows["Top principals"]
    assert head == ["vendor", "account", "kind", "id", "currency", "cost"]
    assert rows[0][3:] == ["user-31", "USD", "0.31000000000000000001"]
    assert (rows[-1][0], len(rows)) == ("11 others", 21)
    assert sum(Decimal(row[-1]) for row in rows) == Decimal(page.rows["By account"][1][-1])
    days = page.rows["Cost a day, USD"][1:]
    assert [row[0] for row in days] == [day.isoformat() for day in OCTOBER]
    assert sum(Decimal(row[-1]) for row in days) == Decimal("4.96000000000000000031")


def test_names_are_text_whatever_they_are(archive: MonthArchive) -> None:
    for number, name in enumerate(('<img src=x onerror="alert(1)">', "=cmd()|'x'", '"><script>', "&lt;"), 1):
        store(archive, number, name, "1")
    page = render(archive, b"principal,owner\n=cmd*,<b>Team</b>\n")
    assert {row[3] for row in page.rows["Top principals"][1:]} == {
        '<img src=x onerror="alert(1)">',
        "=cmd()|'x'",
        '"><script>',
        "&lt;",
    }
    assert page.tags.isdisjoint({"script", "img", "link", "iframe", "object", "form"})
    assert page.addresses == []
    assert page.rows["By owner"][1][0] == "(nobody)"
    assert page.rows["By owner"][2][0] == "<b>Team</b>"


def test_two_currencies_are_two_charts_and_never_one_sum(archive: MonthArchive) -> None:
    store(archive, 1, "a", "1")
    store(archive, 2, "a", "2", "EUR")
    page = render(archive)
    assert page.rows["Cost a day, USD"][1][-1] == "1"
    assert page.rows["Cost a day, EUR"][1][-1] == "2"
    assert [row[3:] for row in page.rows["By account"][1:]] == [["EUR", "2"], ["USD", "1"]]


def test_what_was_revised_since_the_last_close_is_told_with_both_amounts(archive: MonthArchive) -> None:
    store(archive, 1, "a", "1")
    store(archive, 2, "a", "5")
    store(archive, 1, "a", "1.25", at=datetime(2026, 11, 5, tzinfo=UTC))
    store(archive, 3, "a", "7", at=datetime(2026, 11, 6, tzinfo=UTC))
    rows = render(archive, since=datetime(2026, 11, 1, tzinfo=UTC)).rows["Revised since the last close"]
    assert rows[0] == ["day", "currency", "on 2026-11-01", "now", "difference"]
    assert [row[1:] for row in rows[1:]] == [["USD", "1", "1.25", "0.25"], ["USD", "-", "7", "7"]]


def test_rows_without_a_cost_are_shown_and_in_no_sum(archive: MonthArchive) -> None:
    def store_rows(day: date, *rows: tuple[str, str | None]) -> None:
        records = [{"who": who, "cost": cost, "currency": cost and "USD"} for who, cost in rows]
        archive.store_rows(OTHER, day, records, SCHEMA)

    store_rows(OCTOBER[0], ("a", "1.25"), ("b", None), ("c", None))
    store_rows(OCTOBER[1], ("b", None))
    store_rows(date(2026, 9, 30), ("a", "1"), ("b", None))
    report = gather_report(archive.objects, Month(2026, 10), owners=parse_owners(b"principal,owner\n"), now=NOW)
    page = Page(text := render_report(report))
    assert [row[2:] for row in page.rows["Not priced"][1:]] == [["api", "2026-10-01", "2"], ["api", "2026-10-02", "1"]]
    assert [row[3:] for row in page.rows["By account"][1:]] == [["USD", "1.25"]]
    assert "<b>3 rows</b>" in text
    assert "not every row of the month before has a cost" in text
    assert [row[1] for row in page.rows["Reconciliation"][1:]].count("not priced") == 2


def test_a_month_without_any_cost_is_a_page_too(archive: MonthArchive) -> None:
    archive.store_rows(OTHER, OCTOBER[0], [{"who": "a", "cost": None, "currency": "USD"}], SCHEMA)
    page = render(archive)
    assert page.rows["Not priced"][1][-1] == "1"
    assert "By account" not in page.rows


def test_each_day_of_each_stream_is_covered_or_not(archive: MonthArchive) -> None:
    store(archive, 1, "a", "1")
    archive.store_rows(OTHER, OCTOBER[1], [], SCHEMA)
    store(archive, 3, "a", "1", at=datetime(2026, 11, 5, tzinfo=UTC))
    row = render(archive).rows["Coverage"][1]
    assert row[1:6] == ["c", "e", "r", "m", "m"]


def test_the_bars_are_well_formed_and_in_proportion() -> None:
    svg = bars(["2026-10-01", "2026-10-02"], {"a&b": {"2026-10-01": Decimal(2), "2026-10-02": Decimal(-1)}}, "USD")
    drawn = ET.fromstring(svg.partition("<figcaption>")[0].removeprefix("<figure>"))
    heights = [float(bar.attrib["height"]) for bar in drawn.iter("rect")]
    assert heights == [208.0, 0.0]
    assert drawn.find("rect/title").text == "2026-10-01 a&b: 2 USD"  # type: ignore[union-attr]


def test_the_command_writes_one_page(archive: MonthArchive, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive.store_export(OCTOBER[0], "model")
    archive.store_users(OCTOBER[0])
    owners = tmp_path / "owners.csv"
    owners.write_text("vendor,principal,owner\nlangdock,,Platform\n")
    output = tmp_path / "out" / "report.html"
    command = ["report", str(archive.folder), "--month", "2026-10", "-o", str(output), "--owners", str(owners)]
    assert main(command) == 0
    page = Page(output.read_text(encoding="utf-8"))
    assert {row[0] for row in page.rows["By owner"][1:]} == {"Platform", "(nobody)"}
    assert main([*command[:-1], str(tmp_path / "none.csv")]) == 2
    assert "There is no file" in capsys.readouterr().err
