"""An S3 that is faster than any client, as it keeps bodies in memory it has touched before: ``-m benchmarks.sink``.

It believes every signature and computes nothing while a client waits. Behind ``/-/`` the runner forgets what is there
(``reset``) and asks, after a run, what was stored (``check``).
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import mmap
import re
import threading
import zlib
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, unescape

from benchmarks.wire import Chunked, Connection, Limits, Request, serve

if TYPE_CHECKING:
    from collections.abc import Iterator

Body = list[memoryview]
_IDENTIFIERS = re.compile(rb'"customer_identifier":\s*"([^"]+)"')
_CHECKSUM = "x-amz-checksum-"
_BUFFER = 64 * 1024
_SLICE = 1024 * 1024
_ETAG = '"sink-1"'  # no MD5, and not taken for one
_DATE = datetime(2026, 1, 1)  # noqa: DTZ001 - only for listings


class Store:
    """Objects and open uploads in one piece of memory, which is filled from its beginning and never freed."""

    def __init__(self, size: int) -> None:
        self._memory = memoryview(mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE))
        self._lock = threading.Lock()
        self._ids = itertools.count()
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._used = 0
        self.objects: dict[str, Body] = {}
        self.uploads: dict[str, tuple[str, dict[int, Body]]] = {}

    def reserve(self, size: int) -> memoryview:
        """Return memory for a body."""
        with self._lock:
            start, self._used = self._used, self._used + size
        if self._used > len(self._memory):
            raise MemoryError("more was sent than --memory has room for")
        return self._memory[start : start + size]

    def open_upload(self, key: str) -> str:
        """Begin a multipart upload, return its id."""
        upload = f"upload-{next(self._ids)}"
        self.uploads[upload] = (key, {})
        return upload

    def complete(self, upload: str, numbers: list[int]) -> None:
        """Put an object together from the parts named."""
        key, parts = self.uploads.pop(upload)
        self.objects[key] = [view for number in numbers for view in parts[number]]


def handle(connection: Connection, store: Store) -> None:
    """Answer one client."""
    for request in connection.requests():
        if request.path.startswith("/-/"):
            _control(connection, request, store)
            continue
        body, checksums = _read_body(connection, request, store)
        key = request.path.partition("/")[2].partition("/")[2]
        if request.method == "PUT":
            _put(connection, request, store, key, body, checksums)
        elif request.method == "POST":
            _post(connection, request, store, key, body)
        elif request.method == "DELETE":
            store.uploads.pop(request.query.get("uploadId", ""), None)
            store.objects.pop(key, None)
            connection.answer(204)
        elif key:
            _get(connection, request, store, key)
        else:
            _list(connection, request, store)


def _read_body(connection: Connection, request: Request, store: Store) -> tuple[Body, dict[str, str]]:
    """Read a body into memory, return it with the checksums that came with it, in front or behind."""
    headers, layers = request.headers, [request.body]
    checksums = {name: value for name, value in headers.items() if name.startswith(_CHECKSUM)}
    length = headers.get("content-length", "0")
    if "aws-chunked" in headers.get("content-encoding", "") or "x-amz-decoded-content-length" in headers:
        layers.append(Chunked(request.body))
        length = headers["x-amz-decoded-content-length"]
    body = store.reserve(int(length))
    for piece in connection.limits.slices(body):
        filled = 0
        while filled < len(piece):
            if not (count := layers[-1].readinto(piece[filled:])):
                raise EOFError
            filled += count
    for layer in reversed(layers):
        if layer is not connection.reader:
            while layer.readinto(bytearray(_BUFFER)):
                pass
        checksums |= getattr(layer, "trailers", {})
    return [body], {name: value for name, value in checksums.items() if name.startswith(_CHECKSUM)}


def _put(
    connection: Connection, request: Request, store: Store, key: str, body: Body, checksums: dict[str, str]
) -> None:
    if "uploadId" in request.query:
        store.uploads[request.query["uploadId"]][1][int(request.query["partNumber"])] = body
    elif key:
        if request.headers.get("if-none-match") == "*" and key in store.objects:
            connection.answer(412, _error("PreconditionFailed"))
            return
        store.objects[key] = body
    connection.answer(headers={"ETag": _ETAG, **checksums})


def _post(connection: Connection, request: Request, store: Store, key: str, body: Body) -> None:
    bucket = request.path.split("/")[1]
    sent = b"".join(body).decode()
    if "uploads" in request.query:
        names = f"<Bucket>{bucket}</Bucket><Key>{escape(key)}</Key><UploadId>{store.open_upload(key)}</UploadId>"
        connection.answer(body=_xml("InitiateMultipartUploadResult", names))
    elif "uploadId" in request.query:
        store.complete(request.query["uploadId"], [int(n) for n in re.findall(r"<PartNumber>(\d+)<", sent)])
        names = f"<Bucket>{bucket}</Bucket><Key>{escape(key)}</Key><ETag>{escape(_ETAG)}</ETag>"
        connection.answer(body=_xml("CompleteMultipartUploadResult", names))
    else:
        for name in re.findall(r"<Key>(.*?)</Key>", sent):
            store.objects.pop(unescape(name), None)
        connection.answer(body=_xml("DeleteResult", ""))


def _get(connection: Connection, request: Request, store: Store, key: str) -> None:
    body = store.objects.get(key)
    if body is None:
        connection.answer(404, b"" if request.method == "HEAD" else _error("NoSuchKey"))
        return
    headers = {"ETag": _ETAG, "Last-Modified": _DATE.strftime("%a, %d %b %Y %H:%M:%S GMT")}
    connection.answer(headers=headers, length=sum(map(len, body)))
    for view in body if request.method == "GET" else ():
        connection.socket.sendall(view)


def _list(connection: Connection, request: Request, store: Store) -> None:
    prefix = request.query.get("prefix", "")
    if "uploads" in request.query:
        connection.answer(body=_xml("ListMultipartUploadsResult", "<IsTruncated>false</IsTruncated>"))
        return
    entries = "".join(
        f"<Contents><Key>{escape(key)}</Key><Size>{sum(map(len, body))}</Size><ETag>{escape(_ETAG)}</ETag>"
        f"<LastModified>{_DATE.isoformat()}Z</LastModified></Contents>"
        for key, body in sorted(store.objects.copy().items())
        if key.startswith(prefix)
    )
    connection.answer(body=_xml("ListBucketResult", f"<IsTruncated>false</IsTruncated>{entries}"))


def _xml(name: str, content: str) -> bytes:
    return f'<?xml version="1.0" encoding="UTF-8"?><{name}>{content}</{name}>'.encode()


def _error(code: str) -> bytes:
    return _xml("Error", f"<Code>{code}</Code><Message>{code}</Message>")


def _control(connection: Connection, request: Request, store: Store) -> None:
    if request.path == "/-/reset":
        store.reset()
        connection.answer()
        return
    bodies = [body for key, body in sorted(store.objects.items()) if not key.endswith(".json")]
    digest = {"export": _digest_bytes, "users": _digest_users}[request.query["work"]](bodies)
    connection.answer(body=json.dumps({"objects": len(bodies), "open_uploads": len(store.uploads), **digest}).encode())


def _digest_bytes(bodies: list[Body]) -> dict[str, int | str]:
    digest, size = hashlib.sha256(), 0
    for chunk in _decompressed(bodies):
        digest.update(chunk)
        size += len(chunk)
    return {"bytes": size, "sha256": digest.hexdigest()}


def _digest_users(bodies: list[Body]) -> dict[str, int | str]:
    """Tools store users in forms of their own: what all keep is the identifiers."""
    names = sorted(_IDENTIFIERS.findall(b"".join(_decompressed(bodies))))
    return {"rows": len(names), "sha256": hashlib.sha256(b"".join(name + b"\n" for name in names)).hexdigest()}


def _decompressed(bodies: list[Body]) -> Iterator[bytes | memoryview]:
    for body in bodies:
        is_gzip = bytes(body[0][:2]) == b"\x1f\x8b" if body and len(body[0]) > 1 else False
        engine = zlib.decompressobj(31) if is_gzip else None
        for view in body:
            for start in range(0, len(view), _SLICE):
                piece: bytes | memoryview = view[start : start + _SLICE]
                if engine is None:
                    yield piece
                while engine and piece:  # a file may have several members
                    yield engine.decompress(piece)
                    piece = engine.unused_data
                    if engine.eof:
                        engine = zlib.decompressobj(31)


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--memory", type=int, default=1 << 30, help="bytes")
    parser.add_argument("--rate", type=float, default=0.0, help="bytes a second and connection")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--tls", default="", help="PEM file with certificate and key")
    options = parser.parse_args()
    store = Store(options.memory)
    serve(partial(handle, store=store), limits=Limits(options.rate, options.latency), tls=options.tls)


if __name__ == "__main__":
    main()
