"""The money of an archive, charge by charge, read by the roles of each stream's schema alone.

Streams of one vendor, account and pot are views of the same money: of each day the finest archived one counts, and
nothing is ever added to it. Decimals are exact throughout: where a sum would round, it raises instead.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import TYPE_CHECKING, Any

from airflow_usage_provider.archive.catalog import Selection, find_part, load_catalog, read_answer
from airflow_usage_provider.archive.parallel import map_in_order
from airflow_usage_provider.archive.parts import raw_chunks
from airflow_usage_provider.exceptions import ArchiveCorruptError, InvalidBodyError, UnreadableValueError
from airflow_usage_provider.models import UsageWindow
from airflow_usage_provider.records.rows import iter_rows
from airflow_usage_provider.schema import StreamSchema, parse_value, value_at
from airflow_usage_provider.vendors.schemas import find_schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import date, datetime

    from airflow_usage_provider.archive.catalog import Day
    from airflow_usage_provider.archive.manifest import Manifest
    from airflow_usage_provider.archive.objects import Objects
    from airflow_usage_provider.tables.layout import Month

COUNT_ROLES = ("requests", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
#: Adds and multiplies without rounding; figures have at most a thousand digits each.
EXACT = Context(prec=8000, Emax=999_999, Emin=-999_999, traps=[Inexact, InvalidOperation])
_SHOWN = 60  # characters of a value in a message


@dataclass(frozen=True, slots=True)
class View:
    """One stream's answer for one day, and what its columns mean."""

    day: Day
    manifest: Manifest
    schema: StreamSchema

    @property
    def pot(self) -> str | None:
        """The money its rows belong to; None: none of its own."""
        return self.schema.roles.get("charges")

    @property
    def window(self) -> UsageWindow:
        """The day in its zone."""
        return UsageWindow(self.day.usage_date, self.manifest.timezone)

    @property
    def is_final(self) -> bool:
        """Whether the day is no longer pulled again."""
        return self.manifest.maturity == "final"

    @property
    def fineness(self) -> tuple[int, str]:
        """Orders views of one pot: the more columns tell two records apart, the finer."""
        return len(self.schema.identity) + ("model" in self.schema.roles), self.day.series.stream

    def __str__(self) -> str:
        series = self.day.series
        return f"{series.vendor}/{series.account}/{series.stream} {self.day.usage_date}"


@dataclass(frozen=True, slots=True)
class PotDay:
    """One day of one pot of money: its views, the finest first."""

    views: tuple[View, ...]

    @property
    def finest(self) -> View:
        """The view that counts."""
        return self.views[0]

    @property
    def vendor(self) -> str:
        """Whose money it is."""
        return self.finest.day.series.vendor

    @property
    def account(self) -> str:
        """Which account's."""
        return self.finest.day.series.account

    @property
    def pot(self) -> str:
        """Name of the pot."""
        return self.finest.pot or ""

    @property
    def usage_date(self) -> date:
        """The day."""
        return self.finest.day.usage_date


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """
    One row of a pot.

    :param cost: exact, in units of ``currency``.
    :param counts: by role, those that are there.
    """

    view: View
    cost: Decimal
    currency: str
    principal: str | None = None
    principal_kind: str | None = None
    principal_name: str | None = None
    model: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)


def read_views(
    objects: Objects, month: Month, *, selection: Selection | None = None, as_of: datetime | None = None, jobs: int = 8
) -> list[View]:
    """
    Read the answer of every stream and day of a month.

    :param selection: narrows vendor and account.
    :param as_of: only what was known then.
    :raises ConfigurationError: there is no archive, or nothing of it is selected.
    """
    chosen = selection or Selection()
    wanted = Selection(vendor=chosen.vendor, account=chosen.account, since=month.first, until=month.last)
    days = [day for day in load_catalog(objects, wanted).days if day.manifests]
    answers = map_in_order(lambda day: read_answer(objects, day, as_of), days, jobs)
    return [View(day, answer, _schema(day, answer)) for day, answer in zip(days, answers, strict=True) if answer]


def choose_pots(views: Iterable[View]) -> list[PotDay]:
    """Group views by pot and day, the finest first; in order of vendor, account, pot and day."""
    found: defaultdict[tuple[str, str, str, date], list[View]] = defaultdict(list)
    for view in views:
        if view.pot:
            series = view.day.series
            found[series.vendor, series.account, view.pot, view.day.usage_date].append(view)
    return [PotDay(tuple(sorted(found[key], key=lambda view: view.fineness, reverse=True))) for key in sorted(found)]


