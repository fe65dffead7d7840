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
#: How a size and a coding may be written, and how not.
SIZES = ("{:x}", "{:X}", "000{:x}", "{:x};name=value", "{:x}  ")
ODD_SIZES = ("-{:x}", "+{:x}", "0x{:x}", "{:x}_0", " {:x}", "{:x}.0", "{:x}h", "", "-1", "fffffffffffffffff")
CODINGS = ("chunked", "Chunked", "identity, chunked")
ODD_CODINGS = ("gzip, chunked", "chunked, chunked", "chunked, identity, gzip", "xchunked", "chunked;q=1", "br")
MOST_INTERIM = 64


@dataclass(frozen=True)
class Answer:
    """
    One answer, byte for byte.

    :param length: what Content-Length says; None for none.
    :param chunked: ``whole``, ``cut`` (no last chunk), ``broken`` (a size that is none); None for no chunks.
    :param size: how the size of the chunk is written.
    :param coding: what Transfer-Encoding says of the chunks.
    :param interim: statuses of the answers before it, which are none.
    :param left: what follows it on its connection, which belongs to no request.
    :param drop_at: so much of the body is sent, from 0 to 1, before the connection ends.
    :param ending: ``close``, ``reset``, ``stall``: keep the connection open and say nothing, or ``keep``: wait for the
        next request on it.
    """

    body: bytes
    status_line: str = "HTTP/1.1 200 OK"
    headers: tuple[tuple[str, str], ...] = ()
    length: str | None = None
    chunked: str | None = None
    size: str = SIZES[0]
    coding: str = CODINGS[0]
    interim: tuple[int, ...] = ()
    left: bytes = b""
    drop_at: float = 1.0
    ending: str = "close"
    delay: float = 0.0

    @property
    def status(self) -> str:
        return self.status_line.partition(" ")[2][:3]

    def find_body(self) -> bytes | None:
        """Return what a reader may take for the whole body; None if nothing is."""
        sent = self.body[: int(len(self.body) * self.drop_at)]
        on_wire = sent + self.left
        whole: bytes | None = on_wire  # ended by the end of its connection
        if self.chunked is not None:
            is_sound = self.size in SIZES and self.coding in CODINGS
            whole = sent if is_sound and self.chunked == "whole" and sent == self.body else None
        elif self.length is not None and self.length.isdecimal() and len(self.length) < 10:
            whole = on_wire[: int(self.length)] if int(self.length) <= len(on_wire) else None
        names = dict(self.headers)
        if len(self.interim) > MOST_INTERIM:
            return None
        if whole is None or "Content-Range" in names or self.status not in {"200", "201"}:
            return None
        encoding = names.get("Content-Encoding", "identity")
        if encoding == "gzip":
            try:
                return gzip.decompress(whole) if whole else None
            except (OSError, EOFError, zlib.error):
                return None
        return whole if encoding in {"identity", "aws-chunked"} else None

    def to_wire(self) -> tuple[bytes, bytes]:
        """Return head and what is sent of the body."""
        headers = list(self.headers)
        if self.chunked is not None:
            headers.append(("Transfer-Encoding", self.coding))
        if self.length is not None:
            headers.append(("Content-Length", self.length))
        lines = [self.status_line, *(f"{name}: {value}" for name, value in headers), "", ""]
        body = self.body[: int(len(self.body) * self.drop_at)]
        if self.chunked is not None and (body or self.chunked != "whole"):
            size = "zz" if self.chunked == "broken" else self.size.format(len(self.body))
            body = size.encode() + b"\r\n" + body
            body += b"\r\n0\r\n\r\n" if self.chunked == "whole" and self.drop_at == 1.0 else b""
        elif self.chunked == "whole":
            body = b"0\r\n\r\n"
        before = "".join(f"HTTP/1.1 {status} X\r\nLink: </x>\r\n\r\n" for status in self.interim)
        return (before + "\r\n".join(lines)).encode("latin-1", "replace"), body + self.left


class HostileServer:
    """Answers each request with what ``route`` says to its target; remembers what it served."""

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
            while target := self._read_request(connection):
                answer = self.route(target)
                self.served.append((target, answer))
                time.sleep(answer.delay)
                for piece in answer.to_wire():
                    connection.sendall(piece)
                if answer.ending != "keep":
                    break
            else:
                connection.close()
                return
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
