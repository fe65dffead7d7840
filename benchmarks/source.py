"""Both vendors, sending from memory: ``python -m benchmarks.source``.

The API key says how much there is: ``size-1000000000`` bytes of export, ``users-100000``.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import ssl
from functools import partial

from benchmarks.data import ExportData, UserData
from benchmarks.wire import Connection, Limits, Request, serve

EXPORT = ExportData()
USERS = UserData()


def handle(connection: Connection, scheme: str, memory: int, view: memoryview) -> None:
    """Answer one client."""
    for request in connection.requests():
        asked = request.body.read(int(request.headers.get("content-length", 0)))
        if request.path.startswith("/export/"):
            connection.answer(
                body=_describe_export(request, asked, scheme), headers={"Content-Type": "application/json"}
            )
        elif request.path.startswith("/api/users"):
            connection.answer(body=_list_users(request, scheme), headers={"Content-Type": "application/json"})
        else:
            _send_file(connection, request, memory, view)


def _amount(request: Request) -> int:
    return int(request.headers["authorization"].rpartition("-")[2])


def _describe_export(request: Request, asked: bytes, scheme: str) -> bytes:
    size = _amount(request)
    data = {
        "filePath": "users-usage/bench.csv",
        "downloadUrl": f"{scheme}://{request.headers['host']}/file/{size}?signature=bench",
        "dataType": "assistants",
        "recordCount": EXPORT.rows(size),
        "dateRange": {name: json.loads(asked)[name]["date"] for name in ("from", "to")} if asked else None,
    }
    return json.dumps({"success": True, "data": data}).encode()


def _list_users(request: Request, scheme: str) -> bytes:
    size = int(request.query.get("page_size", 1000))
    link = f"{scheme}://{request.headers['host']}/api/users/?page_size={size}&page="
    return USERS.page(_amount(request), int(request.query.get("page", 1)), size, link)


def _send_file(connection: Connection, request: Request, memory: int, view: memoryview) -> None:
    pieces = list(EXPORT.pieces(int(request.path.rpartition("/")[2])))
    total = sum(length for _, length in pieces)
    start, stop, status, headers = 0, total, 200, {"Content-Type": "text/csv", "Accept-Ranges": "bytes"}
    if asked := re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", "")):
        start, stop = int(asked[1]), min(total, int(asked[2] or total - 1) + 1)
        status, headers["Content-Range"] = 206, f"bytes {start}-{stop - 1}/{total}"
    connection.answer(status, headers=headers, length=stop - start)
    if request.method == "HEAD":
        return
    position = 0
    for offset, length in pieces:
        first, last = max(start - position, 0), min(stop - position, length)
        position += length
        if first < last:
            _send_piece(connection, memory, view, offset + first, last - first)


def _send_piece(connection: Connection, memory: int, view: memoryview, offset: int, length: int) -> None:
    sock = connection.socket
    if isinstance(sock, ssl.SSLSocket) or connection.limits.rate:
        for piece in connection.limits.slices(view[offset : offset + length]):
            sock.sendall(piece)
        return
    while length:
        sent = os.sendfile(sock.fileno(), memory, offset, length)
        offset, length = offset + sent, length - sent


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=0.0, help="bytes a second and connection")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--tls", default="", help="PEM file with certificate and key")
    options = parser.parse_args()
    memory = os.memfd_create("export")
    os.truncate(memory, len(EXPORT.memory))
    os.pwrite(memory, EXPORT.memory, 0)
    USERS.page(1, 1, 1, "")
    scheme = "https" if options.tls else "http"
    talk = partial(handle, scheme=scheme, memory=memory, view=memoryview(EXPORT.memory))
    serve(talk, limits=Limits(options.rate, options.latency), tls=options.tls)


if __name__ == "__main__":
    main()
