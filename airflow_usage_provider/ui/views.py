"""The pages, from figures: nothing here reads, and every text that comes from outside goes through ``tables.page``."""

from __future__ import annotations

import csv
import io
from decimal import Decimal
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from airflow_usage_provider.tables import page
from airflow_usage_provider.tables.charges import EXACT
from airflow_usage_provider.tables.layout import Month
from airflow_usage_provider.ui.snapshots import STATES
from airflow_usage_provider.ui.spend import BREAKDOWNS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from airflow_usage_provider.archive.keys import Series
    from airflow_usage_provider.ui.amounts import Change
    from airflow_usage_provider.ui.closes import Close
    from airflow_usage_provider.ui.day import DayOfStream
    from airflow_usage_provider.ui.snapshots import Coverage
    from airflow_usage_provider.ui.spend import Spend

TOP = 10
NOBODY, NOT_SAID = "(nobody)", "(not said)"
MOST_ROWS = 1_000  # of a table on a page; the CSV has them all
VIEWS: Mapping[str, str] = {"Spend": "./", "Coverage": "coverage", "Revisions": "revisions", "Closes": "closes"}
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
        _form("./", month=(spend.months, spend.month), currency=(spend.currencies, spend.currency)),
        page.tiles([(f"Total, {spend.currency}", f"{spend.total:,.2f}", _tell_change(spend)), *_budget(spend, budget)]),
        page.section(
            f"Cost a day, {spend.currency}",
            page.bars(days, spend.days, spend.currency, line),
            _fold("The figures of each day", page.table(("day", "vendor", f"cost, {spend.currency}"), figures)),
            _csv_link(spend, "day"),
        ),
        *(
            _show_breakdown(spend, each)
            if each in spend.sums
            else page.section(f"By {each}", page.paragraph(without_owners))
            for each in BREAKDOWNS
        ),
    ]
    return _page("Spend", f"{spend.month}, {spend.currency}, from the tables in FOCUS", content)


def show_coverage(coverage: Coverage) -> str:
    """Return which days are there."""
    days = [day.isoformat() for day in coverage.days]
    states = [state for own in coverage.states.values() for state in own]
    names = {series: _name(series) for series in coverage.states}
    links = {
        (names[series], day): _day_link(series, day)
        for series, own in coverage.states.items()
        for day, state in zip(days, own, strict=True)
        if state not in ("missing", "awaited")
    }
    content = [
        _form("coverage", month=(coverage.months, coverage.month)),
        page.tiles((state.capitalize(), f"{states.count(state):,}", "days of streams") for state in STATES[:-1]),
        page.section(
            "Days and streams",
            page.coverage(days, {names[series]: own for series, own in coverage.states.items()}, links),
            page.paragraph(
                "Lagging: still provisional a day after its look-back ended: the run that was to pull it again did not."
            ),
        ),
    ]
    return _page("Coverage", f"{coverage.month}, days that are over; each leads to its snapshots", content)


def show_day(day: DayOfStream) -> str:
    """Return the snapshots of a day."""
    headings = ("snapshot", "archived", "state", "rows", "revision", "maturity", "bytes", "as sent", "run", "object")
    rows = [
        (
            each.snapshot.snapshot_id,
            f"{each.snapshot.snapshot_at:%Y-%m-%d %H:%M:%S} UTC",
            f"{each.snapshot.state}, unchanged" if each.snapshot.unchanged else each.snapshot.state,
            Decimal(each.snapshot.rows),
            Decimal(each.snapshot.revision),
            each.snapshot.maturity,
            *((Decimal(each.told.size), Decimal(each.told.raw_size)) if each.told else (None, None)),
            _run_link(each.told.run) if each.told else "(not read)",
            each.uri,
        )
        for each in day.snapshots
    ]
    problems = dict.fromkeys(each.problem for each in day.snapshots if each.problem)
    content = [
        page.section("Snapshots of the day, the newest first", page.table(headings, rows)),
        *(page.paragraph(f"Sizes and runs are in the manifests. {problem}") for problem in problems),
        *([page.paragraph(f"{day.more:,} older snapshots are not shown.")] if day.more else []),
        f'<p><a href="coverage?month={Month.of(day.usage_date)}">Coverage of {Month.of(day.usage_date)}</a></p>\n',
    ]
    return _page("Day", f"{day.usage_date}, {_name(day.series)}", content)


