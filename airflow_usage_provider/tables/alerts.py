"""Money worth telling somebody about: what nears or passes a budget, and days unlike those of their weekday before."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from statistics import median
from typing import TYPE_CHECKING

from airflow_usage_provider.exceptions import ConfigurationError
from airflow_usage_provider.tables.charges import EXACT, add_up, choose_pots, iter_charges, read_views
from airflow_usage_provider.tables.figures import gather
from airflow_usage_provider.tables.layout import Month, months_between

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import date

    from airflow_usage_provider.archive.objects import Objects
    from airflow_usage_provider.tables.charges import PotDay
    from airflow_usage_provider.tables.figures import Sums
    from airflow_usage_provider.tables.owners import Owners

SUBJECTS = ("owner", "principal", "account")
_SIGMA = Decimal("1.4826")  # a MAD of normal figures, as a standard deviation


@dataclass(frozen=True, slots=True)
class Spending:
    """What somebody has spent of a month's budget."""

    name: str
    currency: str
    spent: Decimal
    limit: Decimal

    @property
    def is_over(self) -> bool:
        """Whether it is more than the limit."""
        return self.spent > self.limit

    def __str__(self) -> str:
        return f"{self.name} has spent {self.spent:f} of {self.limit:f} {self.currency}"


@dataclass(frozen=True, slots=True)
class DayCost:
    """
    What one day of a pot cost, and what days of that weekday cost before.

    :param stream: the view that counts.
    """

    vendor: str
    account: str
    stream: str
    usage_date: date
    currency: str
    cost: Decimal
    before: tuple[Decimal, ...]

    def is_spike(self, factor: Decimal, least: Decimal = Decimal(0), days: int = 4) -> bool:
        """
        Whether it is above the median of the days before by more than so many deviations, each 1.4826 MAD.

        :param least: an amount above the median that is never a spike; also where all days before were alike.
        :param days: with fewer days before, nothing is known.
        """
        if len(self.before) < days:
            return False
        usual = median(self.before)
        deviation = median(abs(cost - usual) for cost in self.before) * _SIGMA
        return self.cost - usual > max(factor * deviation, least)

    def __str__(self) -> str:
        usual = f", {len(self.before)} such weekdays before {median(self.before):f}" if self.before else ""
        return f"{self.vendor}/{self.account}/{self.stream} {self.usage_date}: {self.cost:f} {self.currency}{usual}"


def find_spending(
    objects: Objects,
    month: Month,
    *,
    by: str,
    budgets: Mapping[str, Decimal],
    currency: str,
    warn_at: Decimal,
    owners: Owners,
) -> list[Spending]:
    """
    Return who has spent at least the share ``warn_at`` of a month's budget, in order of name.

    :param by: one of :data:`SUBJECTS`; an account is named ``vendor/account``.
    :param budgets: limit by name.
    :raises ConfigurationError: there is no such subject.
    """
    if by not in SUBJECTS:
        raise ConfigurationError(f"budget by {by!r}", next_step=f"Give one of {', '.join(SUBJECTS)}.")
    figures = gather(objects, choose_pots(read_views(objects, month)), owners)
    sums: Sums = {"owner": figures.owners, "principal": figures.principals, "account": figures.accounts}[by]
    spent = dict.fromkeys(budgets, Decimal(0))
    for key, cost in sums.items():
        name = {"owner": key[0], "principal": key[3] if by == "principal" else "", "account": "/".join(key[:2])}[by]
        if name in spent and key[-1] == currency:
            spent[name] = EXACT.add(spent[name], cost)
    return [
        Spending(name, currency, spent[name], limit)
        for name, limit in sorted(budgets.items())
        if spent[name] > limit or (spent[name] and spent[name] >= limit * warn_at)
    ]


def read_day_costs(objects: Objects, usage_date: date, weeks: int = 8) -> list[DayCost]:
    """Return what each pot cost on a day, by currency, beside the same weekday of the weeks before."""
    earlier = [usage_date - timedelta(weeks=number) for number in range(weeks, 0, -1)]
    costs: dict[tuple[str, str, str, str], list[Decimal]] = {}
    now: list[tuple[PotDay, str, Decimal]] = []
    for pot in _read_pots(objects, [*earlier, usage_date]):
        for currency, cost in add_up(iter_charges(objects, pot.finest)).items():
            if pot.usage_date == usage_date:
                now.append((pot, currency, cost))
            else:
                costs.setdefault((pot.vendor, pot.account, pot.pot, currency), []).append(cost)
    return [
        DayCost(
            pot.vendor,
            pot.account,
            pot.finest.day.series.stream,
            usage_date,
            currency,
            cost,
            tuple(costs.get((pot.vendor, pot.account, pot.pot, currency), ())),
        )
        for pot, currency, cost in now
    ]


def _read_pots(objects: Objects, days: Sequence[date]) -> Iterator[PotDay]:
    for month in months_between(days[0], days[-1]):
        for pot in choose_pots(read_views(objects, month)):
            if pot.usage_date in days:
                yield pot
