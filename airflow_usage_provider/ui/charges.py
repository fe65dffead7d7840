"""What one file of FOCUS adds up to, in one pass. Sums are exact, and two currencies are never added."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from airflow_usage_provider.exceptions import ConfigurationError
from airflow_usage_provider.tables.figures import Sums

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from decimal import Decimal

    from airflow_usage_provider.tables.owners import Owners
    from airflow_usage_provider.ui.store import Table

_PRINCIPAL = ("ServiceProviderName", "BillingAccountId", "x_PrincipalKind", "x_PrincipalId")
#: The columns whose values are the keys of a breakdown.
KEYS: Mapping[str, tuple[str, ...]] = {
    "day": ("ServiceProviderName", "day"),
    "account": ("ServiceProviderName", "BillingAccountId"),
    "principal": _PRINCIPAL,
    "model": ("ServiceProviderName", "x_ModelId"),
}
_COLUMNS = ("BilledCost", "BillingCurrency", "ChargeDescription", "x_ModelId", *_PRINCIPAL)
_NAME = "x_PrincipalName"
_CLAIMED_TWICE = ("(two lines of the owners file claim it)", "")


@dataclass(frozen=True, slots=True)
class OwnersFile:
    """
    The file of owners.

    :param version: another, if its bytes are others.
    """

    owners: Owners
    version: str


@dataclass(frozen=True, slots=True)
class Added:
    """
    One of the things that a file adds up to.

    :param key: of the breakdown; of the breakdown ``owner``, the owner and the cost center.
    :param name: of a principal, if names are wanted and the file has them.
    """

    breakdown: str
    currency: str
    key: tuple[str, ...]
    cost: Decimal
    name: str = ""


@dataclass(frozen=True, slots=True)
class Adding:
    """How files are added up."""

    owners: OwnersFile | None = None
    names: bool = False

    @property
    def kind(self) -> str:
        """Another, if a file adds up to something else."""
        return f"charges {self.owners and self.owners.version} {self.names}"

    @property
    def breakdowns(self) -> list[str]:
        """What there are sums by."""
        return [*KEYS, *(["owner"] if self.owners else [])]

    def add_up(self, table: Table) -> list[Added]:
        """Return what one file adds up to."""
        sums: dict[tuple[str, str], Sums] = {}
        names: dict[tuple[str, ...], str] = {}
        has_names = self.names and _NAME in table.columns
        for batch in table.batches(*_COLUMNS, *([_NAME] if has_names else [])):
            charges = _with_days(batch)
            for breakdown, keys in KEYS.items():
                for currency, key, cost in _group(charges, keys):
                    sums.setdefault((breakdown, currency), Sums()).add(key, cost)
            if self.owners:
                for currency, key, cost in _find_owners(charges, self.owners.owners):
                    sums.setdefault(("owner", currency), Sums()).add(key, cost)
            if has_names:
                rows = charges.group_by([*_PRINCIPAL, _NAME]).aggregate([]).to_pylist()
                names |= {_key(row, _PRINCIPAL): row[_NAME] for row in rows if row[_NAME]}
        return [
            Added(breakdown, currency, key, cost, names.get(key, "") if breakdown == "principal" else "")
            for (breakdown, currency), own in sums.items()
            for key, cost in own.items()
        ]


def _find_owners(charges: Any, owners: Owners) -> Iterator[tuple[str, tuple[str, ...], Decimal]]:
    import pyarrow.compute as pc

    span = pc.min_max(charges["day"]).as_py()
    first, last = date.fromisoformat(span["min"]), date.fromisoformat(span["max"])
    by_day = ["day"] if owners.change_between(first, last) else []
    keys = ("ServiceProviderName", "BillingAccountId", "x_PrincipalId", *by_day)
    for currency, (vendor, account, principal, *day), cost in _group(charges, keys):
        try:
            owner = owners.find(vendor, account, principal, date.fromisoformat(day[0]) if day else first)
        except ConfigurationError:
            yield currency, _CLAIMED_TWICE, cost
        else:
            yield currency, (owner.name, owner.cost_center), cost


def _with_days(batch: Any) -> Any:
    """Return a batch as a table with the usage dates, with which descriptions end."""
    import pyarrow as pa
    import pyarrow.compute as pc

    table = pa.Table.from_batches([batch])
    return table.append_column("day", pc.utf8_slice_codeunits(table["ChargeDescription"], -10, None))


def _group(charges: Any, keys: Sequence[str]) -> Iterator[tuple[str, tuple[str, ...], Decimal]]:
    for row in charges.group_by(["BillingCurrency", *keys]).aggregate([("BilledCost", "sum")]).to_pylist():
        yield row["BillingCurrency"], _key(row, keys), row["BilledCost_sum"]


def _key(row: Mapping[str, Any], names: Sequence[str]) -> tuple[str, ...]:
    return tuple(row[name] or "" for name in names)
