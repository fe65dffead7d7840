"""Builds the Parquet files of one stream, account and month from the archive, in one pass and bounded memory.

Rows stand by usage date, then revision, then as the vendor sent them. Nothing of a file depends on when, where or in
what portions it was built: the same archive and the same versions give the same bytes.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from datetime import date
from typing import TYPE_CHECKING, Any

from airflow_usage_provider.archive.catalog import find_part
from airflow_usage_provider.archive.parts import raw_chunks
from airflow_usage_provider.archive.stages import Stage
from airflow_usage_provider.exceptions import ArchiveCorruptError, InvalidBodyError, UnreadableValueError
from airflow_usage_provider.tables.columns import SNAPSHOTS, arrow_schema, declared_columns, table_columns
from airflow_usage_provider.tables.convert import Tally, UnreadableMoneyError, convert
from airflow_usage_provider.tables.records import iter_batches, to_json

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from airflow_usage_provider.archive.objects import Objects
    from airflow_usage_provider.tables.records import Batch
    from airflow_usage_provider.tables.sources import MonthSources
    from airflow_usage_provider.tables.timeline import Revision

METADATA = "usage_provider."
_GROUP_BYTES = 6 * 1024 * 1024  # of what the vendor sent, in one row group
_GROUP_ROWS = (1024, 128 * 1024)
_SHOWN = 80  # characters of a value in a message


class TableFile:
    """
    One Parquet file on its way: takes rows in any portions, writes row groups of a number of rows given.

    :param columns: kinds of its columns, by name.
    """

    def __init__(self, path: Path, columns: Mapping[str, str], group_rows: int) -> None:
        import pyarrow.parquet as pq

        self._schema = arrow_schema(columns)
        texts = [name for name, kind in columns.items() if kind in ("text", "json")]
        # Dictionaries make repeated text small; numbers are faster without, and no larger.
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd", use_dictionary=texts)
        self._group_rows = group_rows
        self._waiting: list[Any] = []
        self._waiting_rows = 0
        self._constants: dict[str, tuple[Any, Any]] = {}
        self._stage = Stage("parquet", ahead=1)

    def add(self, columns: Mapping[str, Any], rows: int) -> None:
        """Take some rows; a value stands for a column that is the same in each."""
        import pyarrow as pa

        arrays = []
        for field in self._schema:
            values = columns.get(field.name)
            arrays.append(values if isinstance(values, pa.Array) else self._repeat(field, values, rows))
        self._waiting.append(pa.table(arrays, schema=self._schema))
        self._waiting_rows += rows
        if self._waiting_rows >= self._group_rows:
            self._write(self._waiting_rows // self._group_rows * self._group_rows)

    def close(self, metadata: Mapping[str, Any] | None = None) -> None:
        """Write the rest and the footer; without metadata, give the file up."""
        try:
            if metadata is not None:
                self._write(self._waiting_rows)
                self._stage.finish()
                written = {METADATA + name: to_footer(value) for name, value in metadata.items()}
                self._writer.add_key_value_metadata(written)
        finally:
            self._stage.close()
            self._writer.close()

    def _repeat(self, field: Any, value: Any, rows: int) -> Any:
        """Return a column that is the same in each row: a slice of one that is made once."""
        import pyarrow as pa

        known, array = self._constants.get(field.name, (None, None))
        if array is None or known != value or len(array) < rows:
            array = pa.repeat(pa.scalar(value, field.type), max(rows, _GROUP_ROWS[0]))
            self._constants[field.name] = value, array
        return array.slice(0, rows)

    def _write(self, rows: int) -> None:
        import pyarrow as pa

        table = pa.concat_tables(self._waiting) if self._waiting else None
        if table is None or not rows:
            return
        for start in range(0, rows, self._group_rows):
            self._stage.submit(self._write_group, table.slice(start, min(self._group_rows, rows - start)))
        self._waiting, self._waiting_rows = [table.slice(rows)], self._waiting_rows - rows

    def _write_group(self, group: Any) -> None:
        # Where chunks end decides where pages do: each group is one chunk, whatever portions its rows came in.
        self._writer.write_table(group.combine_chunks(), self._group_rows)


def to_footer(value: Any) -> str:
    """Write what a footer says of one thing, always the same way."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def build_rows(objects: Objects, sources: MonthSources, paths: Mapping[str, Path]) -> Iterator[tuple[date, Tally]]:
    """
    Write ``current`` and ``history``, or one of them, and yield each revision's day and tally when it is in.

    :param paths: where to, by table.
    :raises UnreadableValueError: money cannot be read.
    :raises ArchiveCorruptError: a part is missing, or not what its manifest says.
    """
    tallies = {table: Tally() for table in paths}
    with ExitStack() as stack:
        files = {}
        for table, path in paths.items():
            files[table] = TableFile(path, table_columns(sources.schema, table), _choose_group_rows(sources))
            stack.callback(files[table].close)
        for revision in sources.revisions:
            tables = [table for table in files if table == "history" or revision.is_current]
            tally = _add_revision(objects, sources, revision, [files[table] for table in tables])
            for table in tables:
                tallies[table].add(tally)
            yield revision.first.day.usage_date, tally
        for table, file in files.items():
            counts = {"unreadable": dict(tallies[table].unreadable), "rounded": dict(tallies[table].rounded)}
            file.close({**sources.metadata(table), **counts})
        stack.pop_all()


