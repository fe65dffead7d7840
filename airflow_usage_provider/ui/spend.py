"""What a month cost, from its FOCUS files alone. Sums are exact, and two currencies are never added."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from airflow_usage_provider.exceptions import ConfigurationError
from airflow_usage_provider.tables.charges import EXACT
from airflow_usage_provider.tables.figures import Sums
from airflow_usage_provider.tables.layout import Month
from airflow_usage_provider.ui.charges import Adding
from airflow_usage_provider.ui.store import NotThereError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_usage_provider.ui.store import TableStore

FOCUS = "focus/1.4/"
_MONTH = "billing_month="
#: What a month is broken down by, and what tells apart what it is broken into.
BREAKDOWNS: Mapping[str, tuple[str, ...]] = {
    "account": ("vendor", "account"),
    "owner": ("owner", "cost center"),
    "principal": ("vendor", "account", "kind", "principal"),
    "model": ("vendor", "model"),
}
_NO_TABLES = "There are no tables of cost yet"
_MAKE = "Run the DAG usage_month_close for a month, or usage-archive focus ARCHIVE --month YYYY-MM --to TABLES_URL."
_Breakdowns = dict[str, Sums]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spend:
    """
    A month in one currency.

    :param months: every month there is, the newest first; likewise ``currencies`` of this month.
    :param days: cost by vendor and day of the month as ``YYYY-MM-DD``.
    :param sums: by breakdown: cost by key; ``before`` likewise, of the month before, None if that is not there.
    :param names: of principals, by their key.
    """

    month: Month
    months: Sequence[Month]
    currency: str
    currencies: Sequence[str]
    days: Mapping[str, Mapping[str, Decimal]]
    sums: Mapping[str, Mapping[tuple[str, ...], Decimal]]
    before: Mapping[str, Mapping[tuple[str, ...], Decimal]] | None
    names: Mapping[tuple[str, ...], str] = field(default_factory=dict)

    @property
    def last_day(self) -> str:
        """The latest day with charges, as ``YYYY-MM-DD``."""
        return max(day for own in self.days.values() for day in own)

    @property
    def total(self) -> Decimal:
        """What the month cost."""
        return add_up(self.sums["account"])

    @property
    def total_before(self) -> Decimal | None:
        """What the month before cost; None if it is not there."""
        return None if self.before is None else add_up(self.before["account"])


def read_spend(store: TableStore, month: Month | None, currency: str, adding: Adding | None = None) -> Spend:
    """
    Read a month; without one, the newest; without a currency, the one that comes first.

    :param adding: whether owners and names are wanted.
    :raises NotThereError: there is no such month or currency, or no table at all.
    """
    months = list_months(store, FOCUS, _MONTH)
    if not months:
        raise NotThereError(_NO_TABLES, next_step=_MAKE)
    chosen, how = month or months[0], adding or Adding()
    sums, names = _read_month(store, chosen, how) if chosen in months else ({}, {})
    currencies = sorted(sums)
    if not currencies:
        raise NotThereError(f"There is no cost of {chosen} among the tables", next_step=_MAKE)
    if currency and currency not in currencies:
        raise NotThereError(f"Nothing of {chosen} is in {currency!r}", next_step=f"Ask for {', '.join(currencies)}.")
    unit = currency or currencies[0]
    previous = Month.of(chosen.first - timedelta(days=1))
    before = None
    if previous in months:
        sums_before, names_before = _read_month(store, previous, how)
        before, names = sums_before.get(unit, _nothing(how)), {**names_before, **names}
    days: dict[str, dict[str, Decimal]] = {}
    for (vendor, day), cost in sorted(sums[unit]["day"].items()):
        days.setdefault(vendor, {})[day] = cost
    return Spend(
        month=chosen,
        months=months,
        currency=unit,
        currencies=currencies,
        days=days,
        sums=sums[unit],
        before=before,
        names=names,
    )


def list_months(store: TableStore, folder: str, name: str) -> list[Month]:
    """Return the months a folder has, the newest first; other names are not ours."""
    months = []
    for found in store.list_folders(folder):
        try:
            months.append(Month.parse(found.removeprefix(name)))
        except ConfigurationError:
            continue
    return sorted(months, reverse=True)


def add_up(sums: Mapping[tuple[str, ...], Decimal]) -> Decimal:
    """Return an exact sum."""
    total = Decimal(0)
    for amount in sums.values():
        total = EXACT.add(total, amount)
    return total


def _read_month(
    store: TableStore, month: Month, how: Adding
) -> tuple[dict[str, _Breakdowns], dict[tuple[str, ...], str]]:
    sums: dict[str, _Breakdowns] = {}
    names: dict[tuple[str, ...], str] = {}
    for each in store.load(store.find(f"{FOCUS}{_MONTH}{month}/"), how.kind, how.add_up):
        sums.setdefault(each.currency, _nothing(how))[each.breakdown].add(each.key, each.cost)
        if each.name:
            names[each.key] = each.name
    return sums, names


def _nothing(how: Adding) -> _Breakdowns:
    return {each: Sums() for each in how.breakdowns}
