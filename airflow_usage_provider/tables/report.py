"""A month on one page, for people: what it cost, where it went, what is missing, what changed, and how it was made."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING

from airflow_usage_provider import __version__
from airflow_usage_provider.archive.catalog import read_time
from airflow_usage_provider.archive.seal import list_seals, read_seal
from airflow_usage_provider.exceptions import ConfigurationError
from airflow_usage_provider.tables import page
from airflow_usage_provider.tables.charges import EXACT, choose_pots, read_views
from airflow_usage_provider.tables.figures import cover, find_revised, gather, gather_before
from airflow_usage_provider.tables.reconcile import expected_days, reconcile

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import date, datetime

    from airflow_usage_provider.archive.objects import Objects
    from airflow_usage_provider.archive.seal import Seal
    from airflow_usage_provider.tables.charges import View
    from airflow_usage_provider.tables.figures import Figures, Revised, Sums
    from airflow_usage_provider.tables.layout import Month
    from airflow_usage_provider.tables.owners import Owners
    from airflow_usage_provider.tables.reconcile import Line

TOP = 20
NOBODY = "(nobody)"
_COST = ("currency", "cost")


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthReport:
    """
    Everything the page shows.

    :param before: what the month before cost; None if it is not archived.
    :param revised: days that changed since ``since``; None if that was not asked.
    :param seal: until when the archive is sealed, and the seal's root; None if the month is not.
    """

    month: Month
    archive: str
    as_of: datetime | None
    newest: datetime
    figures: Figures
    before: Figures | None
    days: Sequence[date]
    states: Mapping[str, Sequence[str]]
    lines: Sequence[Line]
    skipped: Sequence[str]
    tolerance: Decimal
    since: datetime | None
    revised: Sequence[Revised] | None
    has_owners: bool
    seal: tuple[date, str] | None


def gather_report(
    objects: Objects,
    month: Month,
    *,
    owners: Owners,
    now: datetime,
    as_of: datetime | None = None,
    since: datetime | None = None,
    tolerance: Decimal = Decimal(0),
    skip: Collection[str] = (),
) -> MonthReport:
    """
    Read everything a month's page shows.

    :param since: tell what has changed since then: the time of the last close.
    :param skip: comparisons that are left out, which the page says.
    :raises ConfigurationError: the month has no charges, or two lines of the owners file claim one.
    """
    views = read_views(objects, month, as_of=as_of)
    pots = choose_pots(views)
    if not pots:
        raise ConfigurationError(
            f"Nothing in the archive is a charge of {month}", next_step="See usage-archive ls for what there is."
        )
    days = [month.first + timedelta(days=number) for number in range((month.last - month.first).days + 1)]
    then = choose_pots(read_views(objects, month, as_of=since)) if since else []
    return MonthReport(
        month=month,
        archive=objects.uri("").rstrip("/"),
        as_of=as_of,
        newest=max(read_time(view.manifest) for view in views),
        figures=gather(objects, pots, owners, is_strict=False),
        before=gather_before(objects, month, as_of),
        days=days,
        states=cover(_daily(views), days),
        lines=list(reconcile(objects, views, expected_days(month.first, month.last, as_of or now), skip=skip)),
        skipped=sorted(skip),
        tolerance=tolerance,
        since=since,
        revised=find_revised(objects, then, pots) if since else None,
        has_owners=bool(owners),
        seal=_find_seal(objects, month),
    )


def render_report(report: MonthReport) -> str:
    """Return the page."""
    figures = report.figures
    sections = [
        page.tiles(_headline(report)),
        *_unpriced(report),
        *(_chart(report, currency) for (currency,) in sorted(figures.totals)),
        page.section(
            "By account", page.table(("vendor", "account", "pot", "currency", "cost"), _rows(figures.accounts))
        ),
        page.section(
            "By owner",
            page.table(("owner", "cost center", *_COST), _rows(_name_nobody(figures.owners)))
            if report.has_owners
            else page.paragraph("No owners file was given."),
        ),
        page.section(
            "Top principals",
            page.table(("vendor", "account", "kind", "id", *_COST), _top(figures.principals)),
        ),
        page.section("Top models", page.table(("vendor", "account", "model", *_COST), _top(figures.models))),
        page.section("Coverage", page.coverage([day.isoformat() for day in report.days], report.states)),
        page.section("Revised since the last close", _revisions(report)),
        page.section("Reconciliation", *_reconciliation(report)),
        page.section("How this was made", page.table(("", ""), _provenance(report))),
    ]
    asked = (
        f"as of {report.as_of:%Y-%m-%d %H:%M} UTC"
        if report.as_of
        else f"as known on {report.newest:%Y-%m-%d %H:%M} UTC"
    )
    return page.render_page(f"LLM usage and cost, {report.month}", f"{report.archive}, {asked}", sections)


def _headline(report: MonthReport) -> Iterable[tuple[str, str, str]]:
    for (currency,), total in sorted(report.figures.totals.items()):
        before = report.before.totals.get((currency,)) if report.before else None
        if report.before and report.before.unpriced:
            change = "not every row of the month before has a cost"
        elif before is None:
            change = "the month before is not archived"
        else:
            difference = EXACT.subtract(total, before)
            share = f", {difference / before * 100:+.1f} %" if before else ""
            change = f"{difference:+,.2f} to the month before{share}"
        yield f"Total, {currency}", f"{total:,.2f}", f"exactly {total:f}; {change}"
    if unpriced := sum(report.figures.unpriced.values()):
        yield "Not priced", f"{unpriced:,} rows", "the vendor names no cost for them; they are in no total"
    findings = sum(line.is_beyond(report.tolerance) for line in report.lines)
    yield "Reconciliation", f"{findings} findings", f"of {len(report.lines)} comparisons"
    missing = sum(states.count("missing") for states in report.states.values())
    yield "Coverage", f"{missing} missing", f"days of {len(report.states)} streams"
    yield "Seal", "sealed" if report.seal else "not sealed", report.seal[1][:16] + "…" if report.seal else ""


def _chart(report: MonthReport, currency: str) -> str:
    series: dict[str, dict[str, Decimal]] = {}
    for (vendor, day, unit), cost in sorted(report.figures.days.items()):
        if unit == currency:
            series.setdefault(vendor, {})[day] = cost
    days = [day.isoformat() for day in report.days]
    rows = [(day, vendor, own[day]) for day in days for vendor, own in series.items() if day in own]
    figures = page.table(("day", "vendor", f"cost, {currency}"), rows)
    return page.section(
        f"Cost a day, {currency}",
        page.bars(days, series, currency),
        f"<details><summary>The figures</summary>{figures}</details>\n",
    )


def _unpriced(report: MonthReport) -> Iterable[str]:
    if report.figures.unpriced:
        rows = _rows({key: Decimal(count) for key, count in report.figures.unpriced.items()})
        yield page.section(
            "Not priced",
            page.paragraph("The vendor names no cost for these rows. They are in no sum on this page."),
            page.table(("vendor", "account", "pot", "day", "rows"), rows),
        )


def _rows(sums: Mapping[tuple[str, ...], Decimal]) -> list[tuple[str | Decimal, ...]]:
    """Return the largest first; each currency by itself."""
    ordered = sorted(sums.items(), key=lambda item: (item[0][-1], -item[1], item[0]))
    return [(*key, cost) for key, cost in ordered]


def _top(sums: Sums) -> list[tuple[str | Decimal, ...]]:
    """Return the first of each currency, and what the others are together, so that the column adds up."""
    chosen: list[tuple[str | Decimal, ...]] = []
    for currency in sorted({key[-1] for key in sums}):
        rows = _rows({key: cost for key, cost in sums.items() if key[-1] == currency})
        chosen += islice(rows, TOP)
        if rest := rows[TOP:]:
            total = Decimal(0)
            for row in rest:
                total = EXACT.add(total, Decimal(row[-1]))
            blanks = [""] * (len(rest[0]) - 3)
            chosen.append((f"{len(rest):,} others", *blanks, currency, total))
    return chosen


def _name_nobody(sums: Sums) -> dict[tuple[str, ...], Decimal]:
    return {(key[0] or NOBODY, *key[1:]): cost for key, cost in sums.items()}


def _daily(views: Sequence[View]) -> list[View]:
    """Leave out listings that are not asked for every day: those over longer times."""
    return [view for view in views if view.day.series.is_daily]


def _revisions(report: MonthReport) -> str:
    if report.revised is None:
        return page.paragraph("There is no earlier close to compare with.")
    rows = [
        (each.subject, each.currency, each.before, each.after, EXACT.subtract(each.after, each.before or Decimal(0)))
        for each in report.revised
    ]
    return page.table(("day", "currency", f"on {report.since:%Y-%m-%d}", "now", "difference"), rows)


def _reconciliation(report: MonthReport) -> Iterable[str]:
    odd = [line for line in report.lines if line.difference]
    if report.skipped:
        yield page.paragraph(f"Not compared, as asked: {', '.join(report.skipped)}.")
    yield page.paragraph(f"{len(report.lines) - len(odd):,} of {len(report.lines):,} comparisons are equal.")
    if odd:
        rows = [
            (
                "finding" if line.is_beyond(report.tolerance) else "note",
                line.kind,
                line.subject,
                f"{line.left[0]} less {line.right[0]}",
                line.unit,
                line.difference,
            )
            for line in odd
        ]
        yield page.table(("", "kind", "about", "what", "unit", "difference"), rows)


def _provenance(report: MonthReport) -> list[tuple[str, str]]:
    sealed = (
        f"until {report.seal[0]}, root {report.seal[1]}" if report.seal else "no seal of the archive covers this month"
    )
    return [
        ("archive", report.archive),
        ("as of", report.as_of.isoformat() if report.as_of else "the newest snapshots"),
        ("newest snapshot", report.newest.isoformat()),
        ("seal", sealed),
        ("made by", f"airflow-usage-provider {__version__}, usage-archive report, from the archive alone"),
        ("checked with", f"usage-archive verify and usage-archive reconcile --month {report.month}"),
    ]


def _find_seal(objects: Objects, month: Month) -> tuple[date, str] | None:
    """Return the newest seal that covers the month."""
    for name in reversed(list_seals(objects)):
        with tempfile.TemporaryFile() as store:
            seal: Seal = read_seal(objects.chunks(name), store, objects, name=name)
            if seal.until >= month.last:
                return seal.until, seal.root
    return None
