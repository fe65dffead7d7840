"""As much of HTTP as source and sink need: requests in, answers out, a thread a connection, little work a byte."""

from __future__ import annotations

import io
import socket
import ssl
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_BUFFER = 64 * 1024
_SLICE = 256 * 1024
_WORDS = {200: "OK", 204: "No Content", 206: "Partial Content", 404: "Not Found", 412: "Precondition Failed"}


@dataclass(frozen=True, slots=True)
class Limits:
    """
    What makes loopback like a network.

    :param rate: bytes a second and connection; 0 for no limit.
    :param latency: seconds before each answer.
    """

    rate: float = 0.0
    latency: float = 0.0

    def slices(self, view: memoryview) -> Iterator[memoryview]:
        """Yield a buffer in slices, no faster than the rate; whole without one."""
        if not self.rate:
            yield view
            return
        begun = time.monotonic()
        for start in range(0, len(view), _SLICE):
            yield view[start : start + _SLICE]
            time.sleep(max(0.0, begun + (start + _SLICE) / self.rate - time.monotonic()))


@dataclass(frozen=True, slots=True)
class Request:
    """A request whose body is still to be read from ``body``."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: io.BufferedIOBase


class Connection:
    """One client."""

    def __init__(self, sock: socket.socket, limits: Limits) -> None:
        self.socket = sock
        self.limits = limits
        self.reader = sock.makefile("rb", buffering=_BUFFER)

    def requests(self) -> Iterator[Request]:
        """Yield what the client asks, until it hangs up; each body must be read before the next."""
        while line := self.reader.readline():
            method, target, _ = line.decode("latin-1").split(" ", 2)
            headers = {}
            while (line := self.reader.readline().strip()) != b"":
                name, _, value = line.decode("latin-1").partition(":")
                headers[name.lower()] = value.strip()
            if headers.get("expect", "").lower() == "100-continue":
                self.socket.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            parts = urlsplit(target)
            query = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
            body: Any = self.reader
            if headers.get("transfer-encoding", "").lower() == "chunked":
                body = io.BufferedReader(Chunked(body), _BUFFER)
            yield Request(method, unquote(parts.path), query, headers, body)

    def answer(
        self, status: int = 200, body: bytes = b"", headers: Mapping[str, str] | None = None, *, length: int = -1
    ) -> None:
        """Send an answer; with a ``length``, the caller sends the body itself."""
        time.sleep(self.limits.latency)
        lines = [f"HTTP/1.1 {status} {_WORDS.get(status, 'Status')}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        lines += [f"Content-Length: {len(body) if length < 0 else length}", "", ""]
        self.socket.sendall("\r\n".join(lines).encode("latin-1") + body)


class Chunked(io.RawIOBase):
    """A chunked body without its framing, HTTP's as well as S3's; ``trailers`` are there at the end."""

    def __init__(self, source: io.BufferedIOBase) -> None:
        self._source = source
        self._left = 0
        self._is_done = False
        self.trailers: dict[str, str] = {}

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._left == 0 and not self._is_done:
            self._left = int(self._source.readline().split(b";")[0], 16)
            if self._left == 0:
                self._is_done = True
                while line := self._source.readline().strip():
                    name, _, value = line.decode().partition(":")
                    self.trailers[name.lower()] = value.strip()
        if self._is_done:
            return 0
        count = self._source.readinto(memoryview(buffer)[: self._left])
        self._left -= count
        if self._left == 0:
            self._source.readline()
        return count


def serve(handle: Callable[[Connection], None], *, limits: Limits, tls: str = "") -> None:
    """
    Print the port, then serve for ever.

    :param tls: a PEM file with certificate and key; without it, plain HTTP.
    """
    context = None
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls)

    def talk(client: socket.socket) -> None:
        with suppress(OSError, EOFError), client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock = context.wrap_socket(client, server_side=True) if context else client
            with sock:
                handle(Connection(sock, limits))

    with socket.create_server(("127.0.0.1", 0), backlog=256) as server:
        print(server.getsockname()[1], flush=True)
        while True:
            client, _ = server.accept()
            threading.Thread(target=talk, args=(client,), daemon=True).start()
