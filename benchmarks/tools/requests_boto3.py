"""The task a user writes by hand: the raw body of ``requests`` to boto3's ``upload_fileobj``; ``gzip`` at level 6."""

from __future__ import annotations

import io
import sys
import zlib

import boto3
import requests

from benchmarks.tools.stopwatch import SETTINGS, measure


class Whole(io.RawIOBase):
    """Reads as much as it is asked for: ``upload_fileobj`` takes a short read for the end, and cuts the object."""

    def __init__(self, raw) -> None:
        self._raw = raw

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._raw.read(size)


class Gzipped(Whole):
    def __init__(self, raw) -> None:
        super().__init__(raw)
        self._engine = zlib.compressobj(6, zlib.DEFLATED, 31)
        self._pending = bytearray()
        self._is_done = False

    def read(self, size: int = -1) -> bytes:
        while len(self._pending) < size and not self._is_done:
            chunk = self._raw.read(1024 * 1024)
            self._is_done = not chunk
            self._pending += self._engine.compress(chunk) if chunk else self._engine.flush()
        taken = bytes(self._pending[:size])
        del self._pending[:size]
        return taken


def work() -> None:
    client = boto3.client("s3")
    with requests.get(SETTINGS["file"], stream=True, timeout=60) as answer:
        answer.raise_for_status()
        body = Gzipped(answer.raw) if "gzip" in sys.argv else Whole(answer.raw)
        client.upload_fileobj(body, "archive", "bench/export.csv")


measure(work)
