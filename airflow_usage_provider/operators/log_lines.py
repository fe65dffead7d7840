"""What the task log says of a day, so that a person finds the way from a request to an object. No URL of a vendor."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_usage_provider.archive.manifest import Manifest
    from airflow_usage_provider.archive.snapshot import Archive, Snapshot
    from airflow_usage_provider.exceptions import UsageProviderError
    from airflow_usage_provider.models import UsageWindow, VendorStream
    from airflow_usage_provider.operators.metrics import DayMeter


def describe_begin(
    meter: DayMeter, window: UsageWindow, stream: VendorStream, archive: Archive, previous: Manifest | None
) -> str:
    """Say what is asked for, and what the archive has of that day."""
    asked = " ".join(str(stream.request[name]) for name in ("method", "path") if name in stream.request)
    known = "nothing of that day"
    if previous is not None:
        known = f"revision {previous.revision}, {previous.rows} records, {archive.manifest_uri(previous)}"
    return f"Asking for {meter.name} of {window.usage_date} ({asked}). In the archive so far: {known}"


def describe_progress(meter: DayMeter, window: UsageWindow, raw_bytes: int) -> str:
    """Say how much was read."""
    rate = raw_bytes / meter.seconds / 1e6
    return f"{meter.name} of {window.usage_date}: {raw_bytes} bytes so far, {rate:.3g} MB/s"


def describe_end(meter: DayMeter, archive: Archive, manifest: Manifest, snapshot: Snapshot) -> Iterator[str]:
    """Say where the bytes are, and what became of the day."""
    for entry in manifest.files:
        verb = "Kept" if manifest.unchanged else "Stored"
        yield f"{verb} {entry.bytes} bytes: {archive.location.uri(entry.key)}"
    answer = f"revision {manifest.revision}"
    if manifest.unchanged:
        answer = f"unchanged since snapshot {manifest.previous}"
    elif snapshot.previous is not None:
        answer += f" ({manifest.rows - snapshot.previous.rows:+d} records)"
    yield (
        f"Archived {meter.name} of {manifest.usage_date}: "
        f"{'empty' if manifest.empty else f'{manifest.rows} records'}, {answer}, "
        f"{snapshot.raw_bytes} bytes read in {meter}: {archive.manifest_uri(manifest)}"
    )


def describe_failure(meter: DayMeter, window: UsageWindow, error: UsageProviderError) -> str:
    """Say what failed, and after what."""
    return f"{meter.name} of {window.usage_date} was not archived, after {meter}: {error}"
