"""The archive for those who write: what it holds of a day, and the next snapshot of that day.

A snapshot exists once its manifest does. The current answer for a day is its newest manifest. Nothing is ever
overwritten.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_usage_provider.archive.bucket import Bucket
from airflow_usage_provider.archive.commit import Snapshot
from airflow_usage_provider.archive.keys import ArchiveKey, ArchiveLocation, Series, read_snapshot_time
from airflow_usage_provider.archive.packing import check_compression
from airflow_usage_provider.archive.standing import Standing, read_manifest
from airflow_usage_provider.exceptions import UsageProviderError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow_usage_provider.archive.manifest import Manifest
    from airflow_usage_provider.archive.standing import StoredManifest
    from airflow_usage_provider.models import FileFormat, UsageWindow

__all__ = ["ABANDONED_AFTER", "Archive", "Snapshot"]

ABANDONED_AFTER = timedelta(hours=6)  # an upload that was begun before then is nobody's any more


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """
    The archive below one ``archive_url``, written and read through a boto3 S3 client.

    :param compression: of the parts, ``gzip`` or ``none``.
    :param extra_args: arguments for every object written, such as ``ServerSideEncryption``.
    :param now: tells the time; a test may pass its own.
    """

    client: Any
    location: ArchiveLocation
    compression: str = "gzip"
    extra_args: Mapping[str, Any] = field(default_factory=dict)
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    bucket: Bucket = field(init=False)
    _surveyed: dict[str, Standing] = field(init=False, default_factory=dict)
    _swept: dict[Series, object] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        check_compression(self.compression)
        object.__setattr__(self, "bucket", Bucket(self.client, self.location.bucket, self.extra_args))

    def survey(self, series: Series, windows: Sequence[UsageWindow]) -> None:
        """
        Look at several days with one listing; :meth:`open_snapshot` then need not look at each.

        What goes wrong is left to the days: each looks for itself.
        """
        prefixes = sorted(self.day_prefix(series, window) for window in windows)
        if len(prefixes) < 2:
            return
        found: list[tuple[str, int]] = []
        with suppress(UsageProviderError):
            for key, size in self.bucket.list_keys(f"{series.prefix(self.location)}/", after=prefixes[0]):
                if key[: len(prefixes[-1])] > prefixes[-1]:
                    break
                found.append((key, size))
            self._surveyed.update((prefix, Standing.of(prefix, found)) for prefix in prefixes)

    def look(self, series: Series, window: UsageWindow) -> Standing:
        """Return what the archive holds of a day."""
        prefix = self.day_prefix(series, window)
        return Standing.of(prefix, self.bucket.list_keys(prefix))

    def read_latest(self, series: Series, window: UsageWindow) -> Manifest | None:
        """Return the newest manifest of a day, the current answer; None if there is none."""
        newest = self.look(series, window).newest
        return self.read(series, window.usage_date, newest).manifest if newest else None

    def read_previous(self, manifest: Manifest) -> Manifest | None:
        """Return the manifest that a manifest follows; None if it is the first of its day."""
        if manifest.previous is None:
            return None
        series = Series(manifest.vendor, manifest.account, manifest.stream)
        return self.read(series, date.fromisoformat(manifest.usage_date), manifest.previous).manifest

    def read(self, series: Series, usage_date: date, snapshot_id: str) -> StoredManifest:
        """Return the manifest of a snapshot."""
        key = self.manifest_key(series, usage_date, snapshot_id)
        return read_manifest(self.bucket, series, usage_date, snapshot_id, key)

    def day_prefix(self, series: Series, window: UsageWindow) -> str:
        """Key prefix of a day, with a slash at the end."""
        return series.day_prefix(self.location, window.usage_date)

    def manifest_key(self, series: Series, usage_date: date, snapshot_id: str) -> str:
        """Key of a snapshot's manifest."""
        return Standing(series.day_prefix(self.location, usage_date), {}).manifest_key(snapshot_id)

    def manifest_uri(self, manifest: Manifest) -> str:
        """``s3://`` address of a manifest."""
        series = Series(manifest.vendor, manifest.account, manifest.stream)
        day = date.fromisoformat(manifest.usage_date)
        return self.location.uri(self.manifest_key(series, day, manifest.snapshot_id))

    def open_snapshot(
        self,
        series: Series,
        window: UsageWindow,
        file_format: FileFormat,
        *,
        question: Mapping[str, Any] | None = None,
        new_question: str = "refuse",
    ) -> Snapshot:
        """
        Begin a snapshot; nothing is visible before its commit.

        :param question: what will be asked, without the day; None if the stream does not say.
        :param new_question: ``refuse`` or ``accept`` another question than that of the day's earlier snapshot.
        :raises ArchiveAccessError: the bucket does not exist or may not be read.
        :raises ConfigurationError: the earlier snapshot answers another question.
        """
        standing = self._surveyed.pop(self.day_prefix(series, window), None) or self.look(series, window)
        return Snapshot(
            self, series, window, file_format, standing=standing, question=question, new_question=new_question
        )

    def sweep(self, series: Series) -> None:
        """Abort the uploads below a series that runs left when they were killed, hours ago; once a series."""
        if self._swept.setdefault(series, mine := object()) is not mine:  # days in other threads sweep too
            return
        begun_before = self.now() - ABANDONED_AFTER
        for key, upload_id in self.bucket.list_uploads(f"{series.prefix(self.location)}/"):
            parsed = ArchiveKey.parse(key)
            begun = read_snapshot_time(parsed.snapshot_id) if parsed else None
            if begun is not None and begun < begun_before:
                self.bucket.abort_upload(key, upload_id)