def iter_records(objects: Objects, view: View) -> Iterator[Mapping[str, Any]]:
    """
    Yield the records of an answer.

    :raises ArchiveCorruptError: a part is missing, or not what its manifest says.
    """
    rows = 0
    for entry in view.manifest.files:
        try:
            for record in iter_rows(
                raw_chunks(objects, find_part(objects, view.day, entry).name, entry), entry.content_type
            ):
                rows += 1
                yield record
        except InvalidBodyError as error:
            raise ArchiveCorruptError(f"{view}: {error.message}", next_step="Run usage-archive verify.") from None
    if rows != view.manifest.rows:
        raise ArchiveCorruptError(
            f"{view}: the parts hold {rows:,} records, the manifest says {view.manifest.rows:,}",
            next_step="Run usage-archive verify.",
        )


def iter_charges(objects: Objects, view: View, unpriced: list[int] | None = None) -> Iterator[Charge]:
    """
    Yield every row of a view as money.

    :param unpriced: takes the numbers of the rows without a cost, counted from 1, which are then not yielded.
    :raises UnreadableValueError: a cost or a currency cannot be read, or is not there and ``unpriced`` is not given;
        nothing is guessed.
    """
    reader = _Reader(view)
    for number, record in enumerate(iter_records(objects, view), 1):
        if charge := reader.read(number, record):
            yield charge
        elif unpriced is None:
            raise reader.refuse_unpriced(number)
        else:
            unpriced.append(number)


def add_up(charges: Iterable[Charge]) -> dict[str, Decimal]:
    """Return the sum of each currency, exactly."""
    totals: dict[str, Decimal] = {}
    for charge in charges:
        totals[charge.currency] = EXACT.add(totals.get(charge.currency, Decimal(0)), charge.cost)
    return totals


class _Reader:
    """Reads the records of one view by its roles."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._roles = view.schema.roles
        self._scale = view.schema.cost_scale

    def read(self, number: int, record: Mapping[str, Any]) -> Charge | None:
        """Read one record; None if it has no cost."""
        if (cost := self._money(number, record)) is None:
            return None
        counts = {role: self._count(record, role) for role in COUNT_ROLES if role in self._roles}
        return Charge(
            view=self._view,
            cost=EXACT.multiply(cost, self._scale),
            currency=self._currency(number, record),
            principal=self._text(record, "principal"),
            principal_kind=self._roles.get("principal_kind"),
            principal_name=self._text(record, "principal_name"),
            model=self._text(record, "model"),
            counts={role: count for role, count in counts.items() if count is not None},
        )

    def refuse_unpriced(self, number: int) -> UnreadableValueError:
        """Return the error of a record that has no cost."""
        return self._unreadable(number, self._roles["cost"], "there is no cost, although the rows are charges")

    def _money(self, number: int, record: Mapping[str, Any]) -> Decimal | None:
        column = self._roles["cost"]
        value = value_at(record, column)
        try:
            return parse_value("money", value)  # type: ignore[no-any-return]
        except ValueError as error:
            raise self._unreadable(
                number, column, f"{str(value)[:_SHOWN]!r} cannot be read as money: {error}"
            ) from None

    def _currency(self, number: int, record: Mapping[str, Any]) -> str:
        currency = self._roles["currency"]
        if currency not in self._view.schema.columns:
            return currency
        code = str(value_at(record, currency) or "").upper()
        if not (len(code) == 3 and code.isascii() and code.isalpha()):
            raise self._unreadable(number, currency, f"{code[:_SHOWN]!r} is no currency as ISO 4217 writes it")
        return code

    def _text(self, record: Mapping[str, Any], role: str) -> str | None:
        value = value_at(record, self._roles[role]) if role in self._roles else None
        return parse_value("text", value)  # type: ignore[no-any-return]

    def _count(self, record: Mapping[str, Any], role: str) -> int | None:
        """Return a count; what cannot be read as one of 64 bits is none, as in the tables."""
        try:
            count = parse_value("count", value_at(record, self._roles[role]))
        except ValueError:
            return None
        return count if count is not None and -(2**63) <= count < 2**63 else None

    def _unreadable(self, number: int, column: str, what: str) -> UnreadableValueError:
        return UnreadableValueError(
            f"{self._view}, row {number:,}, column {column}: {what}",
            next_step="See what the vendor sent with usage-archive show --cat; nothing was written of this month.",
        )


def _schema(day: Day, manifest: Manifest) -> StreamSchema:
    """Return what the manifest says; of manifests from before it did, what this package has of the stream."""
    if manifest.schema:
        return StreamSchema.from_dict(manifest.schema)
    return find_schema(day.series.vendor, day.series.stream) or StreamSchema()
