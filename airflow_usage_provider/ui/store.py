"""Reads Parquet tables from S3 for pages: each object once a version, so much at once, and for so long.

A listing says the ETag of every object; what was made of an object is kept under it. Nothing else is ever believed to
be still true.
"""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_usage_provider.archive.errors import is_missing, translated_errors
from airflow_usage_provider.exceptions import ArchiveUnavailableError, ConfigurationError, UsageProviderError
from airflow_usage_provider.tables.build import METADATA

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_usage_provider.archive.keys import ArchiveLocation

MOST_OBJECTS = 5_000  # of one month
LARGEST_OBJECT = 512 * 1024**2
MOST_KEPT = 200_000  # rows of what was made, over all objects
SECONDS = 25.0  # for one page
_AT_ONCE = 8
_BATCH = 65_536


class NotThereError(ConfigurationError):
    """What was asked for is not there."""


class UnreadableTableError(UsageProviderError):
    """An object of the tables is not what its name says."""


@dataclass(frozen=True, slots=True)
class Found:
    """An object of a listing."""

    name: str
    etag: str
    size: int


class Table:
    """
    An open Parquet file.

    :param file: ``pyarrow.parquet.ParquetFile``.
    :param uri: where it lies.
    """

    def __init__(self, file: Any, uri: str) -> None:
        self._file = file
        self.uri = uri
        self.columns = frozenset(file.schema_arrow.names)

    def footer(self, name: str) -> Any:
        """Return what the footer says of one thing; None if it says nothing."""
        said = (self._file.metadata.metadata or {}).get(f"{METADATA}{name}".encode())
        return said and json.loads(said)

    def batches(self, *columns: str) -> Iterator[Any]:
        """
        Yield record batches.

        :raises UnreadableTableError: a column is not there.
        """
        if lacking := sorted(set(columns) - self.columns):
            raise UnreadableTableError(f"{self.uri} lacks {', '.join(lacking)}", next_step=_ANEW)
        yield from self._file.iter_batches(_BATCH, columns=list(columns))


Reduce = Callable[[Table], list[Any]]


