"""An archive in words: records for machines, and lines for people, in which nothing acts upon their terminal."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from airflow_usage_provider.archive.catalog import map_in_order, read_current, read_manifest
from airflow_usage_provider.exceptions import ArchiveCorruptError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import date

    from airflow_usage_provider.archive.catalog import Catalog, Day
    from airflow_usage_provider.archive.compare import Change
    from airflow_usage_provider.archive.keys import Series
    from airflow_usage_provider.archive.manifest import Manifest
    from airflow_usage_provider.archive.objects import Objects

Record = dict[str, Any]
_COLUMNS = ("usage_date", "vendor", "account", "stream", "rows", "bytes", "revision", "state", "snapshots")
_NUMBERS = {"rows", "bytes", "revision", "snapshots"}
_SIGNS = {"added": "+", "removed": "-", "changed": "~"}


def list_days(objects: Objects, catalog: Catalog, jobs: int) -> list[Record]:
    """
    Return a record for each day and each gap, in order of series and date.

    ``state`` is the maturity, ``gap``, or ``unreadable`` with the ``problem``.
    """
    records = list(
        map_in_order(lambda day: _describe_day(objects, day), (d for d in catalog.days if d.manifests), jobs)
    )
    records += [_place(series, day) | {"state": "gap", "snapshots": 0} for series, day in catalog.gaps()]
    return sorted(records, key=lambda record: [record[name] for name in ("vendor", "account", "stream", "usage_date")])


def list_snapshots(objects: Objects, day: Day) -> Iterator[Record]:
    """Yield a record for each snapshot of a day, oldest first; the last one is ``current``."""
    for number, (snapshot_id, entry) in enumerate(day.manifests.items(), 1):
        record = _place(day.series, day.usage_date) | {
            "snapshot_id": snapshot_id,
            "current": number == len(day.manifests),
            "manifest": objects.uri(entry.name),
        }
        try:
            manifest = read_manifest(objects, entry)
        except ArchiveCorruptError as error:
            yield record | {"state": "unreadable", "problem": error.message}
        else:
            names = ("snapshot_at", "previous", "unchanged", "empty", "columns_added", "columns_removed", "tool")
            own = {name: getattr(manifest, name) for name in names}
            files = [objects.uri(objects.resolve(file.key) or file.key) for file in manifest.files]
            yield record | _describe_answer(manifest) | own | {"files": files}


def format_days(records: Sequence[Record]) -> Iterator[str]:
    """Yield the lines of a table, and a line that adds up."""
    rows = [dict(zip(_COLUMNS, (name.upper() for name in _COLUMNS), strict=True))]
    rows += [{name: _format_cell(record.get(name)) for name in _COLUMNS} for record in records]
    widths = {name: max(len(row[name]) for row in rows) for name in _COLUMNS}
    for row in rows:
        cells = (
            row[name].rjust(widths[name]) if name in _NUMBERS else row[name].ljust(widths[name]) for name in _COLUMNS
        )
        yield "  ".join(cells).rstrip()
    gaps = sum(record["state"] == "gap" for record in records)
    series = {(record["vendor"], record["account"], record["stream"]) for record in records}
    totals = {name: sum(record.get(name, 0) for record in records) for name in ("rows", "bytes", "snapshots")}
    yield (
        f"{count(len(series), 'stream')}, {count(len(records) - gaps, 'day')}, {count(gaps, 'gap')}: "
        f"{count(totals['rows'], 'row')}, {count(totals['bytes'], 'byte')}, {count(totals['snapshots'], 'snapshot')}"
    )


def format_snapshot(record: Record) -> str:
    """One line for one snapshot, the current one starred."""
    head = f"{'*' if record['current'] else ' '} {record['snapshot_id']}"
    if "problem" in record:
        return f"{head}  unreadable: {record['problem']}"
    facts = [
        printable(record["snapshot_at"]),
        f"revision {record['revision']}",
        record["state"],
        count(record["rows"], "row"),
        count(record["bytes"], "byte"),
        *(name for name in ("unchanged", "empty") if record[name]),
        *(f"+{printable(name)}" for name in record["columns_added"]),
        *(f"-{printable(name)}" for name in record["columns_removed"]),
        f"follows {record['previous']}" if record["previous"] else "the first",
    ]
    return "  ".join((head, *facts))


def format_change(change: Change) -> str:
    """One line for one row that differs."""
    key = ", ".join(f"{printable(name)}={format_value(value)}" for name, value in change.key.items())
    head = f"{_SIGNS[change.kind]} {key}".rstrip()
    if change.kind != "changed":
        return f"{head} {_format_json(change.old or change.new)}"
    fields = (
        f"{printable(name)}: {_format_field(change.old, name)} -> {_format_field(change.new, name)}"
        for name in dict.fromkeys((*change.old, *change.new))
    )
    return f"{head}  {', '.join(fields)}"


def to_change_record(change: Change) -> Record:
    """Return a change for machines."""
    return {"change": change.kind, "key": change.key, "old": change.old or None, "new": change.new or None}


def describe_series(days: Iterable[Day]) -> str:
    """List series for a message."""
    return "; ".join(printable(" ".join((d.series.vendor, d.series.account, d.series.stream))) for d in days)


def format_value(value: Any) -> str:
    """Write a value as it was sent, unless that could be misread."""
    if isinstance(value, Decimal) or (isinstance(value, str) and value):
        return printable(str(value))
    return _format_json(value)


def to_json(value: Any) -> str:
    """One line of JSON; decimals as strings, as in manifests."""
    return json.dumps(value, default=str)


def printable(text: str) -> str:
    """Escape what a terminal would act upon."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def count(number: int, noun: str) -> str:
    """``1 row``, ``1,234 rows``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _describe_day(objects: Objects, day: Day) -> Record:
    record = _place(day.series, day.usage_date) | {"snapshots": len(day.manifests)}
    try:
        manifest = read_current(objects, day)
    except ArchiveCorruptError as error:
        return record | {"state": "unreadable", "problem": error.message}
    return record | _describe_answer(manifest) | {"snapshot_id": manifest.snapshot_id, "empty": manifest.empty}


def _describe_answer(manifest: Manifest) -> Record:
    return {
        "rows": manifest.rows,
        "bytes": sum(entry.bytes for entry in manifest.files),
        "raw_bytes": sum(entry.raw_bytes for entry in manifest.files),
        "revision": manifest.revision,
        "state": manifest.maturity,
    }


def _place(series: Series, usage_date: date) -> Record:
    return {
        "vendor": series.vendor,
        "account": series.account,
        "stream": series.stream,
        "usage_date": usage_date.isoformat(),
    }


def _format_json(value: Any) -> str:
    return printable(json.dumps(value, default=str, ensure_ascii=False))


def _format_cell(value: str | int | None) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else printable(value)


def _format_field(row: Mapping[str, Any], name: str) -> str:
    return format_value(row[name]) if name in row else "(absent)"
