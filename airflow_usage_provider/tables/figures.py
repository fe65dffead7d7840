"""The figures of a month that a report shows, gathered in one pass over its charges. Sums are exact."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from airflow_usage_provider.exceptions import ConfigurationError
from airflow_usage_provider.tables.charges import EXACT, add_up, choose_pots, iter_charges, read_views
from airflow_usage_provider.tables.layout import Month
from airflow_usage_provider.tables.owners import Owner, Owners

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

    from airflow_usage_provider.archive.objects import Objects
    from airflow_usage_provider.tables.charges import PotDay, View


class Sums(dict[tuple[str, ...], Decimal]):
    """Exact sums by some key."""

    def add(self, key: tuple[str, ...], amount: Decimal) -> None:
        """Add to one of them."""
        self[key] = EXACT.add(self.get(key, Decimal(0)), amount)


@dataclass(slots=True)
class Figures:
    """
    What a month cost. Keys end with a currency: two are never added.

    :param totals: by currency.
    :param days: by vendor, day as ``YYYY-MM-DD`` and currency.
    :param principals: by vendor, account, kind, id and currency; likewise ``models`` without kind.
    :param owners: by owner, cost center and currency; empty names for what nobody owns.
    :param unpriced: how many rows have no cost, and are in no sum; by vendor, account, pot and day.
    """

    totals: Sums = field(default_factory=Sums)
    days: Sums = field(default_factory=Sums)
    accounts: Sums = field(default_factory=Sums)
    principals: Sums = field(default_factory=Sums)
    models: Sums = field(default_factory=Sums)
    owners: Sums = field(default_factory=Sums)
    unpriced: dict[tuple[str, ...], int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Revised:
    """A day of a pot whose answer is another than it was; ``before`` is None where there was none."""

    subject: str
    currency: str
    before: Decimal | None
    after: Decimal


def gather(objects: Objects, pots: Sequence[PotDay], owners: Owners, *, is_strict: bool = True) -> Figures:
    """
    Add up the charges of a month.

    :param is_strict: a row without a cost is an error; else it is counted in ``unpriced``.
    :raises ConfigurationError: two lines of the owners file claim one charge.
    :raises UnreadableValueError: a cost cannot be read.
    """
    figures = Figures()
    for pot in pots:
        unpriced: list[int] = []
        for charge in iter_charges(objects, pot.finest, None if is_strict else unpriced):
            cost, currency = charge.cost, charge.currency
            figures.totals.add((currency,), cost)
            figures.days.add((pot.vendor, pot.usage_date.isoformat(), currency), cost)
            figures.accounts.add((pot.vendor, pot.account, pot.pot, currency), cost)
            principal = (charge.principal_kind or "", charge.principal or "")
            figures.principals.add((pot.vendor, pot.account, *principal, currency), cost)
            figures.models.add((pot.vendor, pot.account, charge.model or "", currency), cost)
            owner = owners.find(pot.vendor, pot.account, charge.principal or "", pot.usage_date) if owners else Owner()
            figures.owners.add((owner.name, owner.cost_center, currency), cost)
        if unpriced:
            figures.unpriced[pot.vendor, pot.account, pot.pot, pot.usage_date.isoformat()] = len(unpriced)
    return figures


def gather_before(objects: Objects, month: Month, as_of: datetime | None) -> Figures | None:
    """Return what the month before cost; None if nothing of it is archived."""
    before = Month.of(month.first - timedelta(days=1))
    try:
        pots = choose_pots(read_views(objects, before, as_of=as_of))
    except ConfigurationError:
        return None
    return gather(objects, pots, Owners(), is_strict=False) if pots else None


def find_revised(objects: Objects, then: Sequence[PotDay], now: Sequence[PotDay]) -> list[Revised]:
    """Return the days whose money is another now than it was, with both amounts, without rows that have no cost."""
    earlier = {(pot.vendor, pot.account, pot.pot, pot.usage_date): pot for pot in then}
    revised = []
    for pot in now:
        old = earlier.get((pot.vendor, pot.account, pot.pot, pot.usage_date))
        if old and old.finest.manifest.snapshot_id == pot.finest.manifest.snapshot_id:
            continue
        before = add_up(iter_charges(objects, old.finest, [])) if old else {}
        after = add_up(iter_charges(objects, pot.finest, []))
        for currency in sorted({*before, *after}):
            first, second = before.get(currency, Decimal(0)), after.get(currency, Decimal(0))
            if first != second or old is None:
                subject = f"{pot.vendor}/{pot.account} {pot.pot} {pot.usage_date}"
                revised.append(Revised(subject, currency, first if old else None, second))
    return revised


def cover(views: Sequence[View], days: Sequence[date]) -> dict[str, list[str]]:
    """Return the state of each day, ``complete``, ``empty``, ``revised`` or ``missing``, by stream."""
    found: defaultdict[str, dict[date, str]] = defaultdict(dict)
    for view in views:
        manifest, series = view.manifest, view.day.series
        state = "revised" if manifest.revision > 1 else "empty" if manifest.empty else "complete"
        found[f"{series.vendor}/{series.account}/{series.stream}"][view.day.usage_date] = state
    return {name: [own.get(day, "missing") for day in days] for name, own in sorted(found.items())}
