"""The pages, from figures: nothing here reads, and every text that comes from outside goes through ``tables.page``."""

from __future__ import annotations

import csv
import io
from decimal import Decimal
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from airflow_usage_provider.tables import page
from airflow_usage_provider.tables.charges import EXACT
from airflow_usage_provider.ui.spend import BREAKDOWNS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from airflow_usage_provider.ui.closes import Close
    from airflow_usage_provider.ui.coverage import Coverage
    from airflow_usage_provider.ui.spend import Spend

TOP = 10
NOT_SAID = "(not said)"
MOST_ROWS = 1_000  # of a table on a page; the CSV has them all
VIEWS: Mapping[str, str] = {"Spend": "./", "Coverage": "coverage", "Revisions": "revisions", "Closes": "closes"}
_Row = tuple[str | Decimal | None, ...]


def show_spend(spend: Spend) -> str:
    """Return what a month cost."""
    days = [spend.month.first.replace(day=number).isoformat() for number in range(1, spend.month.last.day + 1)]
    figures = [(day, vendor, own[day]) for day in days for vendor, own in spend.days.items() if day in own]
    content = [
        _form("./", month=(spend.months, spend.month), currency=(spend.currencies, spend.currency)),
        page.tiles([(f"Total, {spend.currency}", f"{spend.total:,.2f}", _tell_change(spend))]),
        page.section(
            f"Cost a day, {spend.currency}",
            page.bars(days, spend.days, spend.currency),
            _fold("The figures of each day", page.table(("day", "vendor", f"cost, {spend.currency}"), figures)),
            _csv_link(spend, "day"),
        ),
        *(_show_breakdown(spend, breakdown) for breakdown in BREAKDOWNS),
    ]
    return _page("Spend", f"{spend.month}, {spend.currency}, from the tables in FOCUS", content)


def show_coverage(coverage: Coverage) -> str:
    """Return which days are there."""
    days = [day.isoformat() for day in coverage.days]
    states = [state for own in coverage.states.values() for state in own]
    counts = {state: states.count(state) for state in ("complete", "empty", "provisional", "revised", "missing")}
    content = [
        _form("coverage", month=(coverage.months, coverage.month)),
        page.tiles((state.capitalize(), f"{count:,}", "days of streams") for state, count in counts.items()),
        page.section("Days and streams", page.coverage(days, coverage.states)),
    ]
    return _page("Coverage", f"{coverage.month}, days that are over", content)


def show_revisions(coverage: Coverage) -> str:
    """Return what changed after it was first archived."""
    rows = [
        (
            f"{after.snapshot_at:%Y-%m-%d %H:%M} UTC",
            after.series,
            after.usage_date.isoformat(),
            Decimal(after.revision),
            Decimal(before.rows),
            Decimal(after.rows),
            f"{(after.snapshot_at - before.snapshot_at).days} days",
        )
        for before, after in coverage.changes[:MOST_ROWS]
    ]
    headings = ("changed", "stream", "day", "revision", "rows before", "rows now", "after")
    content = [
        _form("revisions", month=(coverage.months, coverage.month)),
        page.section("What changed after it was first archived", page.table(headings, rows)),
        page.paragraph("usage-archive diff shows the two answers of a day beside each other, amounts and all."),
        *_tell_rest(len(coverage.changes)),
    ]
    return _page("Revisions", f"{coverage.month}, the latest first", content)


def show_closes(closes: Sequence[Close]) -> str:
    """Return every close there is."""
    rows = [(each.month, each.as_of, each.totals, each.root, each.report) for each in closes]
    headings = ("month", "as of", "totals", "root of the seal", "report")
    return _page("Closes", "The latest first", [page.section("Closed months", page.table(headings, rows))])


def show_problem(sentence: str) -> str:
    """Return a page that says why there is none."""
    return _page("LLM usage", "", [page.paragraph(sentence)])


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
        rows.append((*key, _plain(cost), share, None if change is None else _plain(change)))
    return rows


def write_csv(spend: Spend, breakdown: str) -> str:
    """Return a breakdown, or the days, as CSV; no cell is taken for a formula."""
    file = io.StringIO()
    writer = csv.writer(file)
    if breakdown == "day":
        writer.writerow(("day", "vendor", "currency", "cost"))
        for vendor, own in spend.days.items():
            writer.writerows((day, _harmless(vendor), spend.currency, f"{_plain(cost):f}") for day, cost in own.items())
        return file.getvalue()
    writer.writerow((*BREAKDOWNS[breakdown], "currency", "cost", "share_percent", "change_to_month_before"))
    width = len(BREAKDOWNS[breakdown])
    for row in list_rows(spend, breakdown):
        texts = [_harmless(str(cell)) for cell in row[:width]]
        figures = ["" if cell is None else f"{cell:f}" for cell in row[width:] if not isinstance(cell, str)]
        writer.writerow((*texts, spend.currency, *figures))
    return file.getvalue()


def _show_breakdown(spend: Spend, breakdown: str) -> str:
    rows = [tuple(NOT_SAID if cell == "" else cell for cell in row) for row in list_rows(spend, breakdown)]
    headings = (*BREAKDOWNS[breakdown], f"cost, {spend.currency}", "share, %", "change to month before")
    return page.section(
        f"By {breakdown}",
        page.table(headings, rows[:TOP]),
        _fold(f"All {len(rows):,}", page.table(headings, rows[:MOST_ROWS])) if len(rows) > TOP else "",
        *_tell_rest(len(rows)),
        _csv_link(spend, breakdown),
    )


def _tell_change(spend: Spend) -> str:
    before = spend.total_before
    if before is None:
        return f"exactly {_plain(spend.total):f}; the month before is not among the tables"
    change = EXACT.subtract(spend.total, before)
    share = f", {change / before * 100:+.1f} %" if before else ""
    return f"exactly {_plain(spend.total):f}; {change:+,.2f} to the month before{share}"


def _tell_rest(rows: int) -> Iterable[str]:
    if rows > MOST_ROWS:
        yield page.paragraph(f"{MOST_ROWS:,} of {rows:,} are shown.")


def _page(view: str, intro: str, content: Iterable[str]) -> str:
    links = "".join(
        f'<a href="{href}"{" aria-current=page" if name == view else ""}>{name}</a>' for name, href in VIEWS.items()
    )
    return page.render_page(view, intro, [f'<nav aria-label="Views">{links}</nav>\n<main>\n', *content, "</main>\n"])


def _form(action: str, **fields: tuple[Iterable[object], object]) -> str:
    selects = "".join(
        f'<label>{name} <select name="{name}">'
        + "".join(
            f"<option{' selected' if option == chosen else ''}>{page.escape(str(option))}</option>"
            for option in options
        )
        + "</select></label>"
        for name, (options, chosen) in fields.items()
    )
    return f'<form action="{action}" method="get">{selects}<button>Show</button></form>\n'


def _fold(summary: str, content: str) -> str:
    return f"<details><summary>{page.escape(summary)}</summary>{content}</details>\n"


def _csv_link(spend: Spend, breakdown: str) -> str:
    query = urlencode({"month": str(spend.month), "currency": spend.currency, "by": breakdown})
    return f'<p><a href="spend.csv?{page.escape(query)}">CSV by {breakdown}</a></p>\n'


def _plain(value: Decimal) -> Decimal:
    """Return the same figure without zeros at its end."""
    plain = EXACT.normalize(value)
    return plain if plain else Decimal(0)


def _harmless(text: str) -> str:
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text
