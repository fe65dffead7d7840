"""Snapshots: parts first, manifest last, nothing ever overwritten.

A snapshot exists once its manifest does. The current answer for a day is its newest manifest. Whatever happens before
the manifest is written leaves nothing that a reader takes for an answer.
"""

from __future__ import annotations

import hashlib
import zlib
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Self

from airflow_usage_provider import __version__
from airflow_usage_provider.archive.errors import is_missing, is_precondition_failure, translated_errors
from airflow_usage_provider.archive.keys import (
    MANIFEST_NAME,
    ArchiveKey,
    ArchiveLocation,
    Series,
    new_snapshot_id,
    part_name,
)
from airflow_usage_provider.archive.manifest import FileEntry, Manifest
from airflow_usage_provider.archive.upload import ObjectUpload, accepted_args, check_extra_args
from airflow_usage_provider.exceptions import ConfigurationError, IncompleteSnapshotError, UsageProviderError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from airflow_usage_provider.models import FileFormat, StreamFacts, UsageWindow

COMPRESSIONS = ("gzip", "none")
GZIP_LEVEL = 6
_GZIP_WBITS = 31  # zlib's number for gzip; its header has mtime 0, so that same bytes give same bytes


def check_compression(compression: str) -> None:
    """
    Refuse an unknown compression.

    :raises ConfigurationError: it is neither ``gzip`` nor ``none``.
    """
    if compression not in COMPRESSIONS:
        raise ConfigurationError(f"Unknown compression {compression!r}", next_step="Give gzip or none.")


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

    def __post_init__(self) -> None:
        check_compression(self.compression)
        check_extra_args(self.client, self.extra_args)

    def read_latest(self, series: Series, window: UsageWindow) -> Manifest | None:
        """Return the newest manifest of a day, the current answer; None if there is none."""
        prefix = series.day_prefix(self.location, window.usage_date)
        newest: ArchiveKey | None = None
        newest_key = ""
        with translated_errors(self.location.bucket):
            pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.location.bucket, Prefix=prefix)
            for entry in (entry for page in pages for entry in page.get("Contents", ())):
                key = ArchiveKey.parse(entry["Key"])
                if key and key.name == MANIFEST_NAME and (newest is None or key.snapshot_id > newest.snapshot_id):
                    newest, newest_key = key, entry["Key"]
        return self.read_manifest(newest_key) if newest else None

    def read_manifest(self, key: str) -> Manifest:
        """
        Read the manifest under a key.

        :raises ArchiveCorruptError: it is not one.
        """
        return Manifest.from_json(self.read_object(key), key=key)

    def read_object(self, key: str) -> bytes:
        """Return the bytes of a small object."""
        with translated_errors(self.location.bucket):
            answer = self.client.get_object(
                Bucket=self.location.bucket, Key=key, **accepted_args(self.client, "GetObject", self.extra_args)
            )
            body: bytes = answer["Body"].read()
        return body

    def has_part(self, entry: FileEntry) -> bool:
        """Whether a part is where its manifest says, with the size it says."""
        from botocore.exceptions import ClientError

        with translated_errors(self.location.bucket):
            try:
                head = self.client.head_object(
                    Bucket=self.location.bucket,
                    Key=entry.key,
                    **accepted_args(self.client, "HeadObject", self.extra_args),
                )
            except ClientError as error:
                if is_missing(error):
                    return False
                raise
        return bool(head["ContentLength"] == entry.bytes)

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

    def create_object(self, key: str, body: bytes, *, content_type: str) -> None:
        """Write a small object, create-only."""
        from botocore.exceptions import ClientError

        with translated_errors(self.location.bucket):
            try:
                self.client.put_object(
                    Bucket=self.location.bucket,
                    Key=key,
                    Body=body,
                    ContentType=content_type,
                    IfNoneMatch="*",
                    **self.extra_args,
                )
            except ClientError as error:
                # Keys are random: if this one is taken, then by our own attempt whose answer got lost.
                if not is_precondition_failure(error) or self.read_object(key) != body:
                    raise


