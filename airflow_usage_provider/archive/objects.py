"""The objects of an archive for those who only read: in a bucket, or in a folder that was synced from one.

Names are relative to the archive and begin with ``raw/``. Bodies come in chunks; none is ever held whole.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from airflow_usage_provider.archive.errors import error_code, is_missing, translated_errors
from airflow_usage_provider.exceptions import (
    ArchiveAccessError,
    ArchiveCorruptError,
    ArchiveUnavailableError,
    ConfigurationError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_usage_provider.archive.keys import ArchiveLocation

ROOT = "raw/"
CHUNK_SIZE = 1024 * 1024
MAX_RESUMPTIONS = 3  # of one body whose connection breaks
_FIRST_SEGMENT = f"{ROOT}vendor="


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object: its name within the archive and its size in bytes."""

    name: str
    size: int


class Objects(Protocol):
    """What a reader needs of the place an archive lies in."""

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """List every object whose name begins with the prefix, in no particular order."""

    def chunks(self, name: str) -> Iterator[bytes | memoryview]:
        """
        Yield a body in chunks of at most ``CHUNK_SIZE`` bytes, each valid until the next is asked for.

        :raises ArchiveCorruptError: there is no such object, or it cannot be read where it is.
        """

    def resolve(self, key: str) -> str | None:
        """Return the name of what a manifest calls by its key in the bucket; None if that is not in this archive."""

    def uri(self, name: str) -> str:
        """Where the object lies, for people."""


@dataclass(frozen=True, slots=True)
class FolderObjects:
    """An archive in a folder. The bucket's name and prefix are unknown there: keys are read from ``raw/`` on."""

    folder: Path

    def __post_init__(self) -> None:
        if not self.folder.is_dir():
            raise ConfigurationError(
                f"{str(self.folder)!r} is no folder", next_step="Give a folder, or a bucket as s3://bucket/prefix."
            )

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """List every file whose name begins with the prefix."""
        root = self.folder / ROOT

        def refuse(error: OSError) -> None:
            if Path(error.filename) != root or not isinstance(error, FileNotFoundError):
                raise _from_os(error)

        for folder, subfolders, files in os.walk(root, onerror=refuse):
            here = Path(folder).relative_to(self.folder).as_posix()
            subfolders[:] = sorted(name for name in subfolders if _may_hold(f"{here}/{name}/", prefix))
            for name in sorted(files):
                if f"{here}/{name}".startswith(prefix):
                    yield self._describe(f"{here}/{name}")

    def chunks(self, name: str) -> Iterator[bytes | memoryview]:
        """Yield a file's bytes in a buffer that is used again for the next."""
        try:
            with (self.folder / name).open("rb", buffering=0) as file:
                size = os.fstat(file.fileno()).st_size
                buffer = memoryview(bytearray(max(1, min(size, CHUNK_SIZE))))
                while count := file.readinto(buffer):
                    yield buffer[:count]
        except OSError as error:
            raise _from_os(error) from None

    def resolve(self, key: str) -> str | None:
        """Return the key from its last ``raw/vendor=`` on."""
        prefix, separator, rest = key.rpartition(_FIRST_SEGMENT)
        return separator + rest if separator and (not prefix or prefix.endswith("/")) else None

    def uri(self, name: str) -> str:
        """Path of the file."""
        return str(self.folder / name)

    def _describe(self, name: str) -> StoredObject:
        try:
            return StoredObject(name, (self.folder / name).stat().st_size)
        except OSError:
            return StoredObject(name, 0)  # such as a link to nowhere: whoever reads it is told


@dataclass(frozen=True, slots=True)
class S3Objects:
    """
    An archive in a bucket.

    :param client: boto3 S3 client; used from several threads.
    """

    client: Any
    location: ArchiveLocation

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """List every object whose name begins with the prefix; the console's folder markers are none."""
        with translated_errors(self.location.bucket):
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.location.bucket, Prefix=self._key(prefix)
            )
            for entry in (entry for page in pages for entry in page.get("Contents", ())):
                if not entry["Key"].endswith("/") or entry["Size"]:
                    yield StoredObject(entry["Key"].removeprefix(self._key("")), entry["Size"])

    def chunks(self, name: str) -> Iterator[bytes]:
        """Yield an object's bytes; goes on where it was when the connection breaks."""
        offset, etag, resumptions = 0, None, 0
        while True:
            try:
                with translated_errors(self.location.bucket):
                    answer = self._get(name, offset, etag)
                    etag = answer["ETag"]
                    while chunk := answer["Body"].read(CHUNK_SIZE):
                        offset += len(chunk)
                        yield chunk
                    return
            except ArchiveUnavailableError:
                resumptions += 1
                if resumptions > MAX_RESUMPTIONS:
                    raise

    def resolve(self, key: str) -> str | None:
        """Return the key without the archive's prefix."""
        own = self._key("")
        return key.removeprefix(own) if key.startswith(own + ROOT) else None

    def uri(self, name: str) -> str:
        """``s3://`` address."""
        return self.location.uri(self._key(name))

    def _key(self, name: str) -> str:
        return f"{self.location.prefix}/{name}" if self.location.prefix else name

    def _get(self, name: str, offset: int, etag: str | None) -> Any:
        from botocore.exceptions import ClientError

        same = {"Range": f"bytes={offset}-", "IfMatch": etag} if offset else {}
        try:
            return self.client.get_object(Bucket=self.location.bucket, Key=self._key(name), **same)
        except ClientError as error:
            if is_missing(error):
                raise ArchiveCorruptError("Gone since it was listed", next_step="Find out who deletes here.") from None
            if error_code(error) == "InvalidObjectState":
                raise ArchiveCorruptError(
                    "Cannot be read in its storage class",
                    next_step="Restore it for some days (aws s3api restore-object) and run this again.",
                ) from None
            raise


def _may_hold(folder: str, prefix: str) -> bool:
    return folder.startswith(prefix) or prefix.startswith(folder)


def _from_os(error: OSError) -> ArchiveAccessError | ArchiveCorruptError | ArchiveUnavailableError:
    if isinstance(error, FileNotFoundError):
        return ArchiveCorruptError("Gone since it was listed", next_step="Find out who deletes here.")
    if isinstance(error, PermissionError):
        return ArchiveAccessError(f"{error.filename} may not be read", next_step="Correct its permissions.")
    return ArchiveUnavailableError(
        f"{error.filename or 'A file'} could not be read: {error.strerror}", next_step="Check the disk."
    )