def build_snapshots(sources: MonthSources, path: Path) -> None:
    """Write ``snapshots``: one row for every snapshot of the month."""
    import pyarrow as pa

    file = TableFile(path, SNAPSHOTS, _GROUP_ROWS[1])
    rows = sources.snapshot_rows()
    arrays = {field.name: pa.array([row[field.name] for row in rows], field.type) for field in arrow_schema(SNAPSHOTS)}
    file.add(arrays, len(rows))
    file.close(sources.metadata("snapshots"))


def iter_columns(
    objects: Objects, sources: MonthSources, revision: Revision
) -> Iterator[tuple[int, dict[str, Any], Tally]]:
    """
    Yield the rows of one answer: how many, its typed columns by the tables' names, and what could not be kept.

    :raises UnreadableValueError: money cannot be read.
    :raises ArchiveCorruptError: a part is missing, or not what its manifest says.
    """
    manifest, rows = revision.manifest, 0
    where = f"{sources.piece.table}, account {manifest.account}, {manifest.usage_date}"
    for entry in manifest.files:
        name = find_part(objects, revision.first.day, entry).name
        try:
            batches = iter_batches(
                lambda name=name, entry=entry: raw_chunks(objects, name, entry),  # type: ignore[misc]
                entry.content_type,
                list(sources.schema.columns),
            )
            for batch in batches:
                yield batch.rows, *_convert_batch(batch, sources, where, rows)
                rows += batch.rows
        except InvalidBodyError as error:
            raise ArchiveCorruptError(f"{where}: {error.message}", next_step="Run usage-archive verify.") from None
    if rows != manifest.rows:
        raise ArchiveCorruptError(
            f"{where}: the parts hold {rows:,} records, the manifest says {manifest.rows:,}",
            next_step="Run usage-archive verify.",
        )


def _add_revision(objects: Objects, sources: MonthSources, revision: Revision, files: Collection[TableFile]) -> Tally:
    total = Tally()
    manifest = revision.manifest
    same = {
        "usage_date": date.fromisoformat(manifest.usage_date),
        "account": manifest.account,
        "snapshot_id": manifest.snapshot_id,
        "revision": manifest.revision,
        "known_from": revision.first.known_from,
        "known_to": revision.known_to,
    }
    for rows, columns, tally in iter_columns(objects, sources, revision):
        total.add(tally)
        for file in files:
            file.add({**columns, **same}, rows)
    return total


def _convert_batch(batch: Batch, sources: MonthSources, where: str, before: int) -> tuple[dict[str, Any], Tally]:
    import pyarrow as pa

    tally = Tally()
    others = list(batch.others)
    columns: dict[str, Any] = {}
    names = declared_columns(sources.schema)
    for name, texts in batch.columns.items():
        try:
            column = convert(texts, sources.schema.kind(name))
        except UnreadableMoneyError as error:
            raise UnreadableValueError(
                f"{where}, row {before + error.row + 1:,}, column {name}: "
                f"{error.value[:_SHOWN]!r} cannot be read as money: {error}",
                next_step="See what the vendor sent with usage-archive show --cat; nothing was built of this month.",
            ) from None
        columns[names[name]] = column.values
        tally.rounded[name] += column.rounded
        tally.unreadable[name] += len(column.unreadable)
        if column.unreadable and not others:
            others = [{} for _ in range(batch.rows)]
        for row in column.unreadable:
            others[row][name] = batch.sent(name, row)
    if others:
        columns["other_columns"] = pa.array([to_json(other) if other else None for other in others], pa.string())
    return columns, tally


def _choose_group_rows(sources: MonthSources) -> int:
    """Return how many rows go into a row group, so that one is worth reading and does not fill the memory."""
    entries = [entry for revision in sources.revisions for entry in revision.manifest.files]
    rows, size = sum(entry.rows for entry in entries), sum(entry.raw_bytes for entry in entries)
    least, most = _GROUP_ROWS
    return min(most, max(least, _GROUP_BYTES * rows // max(size, 1)))