@dataclass(slots=True)
class TableStore:
    """
    The tables of one ``tables_url``.

    :param client: boto3 S3 client.
    :param clock: seconds that only grow.
    """

    client: Any
    location: ArchiveLocation
    clock: Callable[[], float] = time.monotonic
    _kept: OrderedDict[tuple[str, str, str], list[Any]] = field(default_factory=OrderedDict, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _turn: threading.Lock = field(default_factory=threading.Lock, init=False)

    def list_folders(self, prefix: str) -> list[str]:
        """Return the names right below a prefix that have something below them, without a slash."""
        folders: list[str] = []
        for page in self._pages(prefix, Delimiter="/"):
            folders += [entry["Prefix"][len(self._key(prefix)) : -1] for entry in page.get("CommonPrefixes", ())]
        return folders

    def find(self, prefix: str, suffix: str = ".parquet") -> list[Found]:
        """
        Return the objects below a prefix.

        :raises ConfigurationError: they are more than a page can show.
        """
        start = len(self._key(""))
        found: list[Found] = []
        for page in self._pages(prefix):
            found += [
                Found(entry["Key"][start:], entry["ETag"], entry["Size"])
                for entry in page.get("Contents", ())
                if entry["Key"].endswith(suffix)
            ]
            if len(found) > MOST_OBJECTS:
                raise ConfigurationError(
                    f"There are more than {MOST_OBJECTS:,} objects below {self.uri(prefix)}",
                    next_step="Ask them by SQL: see docs/querying.md.",
                )
        return found

    def load(self, found: Sequence[Found], kind: str, reduce: Reduce) -> list[Any]:
        """
        Return what a function makes of each table, all in one list.

        :param kind: names what it makes: of one object and kind it is made once.
        :raises UnreadableTableError: an object is no such table.
        :raises ArchiveUnavailableError: it takes too long; what was read is kept for the next try.
        """
        parts = {each: made for each in found if (made := self._recall(each, kind)) is not None}
        if lacking := [each for each in found if each not in parts]:
            deadline = self.clock() + SECONDS
            if not self._turn.acquire(timeout=SECONDS):  # one page reads at a time; what is kept waits for nobody
                _refuse_slow()
            try:
                with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="llm-usage") as pool:
                    made_now = pool.map(lambda each: self._load(each, kind, reduce, deadline), lacking)
                    parts |= dict(zip(lacking, made_now, strict=True))
            finally:
                self._turn.release()
        return [row for each in found for row in parts[each]]

    def read(self, name: str, most: int) -> bytes:
        """
        Return a small object.

        :param most: bytes it may have.
        :raises NotThereError: it is not there.
        :raises UnreadableTableError: it has more.
        """
        from botocore.exceptions import ClientError

        with translated_errors(self.location.bucket):
            try:
                answer = self.client.get_object(Bucket=self.location.bucket, Key=self._key(name))
            except ClientError as error:
                if not is_missing(error):
                    raise
                raise NotThereError(f"There is no {self.uri(name)}", next_step="Choose what a page offers.") from None
            with closing(answer["Body"]) as stream:
                body: bytes = stream.read(most + 1)
        if len(body) > most:
            raise UnreadableTableError(
                f"{self.uri(name)} is larger than {most:,} bytes", next_step="Look at it with another program."
            )
        return body

    def uri(self, name: str) -> str:
        """``s3://`` address."""
        return self.location.uri(self._key(name))

    def _load(self, found: Found, kind: str, reduce: Reduce, deadline: float) -> Any:
        if (kept := self._recall(found, kind)) is not None:
            return kept
        if self.clock() > deadline:
            _refuse_slow()
        if found.size > LARGEST_OBJECT:
            raise UnreadableTableError(
                f"{self.uri(found.name)} is too large for a page", next_step="Ask it by SQL: see docs/querying.md."
            )
        made = self._reduce(found, reduce, deadline)
        key = (found.name, found.etag, kind)
        with self._lock:
            for old in [old for old in self._kept if old[0] == key[0] and old[2] == key[2]]:
                del self._kept[old]
            self._kept[key] = made
            while sum(map(len, self._kept.values())) > MOST_KEPT and len(self._kept) > 1:
                self._kept.popitem(last=False)
        return made

    def _recall(self, found: Found, kind: str) -> Any:
        key = (found.name, found.etag, kind)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def _reduce(self, found: Found, reduce: Reduce, deadline: float) -> list[Any]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        with tempfile.TemporaryFile(prefix="llm-usage-") as file:
            with translated_errors(self.location.bucket):
                answer = self.client.get_object(Bucket=self.location.bucket, Key=self._key(found.name))
                for chunk in answer["Body"].iter_chunks(1024 * 1024):
                    file.write(chunk)
                    if self.clock() > deadline:
                        _refuse_slow()
            file.seek(0)
            try:
                return reduce(Table(pq.ParquetFile(file), self.uri(found.name)))
            except (pa.ArrowException, OSError):
                raise UnreadableTableError(f"{self.uri(found.name)} is no Parquet", next_step=_ANEW) from None

    def _pages(self, prefix: str, **arguments: str) -> Iterator[Any]:
        with translated_errors(self.location.bucket):
            yield from self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.location.bucket, Prefix=self._key(prefix), **arguments
            )

    def _key(self, name: str) -> str:
        return f"{self.location.prefix}/{name}" if self.location.prefix else name


_ANEW = "Make the month's tables anew with this version: usage-archive tables, usage-archive focus."


def _refuse_slow() -> None:
    raise ArchiveUnavailableError(
        f"The tables could not be read within {SECONDS:g} s", next_step="Load the page again: what was read is kept."
    )
