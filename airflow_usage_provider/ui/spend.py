"""What a month cost, from its FOCUS files alone. Sums are exact, and two currencies are never added."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from airflow_usage_provider.exceptions import ConfigurationError
from airflow_usage_provider.tables.charges import EXACT
from airflow_usage_provider.tables.figures import Sums
from airflow_usage_provider.tables.layout import Month

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_usage_provider.ui.store import TableStore

FOCUS = "focus/1.4/"
_MONTH = "billing_month="
_COLUMNS = (
    "BilledCost",
    "BillingCurrency",
    "ServiceProviderName",
    "BillingAccountId",
    "ChargeDescription",
    "x_PrincipalKind",
    "x_PrincipalId",
    "x_ModelId",
)
#: What a month is broken down by, and the columns that tell apart what it is broken into.
BREAKDOWNS: Mapping[str, tuple[str, ...]] = {
    "account": ("vendor", "account"),
    "principal": ("vendor", "account", "kind", "principal"),
    "model": ("vendor", "model"),
}
_KEYS: Mapping[str, tuple[str, ...]] = {
    "day": ("ServiceProviderName", "day"),
    "account": ("ServiceProviderName", "BillingAccountId"),
    "principal": ("ServiceProviderName", "BillingAccountId", "x_PrincipalKind", "x_PrincipalId"),
    "model": ("ServiceProviderName", "x_ModelId"),
}
_NO_TABLES = "There are no tables of cost yet"
_MAKE = "Run the DAG usage_month_close for a month, or usage-archive focus ARCHIVE --month YYYY-MM --to TABLES_URL."


@dataclass(frozen=True, slots=True, kw_only=True)
class Spend:
    """
    A month in one currency.

    :param months: every month there is, the newest first; likewise ``currencies`` of this month.
    :param days: cost by vendor and day of the month as ``YYYY-MM-DD``.
    :param sums: by breakdown: cost by key; ``before`` likewise, of the month before, None if that is not there.
    """

    month: Month
    months: Sequence[Month]
    currency: str
    currencies: Sequence[str]
    days: Mapping[str, Mapping[str, Decimal]]
    sums: Mapping[str, Mapping[tuple[str, ...], Decimal]]
    before: Mapping[str, Mapping[tuple[str, ...], Decimal]] | None

    @property
    def total(self) -> Decimal:
        """What the month cost."""
        return add_up(self.sums["account"])

    @property
    def total_before(self) -> Decimal | None:
        """What the month before cost; None if it is not there."""
        return None if self.before is None else add_up(self.before["account"])


class NotThereError(ConfigurationError):
    """What was asked for is not among the tables."""


def read_spend(store: TableStore, month: Month | None, currency: str) -> Spend:
    """
    Read a month; without one, the newest; without a currency, the one that comes first.

    :raises NotThereError: there is no such month or currency, or no table at all.
    """
    months = list_months(store, FOCUS, _MONTH)
    if not months:
        raise NotThereError(_NO_TABLES, next_step=_MAKE)
    chosen = month or months[0]
    sums = _read_month(store, chosen) if chosen in months else {}
    currencies = sorted(sums)
    if not currencies:
        raise NotThereError(f"There is no cost of {chosen} among the tables", next_step=_MAKE)
    if currency and currency not in currencies:
        raise NotThereError(f"Nothing of {chosen} is in {currency!r}", next_step=f"Ask for {', '.join(currencies)}.")
    unit = currency or currencies[0]
    previous = Month.of(chosen.first - timedelta(days=1))
    before = _read_month(store, previous).get(unit, dict.fromkeys(_KEYS, Sums())) if previous in months else None
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


def _read_month(store: TableStore, month: Month) -> dict[str, dict[str, Sums]]:
    found = store.find(f"{FOCUS}{_MONTH}{month}/")
    sums: dict[str, dict[str, Sums]] = {}
    for breakdown, currency, key, cost in store.load(found, _COLUMNS, reduce_charges):
        sums.setdefault(currency, {each: Sums() for each in _KEYS})[breakdown].add(key, cost)
    return sums


def reduce_charges(batches: Any) -> list[tuple[str, str, tuple[str, ...], Decimal]]:
    """Return breakdown, currency, key and cost of everything in one file."""
    import pyarrow as pa
    import pyarrow.compute as pc

    sums: dict[tuple[str, str], Sums] = {}
    for batch in batches:
        table = pa.Table.from_batches([batch])
        days = pc.utf8_slice_codeunits(table["ChargeDescription"], -10, None)  # it ends with the usage date
        table = table.append_column("day", days)
        for breakdown, keys in _KEYS.items():
            grouped = table.group_by(["BillingCurrency", *keys]).aggregate([("BilledCost", "sum")])
            for row in grouped.to_pylist():
                key = tuple(row[name] or "" for name in keys)
                sums.setdefault((breakdown, row["BillingCurrency"]), Sums()).add(key, row["BilledCost_sum"])
    return [(*names, key, cost) for names, own in sums.items() for key, cost in own.items()]
