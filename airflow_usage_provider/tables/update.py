"""Brings tables up to date with their archive: finds the months that lag, builds them and commits them.

A month that is up to date costs one look at the footer of its ``snapshots``: it is written last, and says which
manifests the three tables were made from.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_usage_provider.archive.catalog import Day, find_series, list_days
from airflow_usage_provider.archive.parallel import map_in_order
from airflow_usage_provider.exceptions import ConfigurationError, TableConflictError, UsageProviderError
from airflow_usage_provider.tables.build import METADATA, build_rows, build_snapshots, to_footer
from airflow_usage_provider.tables.layout import TABLES, Month, Piece
from airflow_usage_provider.tables.sources import digest_listing, read_sources
from airflow_usage_provider.tables.target import refuse_inside_raw

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import date, datetime

    from airflow_usage_provider.archive.catalog import Selection
    from airflow_usage_provider.archive.keys import Series
    from airflow_usage_provider.archive.objects import Objects
    from airflow_usage_provider.tables.convert import Tally
    from airflow_usage_provider.tables.sources import MonthSources
    from airflow_usage_provider.tables.target import Stored, Target

MAX_BUILDS = 5  # of one month, while others replace it meanwhile
_COUNTS = ("unreadable", "rounded")


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    What became of one month.

    :param written: tables that were replaced, removed ones included.
    :param tallies: by usage date, what of its current answer could not be kept as it was.
    :param error: why it could not be built; what was there before is still there.
    """

    piece: Piece
    written: tuple[str, ...] = ()
    tallies: dict[date, Tally] = field(default_factory=dict)
    error: UsageProviderError | None = None

    @property
    def is_changed(self) -> bool:
        """Whether what people query is another than before; a pull without news only adds to ``snapshots``."""
        return bool({"current", "history"} & set(self.written))

    def count(self, what: str) -> Counter[str]:
        """Sum up one of a tally's counts, by column."""
        total: Counter[str] = Counter()
        for tally in self.tallies.values():
            total += getattr(tally, what)
        return total


def require_pyarrow() -> None:
    """
    Refuse to begin without the library that writes Parquet.

    :raises ConfigurationError: it is not installed.
    """
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        raise ConfigurationError(
            "Tables need pyarrow, which is not installed",
            next_step="Install it: pip install 'airflow-usage-provider[tables]'.",
        ) from None


def iter_months(objects: Objects, series: Series, selection: Selection) -> Iterator[tuple[Piece, list[Day]]]:
    """Yield the months of a series that have a selected day with a snapshot, and those days."""
    days = (item for item in list_days(objects, series, selection) if isinstance(item, Day) and item.manifests)
    for month, own in groupby(days, key=lambda day: Month.of(day.usage_date)):
        yield Piece(series, month), list(own)


def update_tables(
    objects: Objects,
    target: Target,
    selection: Selection,
    *,
    as_of: datetime | None = None,
    jobs: int = 8,
    begin: Callable[[Piece], None] = lambda _: None,
) -> Iterator[Outcome]:
    """
    Build every month of a selection that lags behind, and yield what became of each; one that fails stops no other.

    Months are built whole, also where only some of their days are selected.

    :param as_of: build what was known then, instead of what is known now.
    :param begin: called with each month before it is built.
    :raises ConfigurationError: there is no pyarrow, the target is within the archive's raw bytes, or nothing of the
        archive is selected.
    """
    require_pyarrow()
    refuse_inside_raw(objects, target)
    found = set(target.list())

    def look(series: Series) -> list[tuple[Piece, bool]]:
        months = iter_months(objects, series, selection)
        return [(piece, _is_up_to_date(target, piece, days, found, as_of)) for piece, days in months]

    for looked_at in map_in_order(look, find_series(objects, selection, jobs)[0], jobs):
        for piece, is_up_to_date in looked_at:
            if is_up_to_date:
                yield Outcome(piece)
                continue
            begin(piece)
            yield _update_or_fail(objects, target, piece, as_of, jobs)


def update_month(objects: Objects, target: Target, piece: Piece, *, as_of: datetime | None, jobs: int) -> Outcome:
    """
    Build one month, again while others replace it meanwhile.

    :raises TableConflictError: others were faster every time.
    """
    for build in range(1, MAX_BUILDS + 1):
        # Before the archive is listed: whoever lists it later and commits earlier has then changed what is found here.
        found = {table: target.find(name) for table, name in piece.names.items()}
        sources = read_sources(objects, piece, as_of=as_of, jobs=jobs)
        try:
            return _build(objects, target, sources, found)
        except TableConflictError:
            if build == MAX_BUILDS:
                raise
    raise AssertionError("unreachable")


def is_made_from(found: Stored | None, sources: MonthSources, table: str) -> bool:
    """Whether an object is what the sources give, as its footer says; without rows, whether there is none."""
    if found is None or not sources.has_rows(table):
        return found is None and not sources.has_rows(table)
    said = {METADATA + name: to_footer(value) for name, value in sources.metadata(table).items()}
    return said.items() <= found.footer.items()


def build_files(
    objects: Objects, sources: MonthSources, tables: list[str], folder: Path
) -> tuple[dict[str, Path], dict[date, Tally]]:
    """Build some tables of a month into a folder; return those that have rows, and the tally of each day."""
    paths = {table: folder / f"{table}.parquet" for table in tables if sources.has_rows(table)}
    tallies: dict[date, Tally] = {}
    with_rows = {table: path for table, path in paths.items() if table != "snapshots"}
    if with_rows:
        tallies = dict(build_rows(objects, sources, with_rows))  # of each day the last revision's
    if "snapshots" in paths:
        build_snapshots(sources, paths["snapshots"])
    return paths, tallies


def _update_or_fail(objects: Objects, target: Target, piece: Piece, as_of: datetime | None, jobs: int) -> Outcome:
    try:
        return update_month(objects, target, piece, as_of=as_of, jobs=jobs)
    except UsageProviderError as error:
        return Outcome(piece, error=error)


def _is_up_to_date(target: Target, piece: Piece, days: list[Day], names: set[str], as_of: datetime | None) -> bool:
    found = target.find(piece.name("snapshots")) if piece.name("snapshots") in names else None
    if found is None or found.footer.get(f"{METADATA}listing") != to_footer(digest_listing(days, as_of)):
        return False
    has_rows: dict[str, bool] = json.loads(found.footer.get(f"{METADATA}has_rows", "{}"))
    return all(has_rows.get(table) is (piece.name(table) in names) for table in TABLES)


def _build(objects: Objects, target: Target, sources: MonthSources, found: dict[str, Stored | None]) -> Outcome:
    piece = sources.piece
    lagging = [table for table in TABLES if not is_made_from(found[table], sources, table)]
    with tempfile.TemporaryDirectory(prefix="usage-tables-") as folder:
        paths, tallies = build_files(objects, sources, lagging, Path(folder))
        for table in lagging:
            before = found[table]
            if table in paths:
                target.replace(piece.name(table), paths[table], before)
            elif before is not None:
                target.remove(piece.name(table), before)
    return Outcome(piece, tuple(lagging), tallies)
