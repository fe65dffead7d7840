"""A server that obeys no rule of HTTP unless it is told to, and the one body that each of its answers really holds."""

from __future__ import annotations

import gzip
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass

Route = Callable[[str], "Answer"]


@dataclass(frozen=True)
class Answer:
    """
    One answer, byte for byte.

    :param length: what Content-Length says; None for none.
    :param chunked: ``whole``, ``cut`` (no last chunk), ``broken`` (a size that is none); None for no chunks.
    :param drop_at: so much of the body is sent, from 0 to 1, before the connection ends.
    :param ending: ``close``, ``reset`` or ``stall``: keep the connection open and say nothing.
    """

    body: bytes
    status_line: str = "HTTP/1.1 200 OK"
    headers: tuple[tuple[str, str], ...] = ()
    length: str | None = None
    chunked: str | None = None
    drop_at: float = 1.0
    ending: str = "close"
    delay: float = 0.0

    @property
    def status(self) -> str:
        return self.status_line.partition(" ")[2][:3]

    def find_body(self) -> bytes | None:
        """Return what a reader may take for the whole body; None if nothing is."""
        sent = self.body[: int(len(self.body) * self.drop_at)]
        whole: bytes | None = sent
        if self.chunked is not None:
            whole = sent if self.chunked == "whole" and sent == self.body else None
        elif self.length is not None and self.length.isdecimal() and len(self.length) < 10:
            whole = sent[: int(self.length)] if int(self.length) <= len(sent) else None
        names = dict(self.headers)
        if whole is None or "Content-Range" in names or self.status != "200":
            return None
        encoding = names.get("Content-Encoding", "identity")
        if encoding == "gzip":
            try:
                return gzip.decompress(whole) if whole else None
            except (OSError, EOFError, zlib.error):
                return None
        return whole if encoding == "identity" else None

    def to_wire(self) -> tuple[bytes, bytes]:
        """Return head and what is sent of the body."""
        headers = list(self.headers)
        if self.chunked is not None:
            headers.append(("Transfer-Encoding", "chunked"))
        if self.length is not None:
            headers.append(("Content-Length", self.length))
        lines = [self.status_line, *(f"{name}: {value}" for name, value in headers), "", ""]
        body = self.body[: int(len(self.body) * self.drop_at)]
        if self.chunked is not None and (body or self.chunked != "whole"):
            size = "zz" if self.chunked == "broken" else f"{len(self.body):x}"
            body = size.encode() + b"\r\n" + body
            body += b"\r\n0\r\n\r\n" if self.chunked == "whole" and self.drop_at == 1.0 else b""
        elif self.chunked == "whole":
            body = b"0\r\n\r\n"
        return "\r\n".join(lines).encode("latin-1", "replace"), body


class HostileServer:
    """Answers one request a connection with what ``route`` says to its target; remembers what it served."""

    def __init__(self) -> None:
        self.route: Route = lambda _: Answer(b"")
        self.served: list[tuple[str, Answer]] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._stalled: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def begin(self, route: Route) -> None:
        """Forget what was, and answer like this from now on."""
        self.release()
        self.served = []
        self.route = route

    def release(self) -> None:
        """Hang up where somebody may still wait."""
        while self._stalled:
            self._stalled.pop().close()

    def close(self) -> None:
        self._listener.close()
        self.release()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            connection.settimeout(10)
            target = self._read_request(connection)
            if not target:
                connection.close()
                return
            answer = self.route(target)
            self.served.append((target, answer))
            time.sleep(answer.delay)
            for piece in answer.to_wire():
                connection.sendall(piece)
            if answer.ending == "stall":
                self._stalled.append(connection)
                return
            if answer.ending == "reset":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
        except OSError:  # the client hung up: that is its right
            connection.close()

    @staticmethod
    def _read_request(connection: socket.socket) -> str:
        data = b""
        while b"\r\n\r\n" not in data:
            chunk = connection.recv(65536)
            if not chunk:
                return ""
            data += chunk
        head, _, body = data.partition(b"\r\n\r\n")
        lengths = [line.split(b":")[1] for line in head.lower().splitlines() if line.startswith(b"content-length:")]
        missing = int(lengths[0]) - len(body) if lengths else 0
        while missing > 0:
            missing -= len(connection.recv(65536)) or missing
        return head.split(b" ")[1].decode("latin-1")
