"""An archive in words: records for machines, and lines for people, in which nothing acts upon their terminal."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from airflow_usage_provider.archive.catalog import Day, read_answer, read_manifest, read_time
from airflow_usage_provider.archive.gaps import Gap
from airflow_usage_provider.archive.objects import StoredObject
from airflow_usage_provider.archive.parallel import map_in_order
from airflow_usage_provider.exceptions import ArchiveCorruptError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import date, datetime

    from airflow_usage_provider.archive.amounts import AmountChange
    from airflow_usage_provider.archive.compare import Change
    from airflow_usage_provider.archive.keys import Series
    from airflow_usage_provider.archive.manifest import Manifest
    from airflow_usage_provider.archive.objects import Objects

Record = dict[str, Any]
_COLUMNS = ("usage_date", "vendor", "account", "stream", "rows", "bytes", "revision", "state", "snapshots")
_NUMBERS = {"rows", "bytes", "revision", "snapshots"}
_LINES_AHEAD = 1000
_SIGNS = {"added": "+", "removed": "-", "changed": "~"}


def iter_days(
    objects: Objects, items: Iterable[Day | Gap | StoredObject], jobs: int, as_of: datetime | None = None
) -> Iterator[Record]:
    """
    Yield a record for each day that has a snapshot, and each run of days that lack one.

    As of a time, only the days of which something was known then.

    ``state`` is the maturity, ``gap`` (``break``, if longer than a gap can be), or ``unreadable`` with the ``problem``.
    """
    yield from filter(None, map_in_order(lambda item: _describe_item(objects, item, as_of), items, jobs))


def list_snapshots(objects: Objects, day: Day, as_of: datetime | None = None) -> list[Record]:
    """Return a record for each snapshot of a day that was known, oldest first; the last one is ``current``."""
    records = [_describe_snapshot(objects, day, snapshot_id, as_of) for snapshot_id in day.manifests]
    known = [record for record in records if record is not None]
    return [record | {"current": record is known[-1]} for record in known]


def format_days(records: Iterable[Record]) -> Iterator[str]:
    """Yield the lines of a table, and a line that adds up. Columns are as wide as the widest of the first thousand."""
    rest = iter(records)
    first = list(islice(rest, _LINES_AHEAD))
    title = {name: name.upper() for name in _COLUMNS}
    widths = {name: max(len(_format_cell(row.get(name))) for row in (title, *first)) for name in _COLUMNS}
    totals: Counter[str] = Counter()
    series = set()
    yield _format_row(title, widths)
    for record in chain(first, rest):
        yield _format_row(record, widths)
        series.add((record["vendor"], record["account"], record["stream"]))
        totals.update({name: record.get(name, 0) for name in ("rows", "bytes", "snapshots")})
        totals["gap" if record["state"] == "gap" else "day"] += record["state"] != "break"
    yield (
        f"{count(len(series), 'stream')}, {count(totals['day'], 'day')}, {count(totals['gap'], 'gap')}: "
        f"{count(totals['rows'], 'row')}, {count(totals['bytes'], 'byte')}, {count(totals['snapshots'], 'snapshot')}"
    )


def format_snapshot(record: Record) -> str:
    """One line for one snapshot, the current one starred."""
    head = f"{'*' if record['current'] else ' '} {record['snapshot_id']}"
    if "problem" in record:
        return f"{head}  unreadable: {record['problem']}"
    facts = [
        record["snapshot_at"],
        f"revision {record['revision']}",
        record["state"],
        count(record["rows"], "row"),
        count(record["bytes"], "byte"),
        *(name for name in ("unchanged", "empty") if record[name]),
        *(f"+{name}" for name in record["columns_added"]),
        *(f"-{name}" for name in record["columns_removed"]),
        f"follows {record['previous']}" if record["previous"] else "the first",
    ]
    return "  ".join((head, *facts))


def format_change(change: Change) -> str:
    """One line for one row that differs."""
    key = ", ".join(f"{name}={format_value(value)}" for name, value in change.key.items())
    head = f"{_SIGNS[change.kind]} {key}".rstrip()
    if change.kind != "changed":
        return f"{head} {_format_json(change.old or change.new)}"
    fields = (
        f"{name}: {_format_field(change.old, name)} -> {_format_field(change.new, name)}"
        for name in dict.fromkeys((*change.old, *change.new))
    )
    return f"{head}  {', '.join(fields)}"


def to_change_record(change: Change) -> Record:
    """Return a change for machines."""
    return {"change": change.kind, "key": change.key, "old": change.old or None, "new": change.new or None}


def to_amount_record(amount: AmountChange) -> Record:
    """Return a change of an amount for machines."""
    change = amount.change
    amounts = {"old": amount.old, "new": amount.new, "difference": f"{amount.difference:+f}"}
    return {"change": change.kind, "key": change.key, **amounts}


def format_amount(amount: AmountChange, column: str) -> str:
    """One line for one row whose amount differs."""
    change = amount.change
    key = ", ".join(f"{name}={format_value(value)}" for name, value in change.key.items())
    old, new = ("(none)" if value is None else f"{value:f}" for value in (amount.old, amount.new))
    return f"{_SIGNS[change.kind]} {key}  {column}: {old} -> {new}  {amount.difference:+f}"


def describe_series(days: Iterable[Day]) -> str:
    """List series for a message."""
    return "; ".join(" ".join((d.series.vendor, d.series.account, d.series.stream)) for d in days)


def format_value(value: Any) -> str:
    """Write a value as it was sent, unless that could be misread."""
    if isinstance(value, Decimal) or (isinstance(value, str) and value):
        return str(value)
    return _format_json(value)


def to_json(value: Any) -> str:
    """One line of JSON; decimals as strings, as in manifests."""
    return json.dumps(value, default=str)


def count(number: int, noun: str) -> str:
    """``1 row``, ``1,234 rows``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _describe_item(objects: Objects, item: Day | Gap | StoredObject, as_of: datetime | None) -> Record | None:
    if isinstance(item, StoredObject) or (isinstance(item, Day) and not item.manifests):
        return None
    if isinstance(item, Gap):
        last = {"until": item.last.isoformat(), "days": item.days} if item.days > 1 else {}
        state = "break" if item.is_break else "gap"
        return None if as_of else place(item.series, item.first) | last | {"state": state, "snapshots": 0}
    record = place(item.series, item.usage_date) | {"snapshots": len(item.manifests)}
    try:
        manifest = read_answer(objects, item, as_of)
    except ArchiveCorruptError as error:
        return record | {"state": "unreadable", "problem": error.message}
    if manifest is None:
        return None
    own = {"snapshot_id": manifest.snapshot_id, "empty": manifest.empty, "files": _list_files(objects, manifest)}
    return record | _describe_answer(manifest) | own


