"""The view Spend and its CSV, from figures: nothing here reads, and ``tables.page`` escapes what is from outside."""

from __future__ import annotations

import csv
import io
from decimal import Decimal
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from airflow_usage_provider.tables import page
from airflow_usage_provider.tables.charges import EXACT
from airflow_usage_provider.ui.frame import MOST_ROWS, fold, form, render_view, strip_zeros, tell_rest
from airflow_usage_provider.ui.spend import BREAKDOWNS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_usage_provider.ui.spend import Spend

TOP = 10
NOBODY, NOT_SAID = "(nobody)", "(not said)"
_CENT = Decimal("0.01")
_Row = tuple[str | Decimal | None, ...]


def show_spend(spend: Spend, budget: Decimal | None, without_owners: str) -> str:
    """
    Return what a month cost.

    :param budget: of the month, in its currency.
    :param without_owners: why there are no sums by owner, if there are none.
    """
    days = [spend.month.first.replace(day=number).isoformat() for number in range(1, spend.month.last.day + 1)]
    figures = [(day, vendor, own[day]) for day in days for vendor, own in spend.days.items() if day in own]
    line = ("budget, an even share a day", (budget / len(days)).quantize(_CENT)) if budget else None
    content = [
        form("./", month=(spend.months, spend.month), currency=(spend.currencies, spend.currency)),
        page.tiles([(f"Total, {spend.currency}", f"{spend.total:,.2f}", _tell_change(spend)), *_budget(spend, budget)]),
        page.section(
            f"Cost a day, {spend.currency}",
            page.bars(days, spend.days, spend.currency, line),
            fold("The figures of each day", page.table(("day", "vendor", f"cost, {spend.currency}"), figures)),
            _csv_link(spend, "day"),
        ),
        *(
            _show_breakdown(spend, each)
            if each in spend.sums
            else page.section(f"By {each}", page.paragraph(without_owners))
            for each in BREAKDOWNS
        ),
    ]
    return render_view("Spend", f"{spend.month}, {spend.currency}, from the tables in FOCUS", content)


def list_rows(spend: Spend, breakdown: str) -> list[_Row]:
    """Return the largest first: what it is, its cost, its share in percent, and the change to the month before."""
    total, before = spend.total, (spend.before or {}).get(breakdown, {})
    now = spend.sums[breakdown]
    keys = sorted({*now, *before}, key=lambda key: (-now.get(key, Decimal(0)), key))
    rows: list[_Row] = []
    for key in keys:
        cost = now.get(key, Decimal(0))
        share = (cost * 100 / total).quantize(Decimal("0.1")) if total else None
        change = None if spend.before is None else EXACT.subtract(cost, before.get(key, Decimal(0)))
        name = (spend.names.get(key, ""),) if _has_names(spend, breakdown) else ()
        rows.append((*key, *name, strip_zeros(cost), share, None if change is None else strip_zeros(change)))
    return rows


def write_csv(spend: Spend, breakdown: str) -> str:
    """Return a breakdown, or the days, as CSV; no cell is taken for a formula."""
    file = io.StringIO()
    writer = csv.writer(file)
    if breakdown == "day":
        writer.writerow(("day", "vendor", "currency", "cost"))
        for vendor, own in spend.days.items():
            writer.writerows(
                (day, _harmless(vendor), spend.currency, f"{strip_zeros(cost):f}") for day, cost in own.items()
            )
        return file.getvalue()
    headings = _headings(spend, breakdown)
    writer.writerow((*headings, "currency", "cost", "share_percent", "change_to_month_before"))
    width = len(headings)
    for row in list_rows(spend, breakdown):
        texts = [_harmless(str(cell)) for cell in row[:width]]
        figures = ["" if cell is None else f"{cell:f}" for cell in row[width:] if not isinstance(cell, str)]
        writer.writerow((*texts, spend.currency, *figures))
    return file.getvalue()


def _show_breakdown(spend: Spend, breakdown: str) -> str:
    rows = list_rows(spend, breakdown)
    if breakdown == "owner":
        rows = [(NOBODY if owner == "" else owner, *others) for owner, *others in rows]
    else:
        rows = [tuple(NOT_SAID if cell == "" else cell for cell in row) for row in rows]
    headings = (*_headings(spend, breakdown), f"cost, {spend.currency}", "share, %", "change to month before")
    return page.section(
        f"By {breakdown}",
        page.table(headings, rows[:TOP]),
        fold(f"All {len(rows):,}", page.table(headings, rows[:MOST_ROWS])) if len(rows) > TOP else "",
        *tell_rest(len(rows)),
        _csv_link(spend, breakdown),
    )


def _headings(spend: Spend, breakdown: str) -> tuple[str, ...]:
    return (*BREAKDOWNS[breakdown], *(["name"] if _has_names(spend, breakdown) else []))


def _has_names(spend: Spend, breakdown: str) -> bool:
    return breakdown == "principal" and bool(spend.names)


def _budget(spend: Spend, budget: Decimal | None) -> Iterable[tuple[str, str, str]]:
    if budget:
        day = spend.last_day[-2:].lstrip("0")
        used = f"{spend.total / budget * 100:.1f} % used by day {day} of {spend.month.last.day}"
        yield f"Budget, {spend.currency}", f"{budget:,.2f}", used


def _tell_change(spend: Spend) -> str:
    before = spend.total_before
    if before is None:
        return f"exactly {strip_zeros(spend.total):f}; the month before is not among the tables"
    change = EXACT.subtract(spend.total, before)
    share = f", {change / before * 100:+.1f} %" if before else ""
    return f"exactly {strip_zeros(spend.total):f}; {change:+,.2f} to the month before{share}"


def _csv_link(spend: Spend, breakdown: str) -> str:
    query = urlencode({"month": str(spend.month), "currency": spend.currency, "by": breakdown})
    return f'<p><a href="spend.csv?{page.escape(query)}">CSV by {breakdown}</a></p>\n'


def _harmless(text: str) -> str:
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text
