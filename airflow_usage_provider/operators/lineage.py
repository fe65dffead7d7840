"""Tells Airflow what was archived: asset events and hook lineage. Nothing secret is in what it tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, AssetAlias

from airflow_usage_provider.compat import get_hook_lineage_collector

if TYPE_CHECKING:
    from airflow_usage_provider.archive.keys import ArchiveLocation
    from airflow_usage_provider.archive.manifest import Manifest

Committed = Sequence[tuple[dict[str, Any], "Manifest"]]


def report(operator: Any, context: Mapping[str, Any], location: ArchiveLocation, committed: Committed) -> None:
    """
    Emit an event for the stream's asset, and for each asset the DAG author gave as an outlet.

    :param committed: summary and manifest of each day, newest first.
    """
    if not committed:
        return
    summary = committed[0][0]
    asset = stream_asset(location, summary["vendor"], summary["account"], summary["stream"])
    extra = {
        **{name: summary[name] for name in ("vendor", "account", "stream")},
        "snapshots": [_without_series(summary) for summary, _ in committed],
    }
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


def _without_series(summary: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in summary.items() if name not in {"vendor", "account", "stream"}}


def _report_hook_lineage(operator: Any, asset: Asset) -> None:
    get_hook_lineage_collector().add_output_asset(context=operator, uri=asset.uri)
