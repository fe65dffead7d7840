"""The columns of the tables: those every table has, around those its stream declares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_usage_provider.schema import StreamSchema
from airflow_usage_provider.vendors.schemas import find_schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow_usage_provider.archive.keys import Series
    from airflow_usage_provider.archive.manifest import Manifest

MONEY_DIGITS, MONEY_DECIMALS = 38, 18
#: Kinds of the columns that are ours; ``revision`` is a count.
BEFORE: Mapping[str, str] = {"usage_date": "date", "account": "text"}
AFTER: Mapping[str, str] = {"other_columns": "json", "snapshot_id": "text", "revision": "count"}
INTERVAL: Mapping[str, str] = {"known_from": "time", "known_to": "time"}
SNAPSHOTS: Mapping[str, str] = {
    **dict.fromkeys(("vendor", "account", "stream"), "text"),
    "usage_date": "date",
    "snapshot_id": "text",
    "snapshot_at": "time",
    "state": "text",
    "rows": "count",
    "revision": "count",
    "maturity": "text",
    "unchanged": "flag",
    **INTERVAL,
    "manifest_key": "text",
    "manifest_sha256": "text",
}


def arrow_type(kind: str) -> Any:
    """Return the Arrow type of a kind; text and JSON are strings."""
    import pyarrow as pa

    return {
        "flag": pa.bool_(),
        "date": pa.date32(),
        "time": pa.timestamp("us", "UTC"),
        "count": pa.int64(),
        "number": pa.float64(),
        "money": pa.decimal128(MONEY_DIGITS, MONEY_DECIMALS),
    }.get(kind, pa.string())


def arrow_schema(columns: Mapping[str, str]) -> Any:
    """Return the Arrow schema of columns by kind."""
    import pyarrow as pa

    return pa.schema([(name, arrow_type(kind)) for name, kind in columns.items()])


def month_schema(series: Series, manifests: Iterable[Manifest]) -> StreamSchema:
    """
    Return what a month's columns mean: what its newest manifest says, then what only earlier ones declare.

    Manifests that say nothing, as before 0.2, are of the schema that this package has of the stream; none: no column
    is declared.

    :param manifests: in order of time.
    :raises ConfigurationError: a manifest's schema does not hold together.
    """
    said = [StreamSchema.from_dict(manifest.schema) for manifest in manifests if manifest.schema]
    schemas = said[::-1] or [find_schema(series.vendor, series.stream) or StreamSchema()]
    columns: dict[str, str] = {}
    for schema in schemas:
        columns |= {name: kind for name, kind in schema.columns.items() if name not in columns}
    newest = schemas[0]
    return StreamSchema(newest.identity, columns, newest.roles)


def declared_columns(schema: StreamSchema) -> dict[str, str]:
    """Return the tables' names of declared columns, by the vendor's; one that takes a name of ours gets a number."""
    taken = {*BEFORE, *AFTER, *INTERVAL}
    names: dict[str, str] = {}
    for column in schema.columns:
        name, number = column, 2
        while name.lower() in taken:
            name, number = f"{column}_{number}", number + 1
        taken.add(name.lower())
        names[column] = name
    return names


def table_columns(schema: StreamSchema, table: str) -> dict[str, str]:
    """Return the kinds of the columns of ``current`` or ``history``, by name and in order."""
    names = declared_columns(schema)
    declared = {names[column]: kind for column, kind in schema.columns.items()}
    return {**BEFORE, **declared, **AFTER, **(INTERVAL if table == "history" else {})}
