"""Where tables are written: a folder or a bucket. An object is replaced whole, and only if it is still what was read.

A reader sees the old object or the new one, never a mix; a build that was killed leaves the old one.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from airflow_usage_provider.archive.arguments import accepted_args, check_extra_args
from airflow_usage_provider.archive.errors import error_code, is_missing, translated_errors
from airflow_usage_provider.archive.objects import FolderObjects, S3Objects
from airflow_usage_provider.exceptions import ArchiveAccessError, ConfigurationError, TableConflictError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_usage_provider.archive.keys import ArchiveLocation
    from airflow_usage_provider.archive.objects import Objects

CONTENT_TYPE = "application/vnd.apache.parquet"
_TAIL = 64 * 1024  # of a Parquet file, where its footer is
_MARK = b"PAR1"
_LOST = {"PreconditionFailed", "412", "ConditionalRequestConflict", "NoSuchKey"}  # the object is another now, or gone
_LACKING = {"NotImplemented", "501"}


@dataclass(frozen=True, slots=True)
class Stored:
    """
    An object as it was found.

    :param version: changes whenever the object does.
    :param footer: the footer's key-value metadata; empty if the object is no Parquet file.
    """

    version: str
    footer: Mapping[str, str]


class Target(Protocol):
    """A place for tables. Names are relative to it, as ``layout`` makes them."""

    def list(self, prefix: str = "") -> Iterator[str]:
        """List the names of all objects below a prefix."""

    def find(self, name: str) -> Stored | None:
        """Return what an object's footer says; None if there is no such object."""

    def replace(self, name: str, path: Path, found: Stored | None) -> None:
        """
        Put a file under a name.

        :param found: what :meth:`find` returned before; the object must still be that.
        :raises TableConflictError: it is not.
        """

    def remove(self, name: str, found: Stored) -> None:
        """Remove an object that is still what was found."""

    def fetch(self, name: str) -> Any:
        """Give an object as a local file for the length of a ``with`` block."""

    def uri(self, name: str) -> str:
        """Where an object lies, for people."""


@dataclass(frozen=True, slots=True)
class FolderTarget:
    """Tables in a folder, which one run at a time writes to."""

    folder: Path

    def list(self, prefix: str = "") -> Iterator[str]:
        """List the names of all files below a prefix."""
        for path in sorted(self.folder.rglob("*.parquet")):
            if (name := path.relative_to(self.folder).as_posix()).startswith(prefix):
                yield name

    def find(self, name: str) -> Stored | None:
        """Return what a file's footer says."""
        path = self.folder / name
        if not path.exists():
            return None
        stat = path.stat()
        with path.open("rb") as file:
            file.seek(max(0, stat.st_size - _TAIL))
            tail = file.read()
            if (missing := _missing_bytes(tail)) > 0:
                file.seek(max(0, stat.st_size - len(tail) - missing))
                tail = file.read()
        return Stored(f"{stat.st_ino}-{stat.st_mtime_ns}-{stat.st_size}", _read_footer(tail))

    def replace(self, name: str, path: Path, found: Stored | None) -> None:
        """Copy the file beside its place, then move it there at once."""
        place = self.folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=place.parent, prefix=".", suffix=".part", delete=False) as copy:
            try:
                with path.open("rb") as file:
                    shutil.copyfileobj(file, copy)
                copy.close()
                Path(copy.name).chmod(0o644)
                if self.find(name) != found:
                    _refuse_lost_race(str(place))
                Path(copy.name).replace(place)
            except BaseException:
                Path(copy.name).unlink(missing_ok=True)
                raise

    def remove(self, name: str, found: Stored) -> None:  # noqa: ARG002 - as in a bucket
        """Remove the file, and its folders if nothing else is in them."""
        path = self.folder / name
        path.unlink(missing_ok=True)
        with suppress(OSError):
            for parent in list(path.parents)[: len(Path(name).parents) - 1]:
                parent.rmdir()

    @contextmanager
    def fetch(self, name: str) -> Iterator[Path]:
        """Give the file itself."""
        yield self.folder / name

    def uri(self, name: str) -> str:
        """Path of the file."""
        return str(self.folder / name)