class Snapshot:
    """
    One answer for one stream and day on its way into the archive.

    Use it as a context manager and commit it inside; left without a commit, it aborts its upload.
    """

    def __init__(self, archive: Archive, series: Series, window: UsageWindow, file_format: FileFormat) -> None:
        self._archive = archive
        self._series = series
        self._window = window
        self._file_format = file_format
        self._prefix = series.day_prefix(archive.location, window.usage_date)
        latest = archive.read_latest(series, window)
        self.snapshot_id = new_snapshot_id(archive.now(), after=latest.snapshot_id if latest else None)
        self._start_part()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with suppress(UsageProviderError):  # what ended the block is the news, not that the clean-up failed too
            self._upload.abort()

    @property
    def raw_bytes(self) -> int:
        """Bytes taken so far, before compression."""
        return self._raw_bytes

    def restart(self) -> None:
        """Forget what was written, to write it anew."""
        self._upload.abort()
        self._start_part()

    def write(self, chunk: bytes | memoryview) -> None:
        """Take the next bytes of the vendor's answer."""
        self._raw_bytes += len(chunk)
        self._raw_hash.update(chunk)
        self._store(self._compressor.compress(chunk) if self._compressor else chunk)

    def commit(
        self, facts: StreamFacts, *, maturity: str, request: Mapping[str, Any], airflow: Mapping[str, Any] | None = None
    ) -> Manifest:
        """
        Make the snapshot the current answer of its day, and return its manifest.

        :param facts: what the vendor's stream returned at its end.
        :param maturity: ``provisional`` or ``final``.
        :param request: how the vendor was asked; nothing secret.
        :param airflow: the task that writes.
        :raises IncompleteSnapshotError: facts and bytes do not fit together.
        """
        if facts.rows and not self._raw_bytes:
            raise IncompleteSnapshotError(f"{facts.rows} records without a byte", stream=self._series.stream)
        previous = self._archive.read_latest(self._series, self._window)
        if previous and previous.snapshot_id >= self.snapshot_id:  # another run committed while this one read
            self.snapshot_id = new_snapshot_id(self._archive.now(), after=previous.snapshot_id)
        entry = self._finish_part(facts.rows)
        same = previous is not None and _same_answer(previous, entry if facts.rows else None)
        files: tuple[FileEntry, ...] = ()
        if same and previous is not None and all(self._archive.has_part(old) for old in previous.files):
            files = previous.files
            unchanged = True
            self._upload.abort()
        else:
            unchanged = False
            if facts.rows:
                self._upload.complete()
                files = (entry,)
        known = previous.columns if previous else ()
        revision = 1 if previous is None else previous.revision + (0 if same else 1)
        manifest = Manifest(
            vendor=self._series.vendor,
            account=self._series.account,
            stream=self._series.stream,
            usage_date=self._window.usage_date.isoformat(),
            timezone=self._window.timezone,
            window_requested=self._window.as_dict(),
            window_returned=facts.window_returned,
            snapshot_id=self.snapshot_id,
            snapshot_at=self._archive.now().astimezone(UTC).isoformat(timespec="seconds"),
            maturity=maturity,
            revision=revision,
            previous=previous.snapshot_id if previous else None,
            unchanged=unchanged,
            empty=facts.rows == 0,
            rows=facts.rows,
            vendor_rows=facts.vendor_rows,
            pages=facts.pages,
            duplicates=facts.duplicates,
            files=files,
            columns=facts.columns,
            columns_added=_names_gone(facts.columns, known),
            columns_removed=_names_gone(known, facts.columns),
            envelope=facts.envelope,
            request=request,
            airflow=airflow or {},
            tool={"name": "airflow-usage-provider", "version": __version__},
        )
        self._archive.create_object(
            self._archive.manifest_key(self._series, self._window.usage_date, self.snapshot_id),
            manifest.to_json(),
            content_type="application/json",
        )
        return manifest

    def _start_part(self) -> None:
        name = part_name(0, self._file_format, self._archive.compression)
        self._key = f"{self._prefix}snapshot={self.snapshot_id}/{name}"
        is_gzip = self._archive.compression == "gzip"
        self._upload = ObjectUpload(
            self._archive.client,
            self._archive.location.bucket,
            self._key,
            content_type="application/gzip" if is_gzip else self._file_format.content_type,
            extra_args=self._archive.extra_args,
        )
        self._compressor = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, _GZIP_WBITS) if is_gzip else None
        self._raw_hash, self._hash = hashlib.sha256(), hashlib.sha256()
        self._raw_bytes = 0

    def _store(self, data: bytes | memoryview) -> None:
        self._hash.update(data)
        self._upload.write(data)

    def _finish_part(self, rows: int) -> FileEntry:
        if self._compressor:
            self._store(self._compressor.flush())
        return FileEntry(
            key=self._key,
            bytes=self._upload.bytes,
            sha256=self._hash.hexdigest(),
            raw_bytes=self._raw_bytes,
            raw_sha256=self._raw_hash.hexdigest(),
            rows=rows,
            content_type=self._file_format.content_type,
            compression=self._archive.compression,
        )


def _same_answer(previous: Manifest, entry: FileEntry | None) -> bool:
    if entry is None or previous.empty:
        return entry is None and previous.empty
    return [old.raw_sha256 for old in previous.files] == [entry.raw_sha256]


def _names_gone(names: tuple[str, ...], others: tuple[str, ...]) -> tuple[str, ...]:
    """Names that the others lack; none where either answer had no columns to compare."""
    return tuple(name for name in names if name not in others) if others else ()