def _describe_snapshot(objects: Objects, day: Day, snapshot_id: str, as_of: datetime | None) -> Record | None:
    entry = day.manifests[snapshot_id]
    record = place(day.series, day.usage_date) | {"snapshot_id": snapshot_id, "manifest": objects.uri(entry.name)}
    try:
        manifest = read_manifest(objects, entry)
        if as_of and read_time(manifest) > as_of:
            return None
    except ArchiveCorruptError as error:
        return record | {"state": "unreadable", "problem": error.message}
    names = ("snapshot_at", "previous", "unchanged", "empty", "columns_added", "columns_removed", "tool")
    own = {name: getattr(manifest, name) for name in names}
    return record | _describe_answer(manifest) | own | {"files": _list_files(objects, manifest)}


def _list_files(objects: Objects, manifest: Manifest) -> list[str]:
    return [objects.uri(objects.resolve(entry.key) or entry.key) for entry in manifest.files]


def _describe_answer(manifest: Manifest) -> Record:
    return {
        "rows": manifest.rows,
        "bytes": sum(entry.bytes for entry in manifest.files),
        "raw_bytes": sum(entry.raw_bytes for entry in manifest.files),
        "revision": manifest.revision,
        "state": manifest.maturity,
    }


def place(series: Series, usage_date: date) -> Record:
    """Say which day of which series, for machines."""
    return {
        "vendor": series.vendor,
        "account": series.account,
        "stream": series.stream,
        "usage_date": usage_date.isoformat(),
    }


def _format_json(value: Any) -> str:
    return json.dumps(value, default=str, ensure_ascii=False)


def _format_row(record: Record, widths: Mapping[str, int]) -> str:
    shown = record | ({"usage_date": f"{record['usage_date']} to {record['until']}"} if "until" in record else {})
    cells = {name: _format_cell(shown.get(name)) for name in _COLUMNS}
    return "  ".join(
        cell.rjust(widths[name]) if name in _NUMBERS else cell.ljust(widths[name]) for name, cell in cells.items()
    ).rstrip()


def _format_cell(value: str | int | None) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else value


def _format_field(row: Mapping[str, Any], name: str) -> str:
    return format_value(row[name]) if name in row else "(absent)"
