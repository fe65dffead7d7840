"""Snapshots: parts first, manifest last, nothing ever overwritten.

A snapshot exists once its manifest does. The current answer for a day is its newest manifest. Whatever happens before
the manifest is written leaves nothing that a reader takes for an answer.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Self

from airflow_usage_provider import __version__
from airflow_usage_provider.archive.bucket import Bucket
from airflow_usage_provider.archive.keys import (
    MANIFEST_NAME,
    ArchiveKey,
    ArchiveLocation,
    Series,
    new_snapshot_id,
    part_name,
)
from airflow_usage_provider.archive.manifest import FileEntry, Manifest
from airflow_usage_provider.archive.packing import PartPacking, check_compression
from airflow_usage_provider.archive.upload import ObjectUpload
from airflow_usage_provider.exceptions import (
    IncompleteSnapshotError,
    SnapshotConflictError,
    UsageProviderError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from airflow_usage_provider.models import FileFormat, StreamFacts, UsageWindow
    from airflow_usage_provider.schema import StreamSchema


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

    def __post_init__(self) -> None:
        check_compression(self.compression)
        object.__setattr__(self, "bucket", Bucket(self.client, self.location.bucket, self.extra_args))

    def read_latest(self, series: Series, window: UsageWindow) -> Manifest | None:
        """Return the newest manifest of a day, the current answer; None if there is none."""
        key = self.find_latest(series, window)
        return Manifest.from_json(self.bucket.read(key), key=key) if key else None

    def read_previous(self, manifest: Manifest) -> Manifest | None:
        """Return the manifest that a manifest follows; None if it is the first of its day."""
        if manifest.previous is None:
            return None
        series = Series(manifest.vendor, manifest.account, manifest.stream)
        key = self.manifest_key(series, date.fromisoformat(manifest.usage_date), manifest.previous)
        return Manifest.from_json(self.bucket.read(key), key=key)

    def find_latest(self, series: Series, window: UsageWindow) -> str | None:
        """Return the key of the newest manifest of a day; None if there is none."""
        found = ((key, ArchiveKey.parse(key)) for key in self.bucket.list_keys(self.day_prefix(series, window)))
        manifests = {parsed.snapshot_id: key for key, parsed in found if parsed and parsed.name == MANIFEST_NAME}
        return manifests[max(manifests)] if manifests else None

    def day_prefix(self, series: Series, window: UsageWindow) -> str:
        """Key prefix of a day, with a slash at the end."""
        return series.day_prefix(self.location, window.usage_date)

    def manifest_key(self, series: Series, usage_date: date, snapshot_id: str) -> str:
        """Key of a snapshot's manifest."""
        return f"{series.day_prefix(self.location, usage_date)}snapshot={snapshot_id}/{MANIFEST_NAME}"

    def manifest_uri(self, manifest: Manifest) -> str:
        """``s3://`` address of a manifest."""
        series = Series(manifest.vendor, manifest.account, manifest.stream)
        day = date.fromisoformat(manifest.usage_date)
        return self.location.uri(self.manifest_key(series, day, manifest.snapshot_id))

    def open_snapshot(self, series: Series, window: UsageWindow, file_format: FileFormat) -> Snapshot:
        """
        Begin a snapshot; nothing is visible before its commit.

        :raises ArchiveAccessError: the bucket does not exist or may not be read.
        """
        return Snapshot(self, series, window, file_format)


