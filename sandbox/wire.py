"""How bodies leave: with a length, in chunks, ended by closing the connection, cut short, or far too slowly.

A body is a size known beforehand and an iterator of blocks, so that a file of gigabytes is never held in memory.
"""

from __future__ import annotations

import asyncio
import gzip
import zlib
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from starlette.types import ASGIApp, Receive, Scope, Send

    from sandbox.switches import Switches

EARLY_HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"
CONNECTION = "sandbox.connection"  # scope key under which the server passes the connection's protocol object


def watch_connection(app: ASGIApp, protocol: Any) -> ASGIApp:
    """Wrap an app so that responses can reach the connection they go out on."""

    async def watched(scope: Scope, receive: Receive, send: Send) -> None:
        scope[CONNECTION] = protocol
        await app(scope, receive, send)

    return watched


class WireResponse(Response):
    """A streamed response with a say in its framing.

    :param size: bytes of the whole body; None when it is endless, and then it goes out in chunks.
    :param framing: ``length``, ``chunked``, or ``close`` (no length at all: the closed connection is the end).
    :param cut: stop half-way and close the connection.
    :param pace: seconds between single bytes; 0 sends block by block.
    :param interim: so many answers 103 go before it.
    """

    def __init__(
        self,
        blocks: Iterable[bytes],
        size: int | None,
        *,
        status_code: int = 200,
        media_type: str = "application/json",
        headers: dict[str, str] | None = None,
        framing: str = "length",
        cut: bool = False,
        pace: float = 0.0,
        interim: int = 0,
    ) -> None:
        self.status_code = status_code
        self.media_type = media_type
        self.background = None
        self.body = b""
        self.init_headers(headers)
        del self.headers["content-length"]
        self.blocks, self.size, self.cut, self.pace, self.interim = iter(blocks), size, cut, pace, interim
        self.framing = framing if size is not None else "chunked"
        if self.framing == "length":
            self.headers["content-length"] = str(size)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.interim:
            scope[CONNECTION].transport.write(EARLY_HINTS * self.interim)
        if scope["method"] == "HEAD":
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await send({"type": "http.response.body", "body": b""})
        elif self.framing == "close":
            await self._send_until_close(scope[CONNECTION], receive)
        else:
            await self._send_framed(scope[CONNECTION], send)

    async def _send_framed(self, connection: Any, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for block in self._bounded_blocks():
            if connection.transport.is_closing():
                return
            await send({"type": "http.response.body", "body": block, "more_body": True})
            await asyncio.sleep(self.pace)
        if not self.cut:  # a response that is not completed makes the server close the connection
            await send({"type": "http.response.body", "body": b""})

    async def _send_until_close(self, connection: Any, receive: Receive) -> None:
        """Write past the server, which would add a framing of its own."""
        head = b"".join(name + b": " + value + b"\r\n" for name, value in self.raw_headers)
        connection.transport.write(b"HTTP/1.1 %d Sandbox\r\n%sconnection: close\r\n\r\n" % (self.status_code, head))
        for block in self._bounded_blocks():
            if connection.transport.is_closing():
                break
            connection.transport.write(block)
            await connection.flow.drain()
            await asyncio.sleep(self.pace)
        connection.transport.close()
        while (await receive())["type"] != "http.disconnect":
            pass

    def _bounded_blocks(self) -> Iterator[bytes]:
        left = -1 if self.size is None else self.size // 2 if self.cut else self.size
        for block in self.blocks:
            piece = block if left < 0 else block[:left]
            left -= len(piece) if left >= 0 else 0
            if self.pace:
                yield from (piece[i : i + 1] for i in range(len(piece)))
            else:
                yield piece
            if left == 0:
                return


def pack_blocks(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The blocks as one gzip stream."""
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    for block in blocks:
        yield packer.compress(block)
    yield packer.flush()


def bomb_blocks(size: int = 1 << 30) -> Iterator[bytes]:
    """A gzip body that unpacks to ``size`` bytes of an open JSON list."""
    return pack_blocks(chain([b'{"results":['], repeat(b" " * (1 << 20), size >> 20)))


def endless_blocks() -> Iterator[bytes]:
    """JSON rows without end."""
    yield b'{"results":['
    yield from repeat(b'{"id":1,"customer_identifier":"again"},' * 1000)


def send_body(body: bytes, switches: Switches, *, fault: bool) -> Response:
    """Send a 200 body the way the switches say.

    :param fault: whether faults that may be limited to some requests are to show on this one.
    """
    headers: dict[str, str] = {}
    if fault and switches.big_headers:
        headers["x-sandbox-filler"] = "x" * 128 * 1024
    if fault and switches.endless:
        return WireResponse(endless_blocks(), None, headers=headers)
    if fault and switches.gzip_bomb:
        return WireResponse(bomb_blocks(), None, headers={**headers, "content-encoding": "gzip"})
    if fault and switches.body == "html":
        page = b"<!DOCTYPE html><html><body><h1>Sign in</h1></body></html>"
        return WireResponse([page], len(page), media_type="text/html", headers=headers)
    if switches.gzip:
        body, headers["content-encoding"] = gzip.compress(body, 6, mtime=0), "gzip"
    return WireResponse(
        [body],
        len(body),
        status_code=201 if switches.created else 200,
        headers=headers,
        framing="close" if fault and switches.body == "cut_close" else "length",
        cut=fault and switches.body in ("cut", "cut_close"),
        pace=1.0 if fault and switches.trickle else 0.0,
        interim=switches.interim,
    )
