"""By how much a column of two answers differs, row by row and exactly."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Context, Decimal
from typing import TYPE_CHECKING, Any

from airflow_usage_provider.exceptions import ConfigurationError
from airflow_usage_provider.schema import parse_value, value_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from airflow_usage_provider.archive.catalog import Day
    from airflow_usage_provider.archive.compare import Change

EXACT = Context(prec=20_000)  # amounts have a thousand digits on either side at the most


@dataclass(frozen=True, slots=True)
class AmountChange:
    """
    A row whose amount differs.

    :param old: None where the older answer has no such row, or no amount in it.
    :param new: likewise.
    """

    change: Change
    old: Decimal | None
    new: Decimal | None

    @property
    def difference(self) -> Decimal:
        """New less old; what is not there counts nothing."""
        return EXACT.subtract(self.new or Decimal(0), self.old or Decimal(0))


def read_amounts(changes: Iterable[Change], day: Day, column: str) -> Iterator[AmountChange]:
    """
    Yield the changes in which a column's amount differs.

    :raises ConfigurationError: a value is no amount.
    """
    for change in changes:
        amounts = [_read_amount(row, change, day, column) for row in (change.old, change.new)]
        if (amounts[0] or 0) != (amounts[1] or 0):
            yield AmountChange(change, *amounts)


def _read_amount(row: Mapping[str, Any], change: Change, day: Day, column: str) -> Decimal | None:
    value = value_at(row, column)
    try:
        amount: Decimal | None = parse_value("money", value)
    except ValueError as error:
        where = ", ".join(f"{name}={each}" for name, each in change.key.items()) or "a row"
        raise ConfigurationError(
            f"{column} of {where} on {day.usage_date} is {str(value)[:80]!r}: {error}",
            next_step="Give a column of amounts to --sum.",
        ) from None
    return amount
