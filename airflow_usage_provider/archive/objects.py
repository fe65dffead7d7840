"""The objects of an archive for those who only read: in a bucket, or in a folder that was synced from one.

Names are relative to the archive and begin with ``raw/``. Bodies come in chunks; none is ever held whole.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from airflow_usage_provider.archive.errors import error_code, is_missing, translated_errors
from airflow_usage_provider.exceptions import (
    ArchiveAccessError,
    ArchiveCorruptError,
    ArchiveUnavailableError,
    ConfigurationError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from airflow_usage_provider.archive.keys import ArchiveLocation

ROOT = "raw/"
CHUNK_SIZE = 1024 * 1024
MAX_RESUMPTIONS = 3  # of one body whose connection breaks
_FIRST_SEGMENT = f"{ROOT}vendor="


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object: its name within the archive, its size in bytes, and when it was last written."""

    name: str
    size: int
    modified: datetime | None = field(default=None, compare=False)


class Objects(Protocol):
    """What a reader needs of the place an archive lies in."""

    def list(self, prefix: str, after: str = "") -> Iterator[StoredObject]:
        """
        List every object whose name begins with the prefix, in order of their names.

        :param after: leave out names that are not behind this one.
        """

    def level(self, prefix: str) -> Iterator[StoredObject | str]:
        """List what begins with the prefix, up to the next slash: objects, and names of folders, slash last."""

    def chunks(self, name: str) -> Iterator[bytes | memoryview]:
        """
        Yield a body in chunks of at most ``CHUNK_SIZE`` bytes, each valid until the next is asked for.

        :raises ArchiveCorruptError: there is no such object, or it cannot be read where it is.
        """

    def create(self, name: str, body: BinaryIO) -> None:
        """
        Write an object, create-only.

        :raises ArchiveAccessError: there is one of that name, or it may not be written.
        """

    def resolve(self, key: str) -> str | None:
        """Return the name of what a manifest calls by its key in the bucket; None if that is not in this archive."""

    def uri(self, name: str) -> str:
        """Where the object lies, for people."""


@dataclass(frozen=True, slots=True)
class FolderObjects:
    """
    An archive in a folder. The bucket's name and prefix are unknown there: keys are read from ``raw/`` on.

    Only regular files are opened: links, pipes and devices are listed, for a reader to be told of, and never followed.
    """

    folder: Path

    def __post_init__(self) -> None:
        if not self.folder.is_dir():
            raise ConfigurationError(
                f"{str(self.folder)!r} is no folder", next_step="Give a folder, or a bucket as s3://bucket/prefix."
            )

    def list(self, prefix: str, after: str = "") -> Iterator[StoredObject]:
        """List every file whose name begins with the prefix."""
        pending = [self.level(prefix)]  # a stack of its own: folders may be nested deeper than calls can be
        while pending:
            for entry in pending[-1]:
                if isinstance(entry, StoredObject):
                    if entry.name > after:
                        yield entry
                elif entry > after or after.startswith(entry):
                    pending.append(self.level(entry))
                    break
            else:
                pending.pop()

    def level(self, prefix: str) -> Iterator[StoredObject | str]:
        """List files and folders whose names begin with the prefix, of one folder."""
        parent = prefix[: prefix.rfind("/") + 1]
        try:
            with os.scandir(self.folder / parent) as entries:
                found = sorted((f"{parent}{entry.name}{'/' * _is_folder(entry)}", entry) for entry in entries)
        except FileNotFoundError:
            return
        except OSError as error:
            raise _from_os(error) from None
        for name, entry in found:
            if name.startswith(prefix):
                yield name if name.endswith("/") else _describe(name, entry)

    def chunks(self, name: str) -> Iterator[bytes | memoryview]:
        """Yield a file's bytes in a buffer that is used again for the next."""
        try:
            with open(self.folder / name, "rb", buffering=0, opener=_open_at_once) as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode):
                    raise ArchiveCorruptError("Not a regular file", next_step="Find out who put it there.")
                buffer = memoryview(bytearray(max(1, min(status.st_size, CHUNK_SIZE))))
                while count := file.readinto(buffer):
                    yield buffer[:count]
        except OSError as error:
            raise _from_os(error) from None

    def create(self, name: str, body: BinaryIO) -> None:
        """Write a file that is not there yet."""
        path = self.folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                shutil.copyfileobj(body, file)
        except OSError as error:
            raise ArchiveAccessError(
                f"{path} could not be written: {error.strerror}", next_step="Correct its permissions."
            ) from None

    def resolve(self, key: str) -> str | None:
        """Return the key from its last ``raw/vendor=`` on."""
        prefix, separator, rest = key.rpartition(_FIRST_SEGMENT)
        return separator + rest if separator and (not prefix or prefix.endswith("/")) else None

    def uri(self, name: str) -> str:
        """Path of the file."""
        return str(self.folder / name)


