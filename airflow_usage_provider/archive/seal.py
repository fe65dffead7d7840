"""A seal: the SHA-256 and name of every object of an archive up to a day, as lines that ``sha256sum -c`` checks.

Lines are sorted by name, so that a seal and an archive are compared as they pass by, in memory that grows with neither.
The seal's own SHA-256 is its root: whoever keeps that elsewhere needs to trust nobody.
"""

from __future__ import annotations

import gzip
import hashlib
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import chain, islice
from typing import IO, TYPE_CHECKING

from airflow_usage_provider.archive.catalog import Day, parse_name
from airflow_usage_provider.archive.checks import RESTORE, Finding
from airflow_usage_provider.archive.keys import read_snapshot_time
from airflow_usage_provider.archive.parts import DamagedGzipError, decompress
from airflow_usage_provider.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from airflow_usage_provider.archive.catalog import Selection
    from airflow_usage_provider.archive.gaps import Gap
    from airflow_usage_provider.archive.objects import Objects, StoredObject

SEALS = "seals/"
_LINE = re.compile(rb"([0-9a-f]{64})  ([!-~]+)\n")
_NAME = re.compile(r"(?:until=(\d{4}-\d{2}-\d{2})/)?(\d{8}T\d{6}Z-[0-9a-f]{8})\.sha256(?:\.gz)?$", re.ASCII)
_MAX_LINE = 4096
_SAMPLES = 64
_RECENT = timedelta(hours=48)
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """
    A seal that was read, and can be read again.

    :param store: its lines; a file of our own, which nobody changes meanwhile.
    :param root: SHA-256 of its lines.
    :param until: the last day it covers.
    :param time: what was begun before this second and is not in it was not there when it was made.
    """

    store: IO[bytes]
    root: str
    until: date
    time: datetime

    def lines(self) -> Iterator[tuple[str, str]]:
        """Yield name and SHA-256 of every object, in order of the names."""
        self.store.seek(0)
        return ((line[66:-1].decode(), line[:64].decode()) for line in self.store)

    def join(
        self, items: Iterable[Day | Gap | StoredObject], selection: Selection
    ) -> Iterator[tuple[Day | Gap | StoredObject | None, Mapping[str, str]]]:
        """Yield each item of an archive with what the seal holds of it; None with an object of a day that is gone."""
        lines = (line for line in self.lines() if _is_selected(line[0], selection))
        line = next(lines, None)
        for item in items:
            sealed: dict[str, str] = {}
            if isinstance(item, Day):
                while line and (line[0] < item.prefix or line[0].startswith(item.prefix)):
                    sealed[line[0]] = line[1]
                    if not line[0].startswith(item.prefix):
                        yield None, {line[0]: sealed.pop(line[0])}
                    line = next(lines, None)
            yield item, sealed
        yield from ((None, {name: digest}) for name, digest in chain([line] if line else [], lines))

    def compare(self, day: Day, sealed: Mapping[str, str], hashes: Mapping[str, str]) -> Iterator[Finding]:
        """Say what of a day is not as it was sealed, and what has come since."""
        for name, digest in sealed.items():
            if (actual := hashes.get(name, digest)) != digest:
                yield Finding("altered", name, f"has SHA-256 {actual}, the seal says {digest}", RESTORE)
        for snapshot_id, entry in day.manifests.items():
            if entry.name in sealed or day.usage_date > self.until:
                continue
            begun = read_snapshot_time(snapshot_id)
            if begun and begun < self.time:
                problem = f"is older than the seal of {self.time:%Y-%m-%dT%H:%M:%SZ}, but not in it"
                yield Finding("back-dated", entry.name, problem, "Find out who wrote it, and when.")
            else:
                step = "Nothing to do: seal again when the days are to be sealed as they are now."
                yield Finding("revised", entry.name, "came after the seal", step, is_failure=False)


