"""Where tables are written: a folder, or a bucket. An object is replaced whole, and only if it is still what was read.

A reader sees the old object or the new one, never a mix; a build that was killed leaves the old one.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from airflow_usage_provider.archive.objects import FolderObjects
from airflow_usage_provider.exceptions import ConfigurationError, TableConflictError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_usage_provider.archive.objects import Objects

TAIL = 64 * 1024  # of a Parquet file, where its footer is
_MARK = b"PAR1"


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

    def is_inside(self, objects: Objects, room: str) -> bool:
        """Whether it is a room of this archive, or below it."""


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
            file.seek(max(0, stat.st_size - TAIL))
            tail = file.read()
            if (missing := missing_bytes(tail)) > 0:
                file.seek(max(0, stat.st_size - len(tail) - missing))
                tail = file.read()
        return Stored(f"{stat.st_ino}-{stat.st_mtime_ns}-{stat.st_size}", read_footer(tail))

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
                    refuse_lost_race(str(place))
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

    def is_inside(self, objects: Objects, room: str) -> bool:
        """Whether the folder is a room of this archive, or below it."""
        if not isinstance(objects, FolderObjects):
            return False
        return self.folder.resolve().is_relative_to((objects.folder / room).resolve())


def refuse_inside_raw(objects: Objects, target: Target) -> None:
    """
    Refuse to write tables among what the archive was sent.

    :raises ConfigurationError: the target is the archive's ``raw/`` or ``seals/``, or below it.
    """
    for room in ("raw", "seals"):
        if target.is_inside(objects, room):
            raise ConfigurationError(
                f"tables_url {target.uri('').rstrip('/')} is inside {room}/ of the archive",
                next_step="Give another place, such as the archive's own with /tables behind it.",
            )


def refuse_lost_race(uri: str) -> None:
    """
    Say that others were faster.

    :raises TableConflictError: always.
    """
    raise TableConflictError(f"{uri} was replaced in the meantime", next_step="Run this again.")


def missing_bytes(tail: bytes) -> int:
    """Return how many bytes of the footer lie before the end that was read; 0 if it is none."""
    if len(tail) < 8 or tail[-4:] != _MARK:
        return 0
    return int.from_bytes(tail[-8:-4], "little") + 8 - len(tail)


def read_footer(tail: bytes) -> dict[str, str]:
    """Return the key-value metadata of a footer; none of what is no Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_metadata(pa.BufferReader(tail)).metadata or {}
    except (pa.ArrowException, OSError):
        return {}
    return {key.decode(): value.decode() for key, value in metadata.items()}