def show_revisions(coverage: Coverage, changes: Sequence[Change], problem: str = "") -> str:
    """Return what changed after it was first archived; ``problem`` says why there are no amounts."""
    headings = ("changed", "stream", "day", "revision", "rows before", "rows now", "after")
    money = ("currency", "cost before", "cost now", "change")
    rows = [row for change in changes for row in _change_rows(change)]
    content = [
        _form("revisions", month=(coverage.months, coverage.month)),
        page.section("What changed after it was first archived", page.table((*headings, *money), rows)),
        page.paragraph(
            problem
            or "Streams of one vendor may show the same money from several sides: amounts are not to be added up."
        ),
        *_tell_rest(len(coverage.changes)),
    ]
    return _page("Revisions", f"{coverage.month}, the latest first", content)


def show_closes(closes: Sequence[Close]) -> str:
    """Return every close there is."""
    rows = [
        (
            page.Link(each.month, f"report?{urlencode({'month': each.month, 'close': each.folder})}"),
            each.as_of,
            each.totals,
            Decimal(each.revised),
            each.root,
        )
        for each in closes
    ]
    headings = ("report of", "as of", "totals", "days revised since the last", "root of the seal")
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
        name = (spend.names.get(key, ""),) if _has_names(spend, breakdown) else ()
        rows.append((*key, *name, _plain(cost), share, None if change is None else _plain(change)))
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
    headings = _headings(spend, breakdown)
    writer.writerow((*headings, "currency", "cost", "share_percent", "change_to_month_before"))
    width = len(headings)
    for row in list_rows(spend, breakdown):
        texts = [_harmless(str(cell)) for cell in row[:width]]
        figures = ["" if cell is None else f"{cell:f}" for cell in row[width:] if not isinstance(cell, str)]
        writer.writerow((*texts, spend.currency, *figures))
    return file.getvalue()


def _show_breakdown(spend: Spend, breakdown: str) -> str:
    said = NOBODY if breakdown == "owner" else NOT_SAID
    rows = [tuple(said if cell == "" else cell for cell in row) for row in list_rows(spend, breakdown)]
    headings = (*_headings(spend, breakdown), f"cost, {spend.currency}", "share, %", "change to month before")
    return page.section(
        f"By {breakdown}",
        page.table(headings, rows[:TOP]),
        _fold(f"All {len(rows):,}", page.table(headings, rows[:MOST_ROWS])) if len(rows) > TOP else "",
        *_tell_rest(len(rows)),
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


def _change_rows(change: Change) -> Iterable[Sequence[page.Cell]]:
    before, after = change.before, change.after
    facts: tuple[page.Cell, ...] = (
        f"{after.snapshot_at:%Y-%m-%d %H:%M} UTC",
        after.name,
        page.Link(after.usage_date.isoformat(), _day_link(after.series, after.usage_date.isoformat())),
        Decimal(after.revision),
        Decimal(before.rows),
        Decimal(after.rows),
        f"{(after.snapshot_at - before.snapshot_at).days} days",
    )
    if not change.amounts:
        yield (*facts, "", None, None, None)
    for currency, (old, new) in change.amounts.items():
        yield (*facts, currency, _plain(old), _plain(new), _plain(EXACT.subtract(new, old)))


def _run_link(run: tuple[str, str] | None) -> page.Cell:
    if run is None:
        return "(no run of Airflow)"
    return page.Link(" ".join(run), f"../dags/{quote(run[0], safe='')}/runs/{quote(run[1], safe='')}")


def _day_link(series: Series, day: str) -> str:
    asked = {"vendor": series.vendor, "account": series.account, "stream": series.stream, "date": day}
    return f"day?{urlencode(asked)}"


def _name(series: Series) -> str:
    return f"{series.vendor}/{series.account}/{series.stream}"


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