@dataclass(frozen=True, slots=True)
class S3Objects:
    """
    An archive in a bucket.

    :param client: boto3 S3 client; used from several threads.
    :param extra: arguments of every request for objects: ``RequestPayer``.
    """

    client: Any
    location: ArchiveLocation
    extra: Mapping[str, str] = field(default_factory=dict)

    def list(self, prefix: str, after: str = "") -> Iterator[StoredObject]:
        """List every object whose name begins with the prefix; the console's folder markers are none."""
        for page in self._pages(prefix, **({"StartAfter": self._key(after)} if after else {})):
            yield from self._describe(page)

    def level(self, prefix: str) -> Iterator[StoredObject | str]:
        """List objects and common prefixes up to the next slash."""
        for page in self._pages(prefix, Delimiter="/"):
            yield from self._describe(page)
            yield from (self.name(entry["Prefix"]) for entry in page.get("CommonPrefixes", ()))

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

    def create(self, name: str, body: BinaryIO) -> None:
        """Write an object that is not there yet."""
        with translated_errors(self.location.bucket):
            self.client.put_object(
                Bucket=self.location.bucket, Key=self._key(name), Body=body, IfNoneMatch="*", **self.extra
            )

    def resolve(self, key: str) -> str | None:
        """Return the key without the archive's prefix."""
        own = self._key("")
        return key.removeprefix(own) if key.startswith(own + ROOT) else None

    def uri(self, name: str) -> str:
        """``s3://`` address."""
        return self.location.uri(self._key(name))

    def version_pages(self, prefix: str) -> Iterator[Any]:
        """Yield S3's lists of all versions of the objects whose names begin with the prefix."""
        with translated_errors(self.location.bucket):
            yield from self.client.get_paginator("list_object_versions").paginate(
                Bucket=self.location.bucket, Prefix=self._key(prefix), **self.extra
            )

    def name(self, key: str) -> str:
        """Return the name of what lies below the archive's prefix."""
        return key.removeprefix(self._key(""))

    def _key(self, name: str) -> str:
        return f"{self.location.prefix}/{name}" if self.location.prefix else name

    def _pages(self, prefix: str, **how: str) -> Iterator[Any]:
        with translated_errors(self.location.bucket):
            yield from self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.location.bucket, Prefix=self._key(prefix), **how, **self.extra
            )

    def _describe(self, page: Any) -> Iterator[StoredObject]:
        for entry in page.get("Contents", ()):
            if not entry["Key"].endswith("/") or entry["Size"]:
                yield StoredObject(self.name(entry["Key"]), entry["Size"], entry["LastModified"])

    def _get(self, name: str, offset: int, etag: str | None) -> Any:
        from botocore.exceptions import ClientError

        same = {"Range": f"bytes={offset}-", "IfMatch": etag} if offset else {}
        try:
            return self.client.get_object(Bucket=self.location.bucket, Key=self._key(name), **same, **self.extra)
        except ClientError as error:
            if is_missing(error):
                raise ArchiveCorruptError("Gone since it was listed", next_step="Find out who deletes here.") from None
            if error_code(error) == "InvalidObjectState":
                raise ArchiveCorruptError(
                    "Cannot be read in its storage class",
                    next_step="Restore it for some days (aws s3api restore-object) and run this again.",
                ) from None
            raise


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False  # whoever reads it is told


def _describe(name: str, entry: os.DirEntry[str]) -> StoredObject:
    try:
        status = entry.stat(follow_symlinks=False)
    except OSError:
        return StoredObject(name, 0)
    return StoredObject(name, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))


def _open_at_once(path: str, flags: int) -> int:
    """Open without following a link, and without waiting for the other end of a pipe."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def _from_os(error: OSError) -> ArchiveAccessError | ArchiveCorruptError | ArchiveUnavailableError:
    if isinstance(error, FileNotFoundError):
        return ArchiveCorruptError("Gone since it was listed", next_step="Find out who deletes here.")
    if error.errno == errno.ELOOP:
        return ArchiveCorruptError("Not a regular file, but a link", next_step="Put the file there itself.")
    if isinstance(error, PermissionError):
        return ArchiveAccessError(f"{error.filename} may not be read", next_step="Correct its permissions.")
    return ArchiveUnavailableError(
        f"{error.filename or 'A file'} could not be read: {error.strerror}", next_step="Check the disk."
    )