class Snapshot:
    """
    One answer for one stream and day on its way into the archive.

    Use it as a context manager and commit it inside; left without a commit, it aborts its upload. ``previous`` is the
    manifest of the day's current answer, None if there is none.
    """

    def __init__(self, archive: Archive, series: Series, window: UsageWindow, file_format: FileFormat) -> None:
        self._archive = archive
        self._series = series
        self._window = window
        self._file_format = file_format
        self.previous = archive.read_latest(series, window)
        self._abandoned = archive.bucket.list_uploads(archive.day_prefix(series, window))
        after = self.previous.snapshot_id if self.previous else None
        self.snapshot_id = new_snapshot_id(archive.now(), after=after)
        self._start_part()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._packing.close()
        with suppress(UsageProviderError):  # what ended the block is the news, not that the clean-up failed too
            self._upload.abort()

    @property
    def raw_bytes(self) -> int:
        """Bytes taken so far, before compression."""
        return self._packing.raw_bytes

    def write(self, chunk: bytes | memoryview) -> None:
        """Take the next bytes of the vendor's answer."""
        self._packing.write(chunk)

    def commit(
        self,
        facts: StreamFacts,
        *,
        maturity: str,
        request: Mapping[str, Any],
        schema: StreamSchema | None = None,
        question: Mapping[str, Any] | None = None,
        airflow: Mapping[str, Any] | None = None,
    ) -> Manifest:
        """
        Make the snapshot the current answer of its day, and return its manifest.

        :param facts: what the vendor's stream returned at its end.
        :param maturity: ``provisional`` or ``final``.
        :param request: how the vendor was asked; nothing secret.
        :param schema: what the columns mean; None if the stream does not say.
        :param question: what was asked, without the day; None if the stream does not say.
        :param airflow: the task that writes.
        :raises IncompleteSnapshotError: facts and bytes do not fit together.
        :raises SnapshotConflictError: another run committed this day in the meantime.
        """
        if facts.rows and not self.raw_bytes:
            raise IncompleteSnapshotError(f"{facts.rows} records without a byte", stream=self._series.stream)
        self._refuse_conflict()
        entry = self._packing.finish(self._key, facts.rows, self._file_format.content_type)
        is_same = self.previous is not None and _is_same_answer(self.previous, entry if facts.rows else None)
        kept = self._kept_files() if is_same else None
        if kept is None and facts.rows:
            self._upload.complete()
            self._refuse_conflict()
        manifest = self._describe(
            facts,
            files=kept if kept is not None else (entry,) * bool(facts.rows),
            unchanged=kept is not None,
            revision=1 if self.previous is None else self.previous.revision + (not is_same),
            maturity=maturity,
            request=request,
            question=question,
            schema=schema.as_dict() if schema else None,
            airflow=airflow or {},
        )
        key = self._archive.manifest_key(self._series, self._window.usage_date, self.snapshot_id)
        self._archive.bucket.create(key, manifest.to_json(), content_type="application/json")
        for upload in self._abandoned:  # by runs that were killed
            self._archive.bucket.abort_upload(*upload)
        return manifest

    def _refuse_conflict(self) -> None:
        latest = self._archive.find_latest(self._series, self._window)
        known = self.previous.snapshot_id if self.previous else None
        if latest is not None and (known is None or f"/snapshot={known}/" not in latest):
            raise SnapshotConflictError(
                f"Another run archived {self._window.usage_date} in the meantime",
                vendor=self._series.vendor,
                stream=self._series.stream,
                next_step="Read the day again.",
            )

    def _kept_files(self) -> tuple[FileEntry, ...] | None:
        """Return the earlier parts if they are all there; None if the bytes must be stored again."""
        files = self.previous.files if self.previous else ()
        return files if all(self._archive.bucket.has(old.key, old.bytes) for old in files) else None

    def _describe(self, facts: StreamFacts, **decided: Any) -> Manifest:
        known = self.previous.columns if self.previous else ()
        return Manifest(
            vendor=self._series.vendor,
            account=self._series.account,
            stream=self._series.stream,
            usage_date=self._window.usage_date.isoformat(),
            timezone=self._window.timezone,
            window_requested=self._window.as_dict(),
            window_returned=facts.window_returned,
            snapshot_id=self.snapshot_id,
            snapshot_at=self._archive.now().astimezone(UTC).isoformat(timespec="seconds"),
            previous=self.previous.snapshot_id if self.previous else None,
            empty=facts.rows == 0,
            rows=facts.rows,
            vendor_rows=facts.vendor_rows,
            pages=facts.pages,
            duplicates=facts.duplicates,
            conflicts=facts.conflicts,
            end=facts.end,
            columns=facts.columns,
            columns_added=_names_gone(facts.columns, known),
            columns_removed=_names_gone(known, facts.columns),
            envelope=facts.envelope,
            tool={"name": "airflow-usage-provider", "version": __version__},
            **decided,
        )

    def _start_part(self) -> None:
        name = part_name(0, self._file_format, self._archive.compression)
        folder = f"{self._archive.day_prefix(self._series, self._window)}snapshot={self.snapshot_id}"
        self._key = f"{folder}/{name}"
        is_gzip = self._archive.compression == "gzip"
        self._upload = ObjectUpload(
            self._archive.client,
            self._archive.location.bucket,
            self._key,
            content_type="application/gzip" if is_gzip else self._file_format.content_type,
            extra_args=self._archive.extra_args,
        )
        self._packing = PartPacking(self._upload, self._archive.compression)


def _is_same_answer(previous: Manifest, entry: FileEntry | None) -> bool:
    if entry is None or previous.empty:
        return entry is None and previous.empty
    return [old.raw_sha256 for old in previous.files] == [entry.raw_sha256]


def _names_gone(names: tuple[str, ...], others: tuple[str, ...]) -> tuple[str, ...]:
    """Names that the others lack; none where either answer had no columns to compare."""
    return tuple(name for name in names if name not in others) if others else ()
