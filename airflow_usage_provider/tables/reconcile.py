"""Holds a month's figures against each other: what must be equal, line by line, with exact differences.

Views of one pot of money against its finest, rows against the totals the vendor sent with them, weekly and monthly
listings against the sum of their days, days of a pot that are not there, and rows of a pot that have no cost.
"""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from airflow_usage_provider.archive.catalog import read_time
from airflow_usage_provider.models import UsageWindow
from airflow_usage_provider.schema import parse_value
from airflow_usage_provider.tables.charges import EXACT, choose_pots, iter_charges

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from airflow_usage_provider.archive.objects import Objects
    from airflow_usage_provider.tables.charges import PotDay, View

KINDS = ("views", "vendor totals", "longer listings", "missing days")
#: What a listing's envelope may say of all its rows, by what it is held against. Vendors misspell.
_TOTALS = {"total_users": "rows", "daily_requests": "requests", "monthly_cost": "cost", "montly_cost": "cost"}
_LONGER = ("weekly", "monthly")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """
    Two figures that must be equal.

    :param kind: one of :data:`KINDS`, or ``not priced``.
    :param subject: what they are about.
    :param unit: a currency, ``requests``, ``rows`` or ``days``.
    :param left: what the first is, with its figure; likewise ``right``.
    """

    kind: str
    subject: str
    unit: str
    left: tuple[str, Decimal]
    right: tuple[str, Decimal]

    @property
    def difference(self) -> Decimal:
        """The first less the second, exactly."""
        return EXACT.subtract(self.left[1], self.right[1])

    def is_beyond(self, tolerance: Decimal) -> bool:
        """Whether they differ by more than is tolerated; of anything but money, nothing is."""
        is_money = self.unit.isupper()
        return abs(self.difference) > (tolerance if is_money else 0)

    def __str__(self) -> str:
        (left, first), (right, second) = self.left, self.right
        return (
            f"{self.kind}: {self.subject}: {left} {first:f}, {right} {second:f}, difference {self.difference:f} "
            f"{self.unit}"
        )


@dataclass(frozen=True, slots=True)
class Measured:
    """What a view's rows add up to; those without a cost are ``unpriced``."""

    rows: int
    unpriced: int
    costs: Mapping[str, Decimal]
    requests: int | None


def measure(objects: Objects, view: View) -> Measured:
    """
    Add up a view that has the role ``cost``.

    :raises UnreadableValueError: a cost cannot be read.
    """
    costs: dict[str, Decimal] = {}
    rows = requests = 0
    unpriced: list[int] = []
    for charge in iter_charges(objects, view, unpriced):
        rows += 1
        costs[charge.currency] = EXACT.add(costs.get(charge.currency, Decimal(0)), charge.cost)
        requests += charge.counts.get("requests", 0)
    has_requests = "requests" in view.schema.roles and not unpriced
    return Measured(rows + len(unpriced), len(unpriced), costs, requests if has_requests else None)


def reconcile(
    objects: Objects, views: Sequence[View], days: Sequence[date], *, skip: Collection[str] = ()
) -> Iterator[Line]:
    """
    Yield every pair of figures of a month that must be equal, also those that are.

    A row of a pot that has no cost is a difference that cannot be skipped: what it cost is nothing that anybody knows.

    :param views: of that month, as ``read_views`` returns them.
    :param days: those that must be there.
    :param skip: those of :data:`KINDS` that are not compared.
    """
    pots = choose_pots(views)
    measured: dict[int, Measured] = {}

    def figures(view: View) -> Measured:
        if id(view) not in measured:
            measured[id(view)] = measure(objects, view)
        return measured[id(view)]

    for pot in pots if "views" not in skip else ():
        for other in pot.views[1:]:
            subject = f"{pot.vendor}/{pot.account} {pot.pot} {pot.usage_date}"
            streams = (pot.finest.day.series.stream, other.day.series.stream)
            yield from _compare("views", subject, streams, figures(pot.finest), figures(other))
    for view in views if "vendor totals" not in skip else ():
        if "cost" in view.schema.roles:
            yield from _compare_totals(view, lambda view=view: figures(view))
    for view in views if "longer listings" not in skip else ():
        if "cost" in view.schema.roles and not view.pot:
            yield from _compare_longer(view, pots, figures)
    if "missing days" not in skip:
        yield from _find_missing(pots, days)
    for pot in pots:
        if unpriced := figures(pot.finest).unpriced:
            yield Line(
                kind="not priced",
                subject=str(pot.finest),
                unit="rows",
                left=("without a cost", Decimal(unpriced)),
                right=("expected", Decimal(0)),
            )


