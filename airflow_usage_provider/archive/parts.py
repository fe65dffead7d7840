"""Reads parts as a stream: hashes what is stored and what comes out of the compression, each byte once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_usage_provider.archive.objects import CHUNK_SIZE
from airflow_usage_provider.exceptions import ArchiveCorruptError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airflow_usage_provider.archive.manifest import FileEntry
    from airflow_usage_provider.archive.objects import Objects

try:
    from isal import isal_zlib as gunzip  # four times as fast as zlib
except ImportError:  # no wheel for this platform
    import zlib as gunzip  # type: ignore[no-redef]

DamagedGzipError: Any = gunzip.error
_GZIP_WBITS = 31
_STEP = "Restore the part from the bucket's versions, or archive the day again."


@dataclass(frozen=True, slots=True)
class PartDigest:
    """
    What a part is, to hold against what its manifest says.

    :param raw_bytes: size once decompressed; None if it cannot be.
    :param raw_sha256: likewise; None also if it holds more than was allowed.
    :param lines: lines once decompressed; None unless they are records.
    """

    bytes: int
    sha256: str
    raw_bytes: int | None
    raw_sha256: str | None
    lines: int | None


def digest_part(objects: Objects, name: str, raw_limit: int | None = None) -> PartDigest:
    """
    Read a part once, whole, in constant memory. Its name tells compression and format.

    :param raw_limit: bytes that may come out of the compression; what holds more is not decompressed to its end.
    """
    stored = _Tally(has_lines=".jsonl" in name)
    if not name.endswith(".gz"):
        for chunk in objects.chunks(name):
            stored.add(chunk)
        digest = stored.sha256.hexdigest()
        return PartDigest(stored.bytes, digest, stored.bytes, digest, stored.lines)
    raw, compressed = stored, _Tally(has_lines=False)
    chunks = objects.chunks(name)
    try:
        for chunk in decompress(compressed.passing(chunks)):
            raw.add(chunk)
            if raw_limit is not None and raw.bytes > raw_limit:
                break
        else:
            stored_digest = compressed.sha256.hexdigest()
            return PartDigest(compressed.bytes, stored_digest, raw.bytes, raw.sha256.hexdigest(), raw.lines)
        raw_bytes = raw.bytes
    except DamagedGzipError:
        raw_bytes = None
    for rest in chunks:  # its own hash says whether it was stored so
        compressed.add(rest)
    return PartDigest(compressed.bytes, compressed.sha256.hexdigest(), raw_bytes, None, None)


def raw_chunks(objects: Objects, name: str, entry: FileEntry) -> Iterator[bytes | memoryview]:
    """
    Yield what the vendor sent, and not a byte more than its manifest allows.

    :raises ArchiveCorruptError: after the last byte, if it was something else.
    """
    tally = _Tally(has_lines=False)
    chunks = objects.chunks(name)
    try:
        for chunk in decompress(chunks) if name.endswith(".gz") else chunks:
            tally.add(chunk)
            if tally.bytes > entry.raw_bytes:
                break
            yield chunk
    except DamagedGzipError:
        raise ArchiveCorruptError(f"{objects.uri(name)} is a damaged gzip file", next_step=_STEP) from None
    if (tally.bytes, tally.sha256.hexdigest()) != (entry.raw_bytes, entry.raw_sha256):
        raise ArchiveCorruptError(f"{objects.uri(name)} is not what its manifest says", next_step=_STEP)


def decompress(chunks: Iterable[bytes | memoryview]) -> Iterator[bytes]:
    """
    Yield what a gzip stream of one member holds, in chunks of bounded size.

    :raises DamagedGzipError: it is damaged, cut off, or goes on behind its end.
    """
    engine = gunzip.decompressobj(_GZIP_WBITS)
    for chunk in chunks:
        pending: bytes | memoryview = chunk
        while pending and not engine.eof:
            if data := engine.decompress(pending, CHUNK_SIZE):
                yield data
            pending = engine.unconsumed_tail
        if pending or engine.unused_data:
            raise DamagedGzipError("bytes behind the end")
    if not engine.eof:
        raise DamagedGzipError("cut off")


class _Tally:
    """Size, hash and lines of bytes that pass."""

    def __init__(self, *, has_lines: bool) -> None:
        self.bytes = 0
        self.sha256 = hashlib.sha256()
        self._line_ends = 0
        self._has_lines = has_lines
        self._is_open = False

    def add(self, chunk: bytes | memoryview) -> None:
        self.bytes += len(chunk)
        self.sha256.update(chunk)
        if self._has_lines and chunk:
            self._line_ends += bytes(chunk).count(b"\n")
            self._is_open = chunk[-1] != ord("\n")

    def passing(self, chunks: Iterable[bytes | memoryview]) -> Iterator[bytes | memoryview]:
        for chunk in chunks:
            self.add(chunk)
            yield chunk

    @property
    def lines(self) -> int | None:
        """Lines, the last one also without its end; None if they were not counted."""
        return self._line_ends + self._is_open if self._has_lines else None