@dataclass(slots=True)
class S3Target:
    """
    Tables in a bucket, whose writes are conditional: ``If-Match`` what was read, ``If-None-Match`` for the first.

    :param client: boto3 S3 client.
    :param extra_args: arguments of ``put_object`` for every object.
    """

    client: Any
    location: ArchiveLocation
    extra_args: Mapping[str, Any] = field(default_factory=dict)
    _is_proven: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        check_extra_args(self.client, self.extra_args)

    def list(self, prefix: str = "") -> Iterator[str]:
        """List the names of all objects below a prefix."""
        with translated_errors(self.location.bucket):
            extra = accepted_args(self.client, "ListObjectsV2", self.extra_args)
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.location.bucket, Prefix=self._key(prefix), **extra
            )
            for entry in (entry for page in pages for entry in page.get("Contents", ())):
                if entry["Key"].endswith(".parquet"):
                    yield entry["Key"].removeprefix(self._key(""))

    def find(self, name: str) -> Stored | None:
        """Return what an object's footer says, by one request for the end of the object."""
        answer = self._get(name, Range=f"bytes=-{_TAIL}")
        if answer is None:
            return None
        tail = answer["Body"].read()
        if (missing := _missing_bytes(tail)) > 0:
            answer = self._get(name, Range=f"bytes=-{len(tail) + missing}", IfMatch=answer["ETag"]) or answer
            tail = answer["Body"].read()
        return Stored(answer["ETag"], _read_footer(tail))

    def replace(self, name: str, path: Path, found: Stored | None) -> None:
        """Put the file, if the object is still what was found."""
        self._put(name, path, found)
        if not self._is_proven:
            self._prove(name, path, found)
            self._is_proven = True

    def remove(self, name: str, found: Stored) -> None:
        """Delete the object, if it is still what was found."""
        from botocore.exceptions import ClientError

        now = self.find(name)
        if now is None:
            return
        if now != found:
            _refuse_lost_race(self.uri(name))
        with translated_errors(self.location.bucket):
            try:
                self.client.delete_object(**self._target(name), IfMatch=found.version)
            except ClientError as error:
                if error_code(error) in _LOST:
                    _refuse_lost_race(self.uri(name))
                if error_code(error) not in _LACKING:
                    raise
                self.client.delete_object(**self._target(name))

    @contextmanager
    def fetch(self, name: str) -> Iterator[Path]:
        """Give a copy in a temporary file."""
        with tempfile.TemporaryDirectory(prefix="usage-tables-") as folder:
            path = Path(folder) / "fetched.parquet"
            with path.open("wb") as file:
                for chunk in S3Objects(self.client, self.location).chunks(name):
                    file.write(chunk)
            yield path

    def uri(self, name: str) -> str:
        """``s3://`` address."""
        return self.location.uri(self._key(name))

    def _put(self, name: str, path: Path, found: Stored | None) -> None:
        from botocore.exceptions import ClientError

        condition = {"IfMatch": found.version} if found else {"IfNoneMatch": "*"}
        with translated_errors(self.location.bucket), path.open("rb") as body:
            try:
                self.client.put_object(
                    **self._target(name), Body=body, ContentType=CONTENT_TYPE, **condition, **self.extra_args
                )
            except ClientError as error:
                if error_code(error) in _LOST:
                    _refuse_lost_race(self.uri(name))
                if error_code(error) in _LACKING:
                    self._refuse_store(f"refuses conditional writes: {error_code(error)}")
                raise

    def _prove(self, name: str, path: Path, found: Stored | None) -> None:
        """Put the same once more: a store that heeds conditions refuses, as the object is no longer what was found."""
        try:
            self._put(name, path, found)
        except TableConflictError:
            return
        self._refuse_store("does not heed the conditions of writes, If-Match and If-None-Match")

    def _refuse_store(self, what: str) -> None:
        raise ArchiveAccessError(
            f"The S3 store of bucket {self.location.bucket!r} {what}; two runs at once could undo each other's work",
            next_step="Give a tables_url in a store that knows them, or build into a folder and sync it.",
        )

    def _get(self, name: str, **conditions: str) -> Any:
        from botocore.exceptions import ClientError

        extra = accepted_args(self.client, "GetObject", self.extra_args)
        with translated_errors(self.location.bucket):
            try:
                return self.client.get_object(**self._target(name), **conditions, **extra)
            except ClientError as error:
                if is_missing(error):
                    return None
                if error_code(error) in {"InvalidRange", "416"}:  # it is empty, and no range has a byte of it
                    return self.client.get_object(**self._target(name), **extra)
                raise

    def _target(self, name: str) -> dict[str, str]:
        return {"Bucket": self.location.bucket, "Key": self._key(name)}

    def _key(self, name: str) -> str:
        return f"{self.location.prefix}/{name}" if self.location.prefix else name


def refuse_inside_raw(objects: Objects, target: Target) -> None:
    """
    Refuse to write tables among what the archive was sent.

    :raises ConfigurationError: the target is the archive's ``raw/`` or ``seals/``, or below it.
    """
    for room in ("raw", "seals"):
        if isinstance(objects, FolderObjects) and isinstance(target, FolderTarget):
            is_inside = target.folder.resolve().is_relative_to((objects.folder / room).resolve())
        elif isinstance(objects, S3Objects) and isinstance(target, S3Target):
            own = f"{objects.location.prefix}/{room}/".lstrip("/")
            is_same_bucket = objects.location.bucket == target.location.bucket
            is_inside = is_same_bucket and f"{target.location.prefix}/".startswith(own)
        else:
            is_inside = False
        if is_inside:
            raise ConfigurationError(
                f"tables_url {target.uri('').rstrip('/')} is inside {room}/ of the archive",
                next_step="Give another place, such as the archive's own with /tables behind it.",
            )


def _refuse_lost_race(uri: str) -> None:
    raise TableConflictError(f"{uri} was replaced in the meantime", next_step="Run this again.")


def _missing_bytes(tail: bytes) -> int:
    """Return how many bytes of the footer lie before the end that was read; 0 if it is none."""
    if len(tail) < 8 or tail[-4:] != _MARK:
        return 0
    return int.from_bytes(tail[-8:-4], "little") + 8 - len(tail)


def _read_footer(tail: bytes) -> dict[str, str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_metadata(pa.BufferReader(tail)).metadata or {}
    except (pa.ArrowException, OSError):
        return {}
    return {key.decode(): value.decode() for key, value in metadata.items()}
