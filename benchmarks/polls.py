"""A vendor whose exports are never there yet, which remembers who asked when: ``python -m benchmarks.polls``.

It answers every export at once and its signed URL with 404, and so anything else that is waited for. ``/-/take`` tells
the polls since the last time, ``/-/status/401`` makes it refuse all from then on.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from typing import cast

_NUMBER = re.compile(rb"date\": ?\"(\d{4}-\d\d-\d\d)|^GET /wait/(\S+)")
_polls: list[tuple[str, float]] = []
_status = b"200 OK"


def _answer(status: bytes, body: bytes = b"{}") -> bytes:
    head = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (status, len(body))
    return head + body


class Vendor(asyncio.Protocol):
    """One connection, kept open."""

    def __init__(self) -> None:
        self._pending = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._pending += data
        while (end := self._pending.find(b"\r\n\r\n")) >= 0:
            length = re.search(rb"\r\ncontent-length: *(\d+)", self._pending[:end], re.IGNORECASE)
            end += 4 + int(length[1] if length else 0)
            if len(self._pending) < end:
                return
            request, self._pending = self._pending[:end], self._pending[end:]
            self._transport.write(self._respond(request))

    def _respond(self, request: bytes) -> bytes:
        global _polls, _status  # noqa: PLW0603 - all connections are one vendor
        path = request.split(b" ", 2)[1]
        if path == b"/-/take":
            taken, _polls = _polls, []
            return _answer(b"200 OK", json.dumps(taken).encode())
        if path.startswith(b"/-/status/"):
            _status = path.rpartition(b"/")[2] + b" Told"
            return _answer(b"200 OK")
        if path.startswith(b"/file"):
            return _answer(b"404 Not Found")
        found = _NUMBER.search(request)
        _polls.append(((found[1] or found[2]).decode() if found else "", time.time()))
        if not _status.startswith(b"200"):
            return _answer(_status)
        if path.startswith(b"/wait"):
            return _answer(b"404 Not Found")
        port = self._transport.get_extra_info("sockname")[1]
        data = {"recordCount": 7, "downloadUrl": f"http://127.0.0.1:{port}/file?signature=bench"}
        return _answer(b"200 OK", json.dumps({"success": True, "data": data}).encode())


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(Vendor, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve())
