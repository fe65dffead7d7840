"""Tables in a bucket: every write is conditional, and a store that does not heed conditions is found out."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_usage_provider.archive.arguments import accepted_args, check_extra_args
from airflow_usage_provider.archive.errors import error_code, is_missing, translated_errors
from airflow_usage_provider.archive.objects import S3Objects
from airflow_usage_provider.exceptions import ArchiveAccessError, TableConflictError
from airflow_usage_provider.tables.target import TAIL, Stored, missing_bytes, read_footer, refuse_lost_race

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_usage_provider.archive.keys import ArchiveLocation
    from airflow_usage_provider.archive.objects import Objects

CONTENT_TYPE = "application/vnd.apache.parquet"
_LOST = {"PreconditionFailed", "412", "ConditionalRequestConflict", "NoSuchKey"}  # the object is another now, or gone
_LACKING = {"NotImplemented", "501"}


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
        answer = self._get(name, Range=f"bytes=-{TAIL}")
        if answer is None:
            return None
        tail = answer["Body"].read()
        if (missing := missing_bytes(tail)) > 0:
            answer = self._get(name, Range=f"bytes=-{len(tail) + missing}", IfMatch=answer["ETag"]) or answer
            tail = answer["Body"].read()
        return Stored(answer["ETag"], read_footer(tail))

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
            refuse_lost_race(self.uri(name))
        with translated_errors(self.location.bucket):
            try:
                self.client.delete_object(**self._target(name), IfMatch=found.version)
            except ClientError as error:
                if error_code(error) in _LOST:
                    refuse_lost_race(self.uri(name))
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

    def is_inside(self, objects: Objects, room: str) -> bool:
        """Whether the tables' prefix is a room of this archive, or below it."""
        if not isinstance(objects, S3Objects) or objects.location.bucket != self.location.bucket:
            return False
        return f"{self.location.prefix}/".startswith(f"{objects.location.prefix}/{room}/".lstrip("/"))

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
                    refuse_lost_race(self.uri(name))
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