def read_seal(
    chunks: Iterable[bytes | memoryview], store: IO[bytes], objects: Objects, *, name: str, root: str | None = None
) -> Seal:
    """
    Read a seal of an archive, compressed or not.

    :param store: an empty file, to keep its lines in.
    :param name: where it lies, which may tell its day and time.
    :param root: the root it must have.
    :raises ConfigurationError: it is none, was cut, has another root, or is of another or of a later archive.
    """
    try:
        _unpack(chunks, store)
    except DamagedGzipError:
        raise _refuse(name, "is damaged or cut off") from None
    digest, last, newest, until = hashlib.sha256(), "", "", date.min
    store.seek(0)
    while line := store.readline(_MAX_LINE):
        match = _LINE.fullmatch(line)
        key = parse_name(match[2].decode()) if match else None
        if match is None or key is None or (own := match[2].decode()) <= last:
            raise _refuse(name, "is no seal" if line.endswith(b"\n") or not last else "is cut off within a line")
        digest.update(line)
        last, newest, until = own, max(newest, key.snapshot_id), max(until, key.usage_date)
    if not last:
        raise _refuse(name, "is no seal")
    if root is not None and root.lower() != digest.hexdigest():
        raise _refuse(name, f"has the root {digest.hexdigest()}, not {root}")
    made_at = read_snapshot_time(newest) or datetime.max.replace(tzinfo=UTC)
    if told := _NAME.search(name):
        made_at = max(made_at, read_snapshot_time(told[2]) or made_at)
        with suppress(TypeError, ValueError):  # a file of that name says no day, or none there is
            until = max(until, date.fromisoformat(told[1]))
    seal = Seal(store=store, root=digest.hexdigest(), until=until, time=made_at)
    _compare_samples(objects, seal, newest, name)
    return seal


def list_seals(objects: Objects) -> list[str]:
    """Return the names of the seals an archive holds, the latest last."""
    found = ((match[2], entry.name) for entry in objects.list(SEALS) if (match := _NAME.search(entry.name)))
    return [name for _, name in sorted(found)]


def name_seal(until: date, made_at: datetime, root: str) -> str:
    """Name a seal within its archive."""
    return f"{SEALS}until={until}/{made_at.astimezone(UTC):%Y%m%dT%H%M%SZ}-{root[:8]}.sha256.gz"


def compress(store: IO[bytes], packed: IO[bytes]) -> None:
    """Compress a file so that the same lines give the same bytes."""
    store.seek(0)
    with gzip.GzipFile(filename="", mode="wb", fileobj=packed, mtime=0) as file:
        shutil.copyfileobj(store, file)


def _unpack(chunks: Iterable[bytes | memoryview], store: IO[bytes]) -> None:
    rest = iter(chunks)
    head = bytes(next(rest, b""))
    whole = chain([head], rest)
    for chunk in decompress(whole) if head.startswith(_GZIP) else whole:
        store.write(chunk)


def _compare_samples(objects: Objects, seal: Seal, newest: str, where: str) -> None:
    """Refuse a seal of which nothing is there, or nothing of its last two days, before all of it is told as lost."""

    def is_there(name: str) -> bool:
        return any(entry.name == name for entry in islice(objects.list(name), 1))

    if not any(map(is_there, _sample(name for name, _ in seal.lines()))):
        raise _refuse(where, "is of another archive: nothing it names is here")
    second = read_snapshot_time(newest)
    recent = f"{second - _RECENT:%Y%m%dT%H%M%SZ}" if second else newest
    if not any(map(is_there, _sample(name for name, _ in seal.lines() if _read_id(name) > recent))):
        problem = "is newer than the archive: nothing is here of its last two days"
        raise _refuse(where, f"{problem}, up to snapshot {newest}")


def _sample(names: Iterable[str]) -> list[str]:
    """Return some names of many, evenly spread."""
    kept: list[str] = []
    step = 1
    for number, name in enumerate(names):
        if number % step == 0:
            kept.append(name)
            if len(kept) > _SAMPLES:
                kept, step = kept[::2], step * 2
    return kept


def _read_id(name: str) -> str:
    return name.rpartition("/snapshot=")[2].partition("/")[0]


def _is_selected(name: str, selection: Selection) -> bool:
    key = parse_name(name)
    return key is not None and selection.has(key.series, key.usage_date)


def _refuse(where: str, problem: str) -> ConfigurationError:
    return ConfigurationError(f"{where} {problem}", next_step="Give a seal of this archive, whole and as it was made.")
