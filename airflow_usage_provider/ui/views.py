"""The views, from figures: nothing here reads, and every text that comes from outside goes through ``tables.page``."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from airflow_usage_provider.tables import page
from airflow_usage_provider.tables.charges import EXACT
from airflow_usage_provider.tables.layout import Month
from airflow_usage_provider.ui.frame import form, render_view, strip_zeros, tell_rest
from airflow_usage_provider.ui.snapshots import STATES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow_usage_provider.archive.keys import Series
    from airflow_usage_provider.ui.amounts import Change
    from airflow_usage_provider.ui.closes import Close
    from airflow_usage_provider.ui.day import DayOfStream
    from airflow_usage_provider.ui.snapshots import Coverage

MOST_SERIES = 300  # streams of accounts on a page


def show_coverage(coverage: Coverage) -> str:
    """Return which days are there."""
    days = [day.isoformat() for day in coverage.days]
    states = [state for own in coverage.states.values() for state in own]
    shown = _choose_series(coverage)
    links = {
        (_name(series), day): _day_link(series, day)
        for series in shown
        for day, state in zip(days, coverage.states[series], strict=True)
        if state not in ("missing", "awaited")
    }
    content = [
        form("coverage", month=(coverage.months, coverage.month)),
        page.tiles((state.capitalize(), f"{states.count(state):,}", "days of streams") for state in STATES[:-1]),
        page.section(
            "Days and streams",
            page.coverage(days, {_name(series): coverage.states[series] for series in shown}, links),
            *tell_rest(len(coverage.states), MOST_SERIES),
            page.paragraph(
                "Lagging: still provisional a day after its look-back ended: the run that was to pull it again did not."
            ),
        ),
    ]
    return render_view("Coverage", f"{coverage.month}, days that are over; each leads to its snapshots", content)


def _choose_series(coverage: Coverage) -> list[Series]:
    """Return the streams to show: where they are too many, those first that lack something."""

    def lacks_nothing(series: Series) -> bool:
        return not {"missing", "lagging"} & set(coverage.states[series])

    return sorted(sorted(coverage.states, key=lacks_nothing)[:MOST_SERIES], key=_name)


def show_day(day: DayOfStream) -> str:
    """Return the snapshots of a day."""
    headings = ("snapshot", "archived", "state", "rows", "revision", "maturity", "bytes in S3", "as sent")
    rows = [
        (
            each.snapshot.snapshot_id,
            f"{each.snapshot.snapshot_at:%Y-%m-%d %H:%M:%S} UTC",
            f"{each.snapshot.state}, unchanged" if each.snapshot.unchanged else each.snapshot.state,
            Decimal(each.snapshot.rows),
            Decimal(each.snapshot.revision),
            each.snapshot.maturity,
            *((Decimal(each.told.size), Decimal(each.told.raw_size)) if each.told else (None, None)),
        )
        for each in day.snapshots
    ]
    places = [
        (each.snapshot.snapshot_id, _run_link(each.told.run) if each.told else "(not read)", each.uri)
        for each in day.snapshots
    ]
    problems = dict.fromkeys(each.problem for each in day.snapshots if each.problem)
    content = [
        page.section("Snapshots of the day, the newest first", page.table(headings, rows)),
        page.section("Which run archived it, and where it lies", page.table(("snapshot", "run", "manifest"), places)),
        *(page.paragraph(f"Sizes and runs are in the manifests. {problem}") for problem in problems),
        *([page.paragraph(f"{day.more:,} older snapshots are not shown.")] if day.more else []),
        f'<p><a href="coverage?month={Month.of(day.usage_date)}">Coverage of {Month.of(day.usage_date)}</a></p>\n',
    ]
    return render_view("Day", f"{day.usage_date}, {_name(day.series)}", content)


def show_revisions(coverage: Coverage, changes: Sequence[Change], problem: str = "") -> str:
    """Return what changed after it was first archived; ``problem`` says why there are no amounts."""
    headings = ("changed", "stream", "day", "revision", "rows before", "rows now")
    money = ("currency", "cost before", "cost now", "change")
    rows = [row for change in changes for row in _change_rows(change)]
    content = [
        form("revisions", month=(coverage.months, coverage.month)),
        page.section("What changed after it was first archived", page.table((*headings, *money), rows)),
        page.paragraph(
            problem
            or "Streams of one vendor may show the same money from several sides: amounts are not to be added up."
        ),
        *tell_rest(len(coverage.changes)),
    ]
    return render_view("Revisions", f"{coverage.month}, the latest first", content)


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
    return render_view("Closes", "The latest first", [page.section("Closed months", page.table(headings, rows))])


def show_problem(sentence: str) -> str:
    """Return a page that says why there is none."""
    return render_view("LLM usage", "", [page.paragraph(sentence)])


def _change_rows(change: Change) -> Iterable[Sequence[page.Cell]]:
    before, after = change.before, change.after
    facts: tuple[page.Cell, ...] = (
        f"{after.snapshot_at:%Y-%m-%d %H:%M} UTC",
        after.name,
        page.Link(after.usage_date.isoformat(), _day_link(after.series, after.usage_date.isoformat())),
        Decimal(after.revision),
        Decimal(before.rows),
        Decimal(after.rows),
    )
    if not change.amounts:
        yield (*facts, "", None, None, None)
    for currency, (old, new) in change.amounts.items():
        yield (*facts, currency, strip_zeros(old), strip_zeros(new), strip_zeros(EXACT.subtract(new, old)))


def _run_link(run: tuple[str, str] | None) -> page.Cell:
    if run is None:
        return "(no run of Airflow)"
    return page.Link(" ".join(run), f"../dags/{quote(run[0], safe='')}/runs/{quote(run[1], safe='')}")


def _day_link(series: Series, day: str) -> str:
    asked = {"vendor": series.vendor, "account": series.account, "stream": series.stream, "date": day}
    return f"day?{urlencode(asked)}"


def _name(series: Series) -> str:
    return f"{series.vendor}/{series.account}/{series.stream}"
