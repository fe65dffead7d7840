"""Undoes the content encoding of a body: gzip, which was not asked for. Nothing else is known."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from airflow_usage_provider.exceptions import IncompleteSnapshotError, InvalidBodyError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_usage_provider.http.answers import ErrorBuilder

_GZIP_WBITS = 31  # zlib's number for gzip
_PACKED_PIECE = 64 * 1024
_NO_ENCODINGS = {"", "identity", "aws-chunked"}  # some stores leave the last one on objects that have it no more


def decode(chunks: Iterator[bytes], header: str, error: ErrorBuilder, *, most: int) -> Iterator[bytes]:
    """
    Yield a body as it was before its content encoding.

    :param header: ``Content-Encoding``.
    :param most: bytes of an unpacked piece.
    :raises IncompleteSnapshotError: its gzip stream ends early.
    :raises InvalidBodyError: the encoding is none that is known.
    """
    encodings = [name for part in header.split(",") if (name := part.strip().lower()) not in _NO_ENCODINGS]
    if not encodings:
        yield from chunks
        return
    if encodings not in (["gzip"], ["x-gzip"]):
        raise error(InvalidBodyError, "The body has an unknown content encoding", next_step="Try again.")
    inflate = zlib.decompressobj(_GZIP_WBITS)
    for piece in _cut(chunks):
        pending = piece
        while pending:
            if inflate.eof:  # there may be several members (RFC 1952 2.2)
                inflate = zlib.decompressobj(_GZIP_WBITS)
            if unpacked := inflate.decompress(pending, most):
                yield unpacked
            pending = inflate.unconsumed_tail or inflate.unused_data
    if not inflate.eof:
        raise error(IncompleteSnapshotError, "The body's gzip stream ended early", next_step="Try again.")


def _cut(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield smaller pieces: what is behind a member is copied with each, and members may be tiny."""
    for chunk in chunks:
        for start in range(0, len(chunk), _PACKED_PIECE):
            yield chunk[start : start + _PACKED_PIECE]
