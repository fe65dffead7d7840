"""Where exports, reports and closes are written: a folder or a bucket. A file appears whole or not at all."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from airflow_usage_provider.archive.errors import is_missing, translated_errors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_usage_provider.archive.keys import ArchiveLocation

CONTENT_TYPES: Mapping[str, str] = {
    ".parquet": "application/vnd.apache.parquet",
    ".csv": "text/csv",
    ".json": "application/json",
    ".html": "text/html; charset=utf-8",
}


class Shelf(Protocol):
    """A place for files, whose names are relative to it."""

    def put(self, name: str, path: Path) -> None:
        """Put a local file under a name, whole, in place of what was there."""

    def read(self, name: str) -> bytes | None:
        """Return a small file; None if there is none."""

    def uri(self, name: str) -> str:
        """Where a file lies, for people."""


@dataclass(frozen=True, slots=True)
class FolderShelf:
    """A folder, which is made when the first file comes."""

    folder: Path

    def put(self, name: str, path: Path) -> None:
        """Copy the file beside its place, then move it there at once."""
        place = self.folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        handle, copy = tempfile.mkstemp(dir=place.parent, prefix=".", suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file, path.open("rb") as source:
                while block := source.read(1024 * 1024):
                    file.write(block)
            Path(copy).chmod(0o644)
            Path(copy).replace(place)
        except BaseException:
            Path(copy).unlink(missing_ok=True)
            raise

    def read(self, name: str) -> bytes | None:
        """Return a file's bytes."""
        place = self.folder / name
        return place.read_bytes() if place.is_file() else None

    def uri(self, name: str) -> str:
        """Path of the file."""
        return str(self.folder / name)


@dataclass(frozen=True, slots=True)
class S3Shelf:
    """
    A prefix of a bucket.

    :param client: boto3 S3 client.
    :param extra_args: arguments of ``put_object`` for every object.
    """

    client: Any
    location: ArchiveLocation
    extra_args: Mapping[str, Any] = field(default_factory=dict)

    def put(self, name: str, path: Path) -> None:
        """Put the file as one object."""
        content_type = CONTENT_TYPES.get(Path(name).suffix, "application/octet-stream")
        with translated_errors(self.location.bucket), path.open("rb") as body:
            self.client.put_object(**self._target(name), Body=body, ContentType=content_type, **self.extra_args)

    def read(self, name: str) -> bytes | None:
        """Return an object's bytes."""
        from botocore.exceptions import ClientError

        with translated_errors(self.location.bucket):
            try:
                body: bytes = self.client.get_object(**self._target(name))["Body"].read()
            except ClientError as error:
                if is_missing(error):
                    return None
                raise
        return body

    def uri(self, name: str) -> str:
        """``s3://`` address."""
        return self.location.uri(self._target(name)["Key"])

    def _target(self, name: str) -> dict[str, str]:
        prefix = f"{self.location.prefix}/" if self.location.prefix else ""
        return {"Bucket": self.location.bucket, "Key": prefix + name}


def put_bytes(shelf: Shelf, name: str, body: bytes) -> None:
    """Put a small file."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(body)
        file.flush()
        shelf.put(name, Path(file.name))
