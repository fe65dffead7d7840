"""Holds tables against their archive: which lag behind, differ from what raw gives, or should not be there."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_usage_provider.archive.catalog import find_series
from airflow_usage_provider.exceptions import UsageProviderError
from airflow_usage_provider.tables.layout import TABLES, Month
from airflow_usage_provider.tables.sources import read_sources
from airflow_usage_provider.tables.update import build_files, is_made_from, iter_months, require_pyarrow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from airflow_usage_provider.archive.catalog import Selection
    from airflow_usage_provider.archive.objects import Objects
    from airflow_usage_provider.tables.layout import Piece
    from airflow_usage_provider.tables.sources import MonthSources
    from airflow_usage_provider.tables.target import Target


@dataclass(frozen=True, slots=True)
class Finding:
    """
    One object that is not as it should be.

    :param kind: ``missing``, ``lagging``, ``different``, ``stray``, or ``unbuildable`` of all three of a month.
    :param name: of the object, relative to the ``tables_url``.
    """

    kind: str
    name: str
    problem: str


def check_tables(
    objects: Objects,
    target: Target,
    selection: Selection,
    *,
    jobs: int = 8,
    begin: Callable[[Piece], None] = lambda _: None,
) -> Iterator[Finding]:
    """
    Build every month of a selection anew, and yield what is found otherwise.

    :param begin: called with each month before it is built.
    :raises ConfigurationError: there is no pyarrow, or nothing of the archive is selected.
    """
    require_pyarrow()
    pieces = []
    for series in find_series(objects, selection, jobs)[0]:
        for piece, _ in iter_months(objects, series, selection):
            begin(piece)
            pieces.append(piece)
            try:
                yield from _check_month(objects, target, read_sources(objects, piece, as_of=None, jobs=jobs))
            except UsageProviderError as error:
                yield Finding("unbuildable", piece.name("current"), str(error))
    yield from _find_strays(target, selection, pieces)


def _check_month(objects: Objects, target: Target, sources: MonthSources) -> Iterator[Finding]:
    made = []
    for table in TABLES:
        name = sources.piece.name(table)
        found = target.find(name)
        if is_made_from(found, sources, table):
            made.append(table)
        elif not sources.has_rows(table):
            yield Finding("stray", name, "The month has no rows for it")
        elif found is None:
            yield Finding("missing", name, "The archive has rows for it")
        else:
            yield Finding("lagging", name, "It was made from other snapshots than there are now")
    with tempfile.TemporaryDirectory(prefix="usage-tables-") as folder:
        paths, _ = build_files(objects, sources, made, Path(folder))
        for table, path in paths.items():
            with target.fetch(sources.piece.name(table)) as stored:
                if not _is_same(path, stored):
                    yield Finding("different", sources.piece.name(table), "Its rows are not those that raw gives")


def _is_same(one: Path, other: Path) -> bool:
    """Whether two Parquet files hold the same, whatever versions wrote them; a row group of each at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if one.stat().st_size == other.stat().st_size and _has_same_bytes(one, other):
        return True
    try:
        with pq.ParquetFile(one) as left, pq.ParquetFile(other) as right:
            if left.num_row_groups != right.num_row_groups or not left.schema_arrow.equals(right.schema_arrow):
                return False
            groups = range(left.num_row_groups)
            return all(left.read_row_group(each).equals(right.read_row_group(each)) for each in groups)
    except (pa.ArrowException, OSError):
        return False


def _has_same_bytes(one: Path, other: Path) -> bool:
    with one.open("rb") as left, other.open("rb") as right:
        while chunk := left.read(1024 * 1024):
            if chunk != right.read(1024 * 1024):
                return False
    return True


def _find_strays(target: Target, selection: Selection, pieces: Sequence[Piece]) -> Iterator[Finding]:
    """Yield objects of months of which the archive has no snapshot; of a selection, only those of its series."""
    own = {name for piece in pieces for name in piece.names.values()}
    places = {_forget_month(name) for name in own}
    is_whole = selection.vendor is selection.account is selection.stream is None
    first, last = (day and str(Month.of(day)) for day in (selection.since, selection.until))
    for name in (name for table in TABLES for name in target.list(f"{table}/")):
        month = name.partition("/usage_month=")[2].partition("/")[0]
        is_selected = (first or "") <= month <= (last or "~") and (is_whole or _forget_month(name) in places)
        if name not in own and is_selected:
            yield Finding("stray", name, "The archive has no snapshot for it")


def _forget_month(name: str) -> str:
    """Return what names of one series and table share."""
    return re.sub(r"/usage_month=[^/]*/", "/", name)
