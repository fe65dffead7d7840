"""Tells Airflow what was archived: asset events and hook lineage. Nothing secret is in what it tells."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, AssetAlias

from airflow_usage_provider.compat import get_hook_lineage_collector

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_usage_provider.archive.keys import ArchiveLocation
    from airflow_usage_provider.archive.manifest import Manifest
    from airflow_usage_provider.archive.snapshot import Archive

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


def report(operator: Any, context: Mapping[str, Any], archive: Archive, manifests: Sequence[Manifest]) -> None:
    """
    Emit an event for the stream's asset, and for each asset the DAG author gave as an outlet.

    :param manifests: one for each day, newest first.
    """
    first = manifests[0]
    asset = stream_asset(archive.location, first.vendor, first.account, first.stream)
    days = [_describe(archive, manifest) for manifest in manifests]
    # Airflow 3.0 takes no lists or dicts in the extra of an alias's event: the newest day lies flat, all days as text.
    extra = {**days[0], "snapshots": json.dumps(days)}
    _report_hook_lineage(operator, asset)
    events = context.get("outlet_events")
    if events is None:
        return
    for outlet in operator.outlets:
        if isinstance(outlet, AssetAlias):
            events[outlet].add(asset, extra=extra)
        elif isinstance(outlet, Asset):
            events[outlet].extra.update(extra)


def stream_asset(location: ArchiveLocation, vendor: str, account: str, stream: str) -> Asset:
    """Return the asset of a stream: named ``vendor/account/stream``, at the stream's prefix."""
    from airflow_usage_provider.archive.keys import Series

    prefix = Series(vendor, account, stream).prefix(location)
    return Asset(name=f"{vendor}/{account}/{stream}", uri=location.uri(prefix), group="usage")


def _describe(archive: Archive, manifest: Manifest) -> dict[str, Any]:
    """Return the summary of a day, and how much a revised one differs from the revision before."""
    summary = summarize(archive, manifest)
    previous = None if manifest.unchanged else archive.read_previous(manifest)
    if previous is not None:
        summary["rows_difference"] = manifest.rows - previous.rows
        summary["bytes_difference"] = _size(manifest) - _size(previous)
    return summary


def _size(manifest: Manifest) -> int:
    return sum(entry.bytes for entry in manifest.files)


def _report_hook_lineage(operator: Any, asset: Asset) -> None:
    get_hook_lineage_collector().add_output_asset(context=operator, uri=asset.uri)
