"""The rows of ``current`` in Iceberg tables, ``<namespace>.<vendor>_<stream>``, for engines that are distributed.

One commit replaces a month of an account. Its snapshot's properties name what it was made from, so that a month that
is up to date is left alone, and a commit whose outcome is not known is looked for before it is made again.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_usage_provider.archive.catalog import find_series
from airflow_usage_provider.exceptions import ConfigurationError, TableConflictError, UsageProviderError
from airflow_usage_provider.tables.build import METADATA, to_footer
from airflow_usage_provider.tables.columns import arrow_schema, table_columns
from airflow_usage_provider.tables.sources import read_sources
from airflow_usage_provider.tables.update import MAX_BUILDS, Outcome, build_files, iter_months, require_pyarrow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from airflow_usage_provider.archive.catalog import Selection
    from airflow_usage_provider.archive.objects import Objects
    from airflow_usage_provider.tables.layout import Piece
    from airflow_usage_provider.tables.sources import MonthSources

_SAID = ("series", "usage_month", "columns", "days", "format")


def load_iceberg(name: str, properties: Mapping[str, str]) -> Any:
    """
    Open a catalog; without properties, as pyiceberg's own configuration has it.

    :raises ConfigurationError: pyiceberg is not installed, or the properties are none.
    """
    try:
        from pyiceberg.catalog import load_catalog
        from pyiceberg.exceptions import NoSuchPropertyException, ValidationError
    except ImportError:
        raise ConfigurationError(
            "Iceberg tables need pyiceberg, which is not installed",
            next_step="Install it: pip install 'airflow-usage-provider[iceberg]'.",
        ) from None
    try:
        return load_catalog(name, **properties)
    except (ValueError, NoSuchPropertyException, ValidationError) as error:
        raise ConfigurationError(
            f"The Iceberg catalog {name!r} cannot be opened ({type(error).__name__})",
            next_step="Give its properties in the connection's extra, or in pyiceberg's configuration: type, uri, …",
        ) from None


def update_iceberg(
    objects: Objects,
    catalog: Any,
    namespace: str,
    selection: Selection,
    *,
    jobs: int = 8,
    begin: Callable[[Piece], None] = lambda _: None,
) -> Iterator[Outcome]:
    """
    Commit every month of a selection that lags behind, and yield what became of each; one that fails stops no other.

    :param catalog: a pyiceberg catalog.
    :param begin: called with each month before it is looked at.
    :raises ConfigurationError: there is no pyarrow, or nothing of the archive is selected.
    """
    require_pyarrow()
    catalog.create_namespace_if_not_exists(namespace)
    for series in find_series(objects, selection, jobs)[0]:
        for piece, _ in iter_months(objects, series, selection):
            begin(piece)
            try:
                yield _update_month(objects, catalog, f"{namespace}.{piece.table}", piece, jobs)
            except UsageProviderError as error:
                yield Outcome(piece, error=error)


def _update_month(objects: Objects, catalog: Any, identifier: str, piece: Piece, jobs: int) -> Outcome:
    """Commit one month, from the archive on again while others commit to the same table."""
    from pyiceberg.exceptions import CommitFailedException, CommitStateUnknownException, TableAlreadyExistsError

    for _ in range(MAX_BUILDS):
        # Before the archive is listed: whoever lists it later and commits earlier has then changed what is loaded here.
        table = catalog.load_table(identifier) if catalog.table_exists(identifier) else None
        sources = read_sources(objects, piece, as_of=None, jobs=jobs)
        said = {METADATA + name: to_footer(sources.metadata("current")[name]) for name in _SAID}
        if _find_last(table, said) == said or (table is None and not sources.has_rows("current")):
            return Outcome(piece)
        try:
            return _commit(objects, catalog, table, identifier, sources, said)
        except (CommitFailedException, CommitStateUnknownException, TableAlreadyExistsError):
            continue
    raise TableConflictError(
        f"The Iceberg table {identifier} was changed {MAX_BUILDS} times meanwhile", next_step="Run this again."
    )


def _commit(
    objects: Objects, catalog: Any, table: Any, identifier: str, sources: MonthSources, said: Mapping[str, str]
) -> Outcome:
    month_of_account = _select(sources.piece)
    with tempfile.TemporaryDirectory(prefix="usage-tables-") as folder:
        paths, tallies = build_files(objects, sources, ["current"], Path(folder))
        schema = arrow_schema(table_columns(sources.schema, "current"))
        if table is None:
            table = catalog.create_table(identifier, schema=schema)
        with table.transaction() as transaction:
            _add_columns(table, transaction, schema, identifier)
            if "current" in paths:
                rows = _read_rows(paths["current"])
                transaction.overwrite(rows, overwrite_filter=month_of_account, snapshot_properties=dict(said))
            else:
                transaction.delete(month_of_account, snapshot_properties=dict(said))
    return Outcome(sources.piece, ("current",), tallies)


def _select(piece: Piece) -> Any:
    """Return the filter of a month and account."""
    from pyiceberg import expressions

    make: Any = expressions  # whose constructors take names of columns, which its types do not say
    days = make.And(
        make.GreaterThanOrEqual("usage_date", piece.month.first.isoformat()),
        make.LessThanOrEqual("usage_date", piece.month.last.isoformat()),
    )
    return make.And(make.EqualTo("account", piece.series.account), days)


def _add_columns(table: Any, transaction: Any, schema: Any, identifier: str) -> None:
    """
    Add what the month has and the table lacks; nothing is ever dropped or changed.

    :raises ConfigurationError: a column is of another type there.
    """
    known = {field.name: field.type for field in table.schema().as_arrow()}
    for field in schema:
        if field.name in known and not _is_same_type(known[field.name], field.type):
            raise ConfigurationError(
                f"Column {field.name} of {identifier} is {known[field.name]}, the schema says {field.type}",
                next_step="Drop the Iceberg table, or give another namespace; it is made anew from the archive.",
            )
    if any(field.name not in known for field in schema):
        with transaction.update_schema() as update:
            update.union_by_name(schema)


def _is_same_type(one: Any, other: Any) -> bool:
    return str(one).removeprefix("large_") == str(other).removeprefix("large_")


def _read_rows(path: Path) -> Any:
    """Return a file's rows a batch at a time, where pyiceberg takes them so."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from pyiceberg.table import Transaction

    file = pq.ParquetFile(path)
    if "RecordBatchReader" not in str(Transaction.overwrite.__annotations__.get("df")):
        return file.read()
    return pa.RecordBatchReader.from_batches(file.schema_arrow, file.iter_batches())


def _find_last(table: Any, said: Mapping[str, str]) -> dict[str, str]:
    """Return what the last commit of this month and account was made from; empty if there is none."""
    for snapshot in reversed(table.metadata.snapshots if table is not None else []):
        properties = snapshot.summary.additional_properties if snapshot.summary else {}
        found = {name: properties.get(name, "") for name in said}
        if all(found[METADATA + name] == said[METADATA + name] for name in ("series", "usage_month")):
            return found
    return {}
