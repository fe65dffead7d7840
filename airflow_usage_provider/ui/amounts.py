"""What each revision of a day costs, from the tables ``history``: the column with the role ``cost``, exactly."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from airflow_usage_provider.archive.keys import Series
from airflow_usage_provider.tables.charges import EXACT
from airflow_usage_provider.tables.layout import Month, Piece
from airflow_usage_provider.vendors.schemas import find_schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date

    from airflow_usage_provider.ui.snapshots import Snapshot
    from airflow_usage_provider.ui.store import Table, TableStore


@dataclass(frozen=True, slots=True)
class Cost:
    """What one revision of a day costs."""

    series: Series
    usage_date: date
    revision: int
    currency: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Change:
    """
    An answer and the one that took its place.

    :param amounts: before and now, by currency; none, if the stream's rows have no cost.
    """

    before: Snapshot
    after: Snapshot
    amounts: Mapping[str, tuple[Decimal, Decimal]]


def list_changes(changes: Iterable[tuple[Snapshot, Snapshot]]) -> list[Change]:
    """Return changes without their amounts."""
    return [Change(before, after, {}) for before, after in changes]


def read_amounts(store: TableStore, changes: Iterable[tuple[Snapshot, Snapshot]]) -> list[Change]:
    """Read what changes were in money."""
    changes = list(changes)
    pieces = {Piece(after.series, Month.of(after.usage_date)) for _, after in changes}
    names = {piece.name("history") for piece in pieces}
    folders = sorted({name.rpartition("/")[0] for name in names})
    found = [each for folder in folders for each in store.find(f"{folder}/") if each.name in names]
    costs: dict[tuple[Series, date, int], dict[str, Decimal]] = {}
    currencies: dict[Series, set[str]] = {}
    for cost in store.load(found, "costs", reduce_costs):
        costs.setdefault((cost.series, cost.usage_date, cost.revision), {})[cost.currency] = cost.amount
        currencies.setdefault(cost.series, set()).add(cost.currency)

    def compare(before: Snapshot, after: Snapshot) -> Change:
        old, new = (costs.get((each.series, each.usage_date, each.revision), {}) for each in (before, after))
        is_known = all(own or each.state == "empty" for own, each in ((old, before), (new, after)))
        units = sorted({*old, *new}) or sorted(currencies.get(after.series, ()))
        zero = Decimal(0)
        return Change(before, after, {unit: (old.get(unit, zero), new.get(unit, zero)) for unit in units if is_known})

    return [compare(*pair) for pair in changes]


def reduce_costs(table: Table) -> list[Cost]:
    """Return what each day and revision of one file costs; nothing, if its rows have no cost."""
    series = Series(**table.footer("series"))
    roles = table.footer("roles") or _find_roles(series)
    if "cost" not in roles:
        return []
    cost, currency = roles["cost"], roles["currency"]
    is_column = currency in table.columns
    keys = ["usage_date", "revision", *([currency] if is_column else [])]
    sums: dict[tuple[date, int, str], Decimal] = {}
    for batch in table.batches(*keys, cost):
        for row in _add_up(batch, keys, cost):
            amount = row[f"{cost}_sum"]
            if amount is not None:
                unit = str(row[currency] or "").upper() if is_column else currency
                key = (row["usage_date"], row["revision"], unit)
                sums[key] = EXACT.add(sums.get(key, Decimal(0)), amount)
    scale = Decimal(roles.get("cost_scale", "1"))
    return [Cost(series, *key, EXACT.multiply(amount, scale)) for key, amount in sums.items()]


def _add_up(batch: Any, keys: list[str], cost: str) -> list[dict[str, Any]]:
    import pyarrow as pa

    rows: list[dict[str, Any]] = pa.Table.from_batches([batch]).group_by(keys).aggregate([(cost, "sum")]).to_pylist()
    return rows


def _find_roles(series: Series) -> Mapping[str, str]:
    """Return the roles of a stream of ours, for tables that were built before they told them."""
    schema = find_schema(series.vendor, series.stream)
    return schema.roles if schema else {}
