"""Packs the vendor's bytes into one part: counted, hashed, compressed and sent while the next ones come.

The same bytes give the same part, whenever and in whatever pieces they come.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from airflow_usage_provider.archive.manifest import FileEntry
from airflow_usage_provider.archive.stages import Stage
from airflow_usage_provider.exceptions import ConfigurationError

if TYPE_CHECKING:
    from airflow_usage_provider.archive.upload import ObjectUpload

try:
    from isal import isal_zlib as zlib

    GZIP_LEVEL = 1  # as small as zlib's 6 on usage data, at fifteen times its speed
except ImportError:  # no wheel for this platform
    import zlib  # type: ignore[no-redef]

    GZIP_LEVEL = 6

COMPRESSIONS = ("gzip", "none")
_BLOCK = 1024 * 1024  # what is hashed and compressed at once
_GZIP_WBITS = 31  # zlib's number for gzip; its header has mtime 0, so that same bytes give same bytes


def check_compression(compression: str) -> None:
    """
    Refuse an unknown compression.

    :raises ConfigurationError: it is neither ``gzip`` nor ``none``.
    """
    if compression not in COMPRESSIONS:
        raise ConfigurationError(f"Unknown compression {compression!r}", next_step="Give gzip or none.")


class PartPacking:
    """
    One part on its way into an upload.

    :param compression: ``gzip`` or ``none``.
    """

    def __init__(self, upload: ObjectUpload, compression: str) -> None:
        self._upload = upload
        self._compression = compression
        is_gzip = compression == "gzip"
        self._compressor = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, _GZIP_WBITS) if is_gzip else None
        self._raw_digest = hashlib.sha256()
        self._hashing, self._compressing = Stage("hash-raw"), Stage("gzip")
        self.raw_bytes = self._waiting_bytes = 0
        self._waiting: list[bytes] = []

    def write(self, chunk: bytes | memoryview) -> None:
        """Take the next bytes."""
        self.raw_bytes += len(chunk)
        self._waiting.append(bytes(chunk))
        self._waiting_bytes += len(chunk)
        if self._waiting_bytes >= _BLOCK:
            self._pass_on()

    def finish(self, key: str, rows: int, content_type: str) -> FileEntry:
        """
        Pass on what is left, and return what the manifest says of the part.

        :param content_type: media type of the uncompressed part.
        """
        self._pass_on()
        if self._compressor is not None:
            self._compressing.finish()
            self._hashing.finish()
            self._upload.write(self._compressor.flush())
        sha256 = self._upload.compute_sha256()
        return FileEntry(
            key=key,
            bytes=self._upload.bytes,
            sha256=sha256,
            raw_bytes=self.raw_bytes,
            raw_sha256=sha256 if self._compressor is None else self._raw_digest.hexdigest(),
            rows=rows,
            content_type=content_type,
            compression=self._compression,
        )

    def close(self) -> None:
        """Drop what has not been passed on; safe to call at any time."""
        self._compressing.close()
        self._hashing.close()

    def _pass_on(self) -> None:
        """Hand what waits to those who hash, compress and send."""
        block = b"".join(self._waiting)
        self._waiting, self._waiting_bytes = [], 0
        if self._compressor is None:
            self._upload.write(block)
        else:
            self._hashing.submit(self._raw_digest.update, block)
            self._compressing.submit(self._compress, self._compressor, block)

    def _compress(self, compressor: Any, block: bytes) -> None:
        if stored := compressor.compress(block):
            self._upload.write(stored)
