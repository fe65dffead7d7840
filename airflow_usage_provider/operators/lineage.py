"""Tells Airflow what was archived: asset events and hook lineage. Nothing secret is in what it tells.

An asset's name is ASCII, as every database takes it: account and stream are percent-encoded, as in the archive.
"""

from __future__ import annotations

import json
import string
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.sdk import Asset, AssetAlias

from airflow_usage_provider.archive.keys import Series
from airflow_usage_provider.compat import get_hook_lineage_collector

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from airflow_usage_provider.archive.keys import ArchiveLocation
    from airflow_usage_provider.archive.manifest import Manifest
    from airflow_usage_provider.archive.snapshot import Archive
    from airflow_usage_provider.operators.archiving import ArchivedDay

#: Key of the XCom in which a task leaves its event to another.
EVENT_KEY = "asset_event"
_SERIES = ("vendor", "account", "stream")


def summarize(archive: Archive, manifest: Manifest) -> dict[str, Any]:
    """Return what a task returns of one day."""
    return {
        **{name: getattr(manifest, name) for name in (*_SERIES, "usage_date", "snapshot_id")},
        "manifest_uri": archive.manifest_uri(manifest),
        "rows": manifest.rows,
        "bytes": _size(manifest),
        **{name: getattr(manifest, name) for name in ("empty", "unchanged", "revision")},
    }


def describe_event(archive: Archive, days: Sequence[ArchivedDay]) -> dict[str, Any]:
    """
    Return the event of a stream's asset: ``name``, ``uri`` and ``extra``.

    :param days: what was archived, newest first; at least one.
    """
    first = days[0].manifest
    asset = stream_asset(archive.location, first.vendor, first.account, first.stream)
    told = [_describe(archive, day) for day in days]
    # Airflow 3.0 takes no lists or dicts in the extra of an alias's event: the newest day lies flat, all days as text.
    return {"name": asset.name, "uri": asset.uri, "extra": {**told[0], "snapshots": json.dumps(told)}}


def report(operator: Any, context: Mapping[str, Any], event: Mapping[str, Any]) -> None:
    """Emit an event for the stream's asset, or leave it to another task; and one for each asset among the outlets."""
    get_hook_lineage_collector().add_output_asset(context=operator, uri=event["uri"])
    if not operator.emit_events and (ti := context.get("ti")) is not None:
        ti.xcom_push(EVENT_KEY, event)
    if (events := context.get("outlet_events")) is None:
        return
    for outlet in operator.outlets:
        if isinstance(outlet, Asset):
            events[outlet].extra.update(event["extra"])
        elif isinstance(outlet, AssetAlias) and operator.emit_events:
            events[outlet].add(_asset(event["name"], event["uri"]), extra=event["extra"])


def tell_assets(context: Mapping[str, Any], task_ids: Iterable[str]) -> list[str]:
    """
    Emit what tasks of the run left to this one, one event an asset; return the assets' names.

    :param context: of this task, whose outlets hold the alias.
    :param task_ids: the tasks, mapped or not; of those that failed, what they archived all the same.
    """
    ti, events = context["ti"], context["outlet_events"]
    left = ti.xcom_pull(task_ids=list(task_ids), key=EVENT_KEY) or []
    by_asset = {(event["name"], event["uri"]): event["extra"] for event in left if event}
    for outlet in ti.task.outlets:
        for (name, uri), extra in by_asset.items():
            events[outlet].add(_asset(name, uri), extra=extra)
    return sorted(name for name, _ in by_asset)


def stream_asset(location: ArchiveLocation, vendor: str, account: str, stream: str) -> Asset:
    """Return the asset of a stream: named ``vendor/account/stream``, at the stream's prefix."""
    name = "/".join(quote(part, safe="") for part in (vendor, account, stream))
    uri = location.uri(Series(vendor, account, stream).prefix(location))
    return _asset(name, quote(uri, safe=string.printable))


def alias_name(vendor: str) -> str:
    """Return the name of the alias that all assets of a vendor are told under."""
    return f"{vendor}_usage"


def _asset(name: str, uri: str) -> Asset:
    return Asset(name=name, uri=uri, group="usage")


def _describe(archive: Archive, day: ArchivedDay) -> dict[str, Any]:
    """Return the summary of a day, and how much a revised one differs from the revision before."""
    summary = summarize(archive, day.manifest)
    if day.previous is not None and not day.manifest.unchanged:
        summary["rows_difference"] = day.manifest.rows - day.previous.rows
        summary["bytes_difference"] = _size(day.manifest) - _size(day.previous)
    return summary


def _size(manifest: Manifest) -> int:
    return sum(entry.bytes for entry in manifest.files)