def _compare(
    kind: str, subject: str, names: tuple[str, str], left: Measured, right: Measured, *, has_requests: bool = True
) -> Iterator[Line]:
    for currency in sorted({*left.costs, *right.costs}):
        first, second = (each.costs.get(currency, Decimal(0)) for each in (left, right))
        yield Line(kind=kind, subject=subject, unit=currency, left=(names[0], first), right=(names[1], second))
    if has_requests and left.requests is not None and right.requests is not None:
        first, second = Decimal(left.requests), Decimal(right.requests)
        yield Line(kind=kind, subject=subject, unit="requests", left=(names[0], first), right=(names[1], second))


def _compare_totals(view: View, figures: Any) -> Iterator[Line]:
    said = view.manifest.envelope.get("aggregation_data")
    if not isinstance(said, dict):
        return
    for name, what in _TOTALS.items():
        try:
            total = parse_value("money", said.get(name))
        except ValueError:
            continue
        if total is None:
            continue
        own: Measured = figures()
        costs = own.costs or {view.schema.roles["currency"]: Decimal(0)}
        if what == "cost" and len(costs) == 1:
            ((unit, value),) = costs.items()
        elif what == "requests" and own.requests is not None:
            unit, value = what, Decimal(own.requests)
        elif what == "rows":
            unit, value = what, Decimal(own.rows)
        else:
            continue
        yield Line(kind="vendor totals", subject=str(view), unit=unit, left=("rows", value), right=(name, total))


def _compare_longer(view: View, pots: Iterable[PotDay], figures: Any) -> Iterator[Line]:
    """Hold a listing over a week or a month, taken when that was over, against its days, if all of them are there."""
    words = view.day.series.stream.split("_")
    period = next((word for word in _LONGER if word in words), None)
    if period is None:
        return
    base = "_".join(word for word in words if word != period)
    first, last = _period(period, view.day.usage_date)
    if read_time(view.manifest) < UsageWindow(last, view.manifest.timezone).end:
        return
    series = view.day.series
    days = [
        other
        for pot in pots
        for other in pot.views
        if (pot.vendor, pot.account, other.day.series.stream) == (series.vendor, series.account, base)
        and first <= pot.usage_date <= last
    ]
    if len(days) != (last - first).days + 1:
        return
    total = _add(figures(day) for day in days)
    names = (series.stream, f"{len(days)} days of {base}")
    yield from _compare(
        "longer listings", f"{series.vendor}/{series.account} {first} to {last}", names, figures(view), total
    )


def _period(period: str, day: date) -> tuple[date, date]:
    if period == "weekly":
        monday = day - timedelta(days=day.weekday())
        return monday, monday + timedelta(days=6)
    return day.replace(day=1), day.replace(day=monthrange(day.year, day.month)[1])


def _add(parts: Iterable[Measured]) -> Measured:
    costs: dict[str, Decimal] = {}
    rows = unpriced = requests = 0
    has_requests = True
    for part in parts:
        rows += part.rows
        unpriced += part.unpriced
        has_requests = has_requests and part.requests is not None
        requests += part.requests or 0
        for currency, cost in part.costs.items():
            costs[currency] = EXACT.add(costs.get(currency, Decimal(0)), cost)
    return Measured(rows, unpriced, costs, requests if has_requests else None)


def _find_missing(pots: Sequence[PotDay], days: Sequence[date]) -> Iterator[Line]:
    for vendor, account, name in sorted({(pot.vendor, pot.account, pot.pot) for pot in pots}):
        there = {pot.usage_date for pot in pots if (pot.vendor, pot.account, pot.pot) == (vendor, account, name)}
        for day in days:
            if day not in there:
                subject = f"{vendor}/{account} {name} {day}"
                yield Line(
                    kind="missing days",
                    subject=subject,
                    unit="days",
                    left=("archived", Decimal(0)),
                    right=("expected", Decimal(1)),
                )


def expected_days(first: date, last: date, now: datetime) -> list[date]:
    """Return the days of a month that were over at a time, everywhere."""
    latest = min(last, (now - timedelta(hours=12)).date() - timedelta(days=1))
    return [first + timedelta(days=number) for number in range((latest - first).days + 1)]
