"""A gate in front of a server: passes every request on, and holds a chosen one until it is told to go on.

With it, a test knows exactly how far a client has come, and which process it is, when it kills it.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

_LINE_END = b"\r\n\r\n"


@dataclass
class Hold:
    """
    One request to hold.

    :param matches: tells from method and target, such as ``PUT`` and ``/bucket/key?partNumber=3``.
    :param answered: hold it when the server has answered, in place of before it hears of it.
    """

    matches: Callable[[str, str], bool]
    answered: bool = False
    ports: tuple[int, int] = (0, 0)  # of the peer, and of the gate that it is connected to
    reached: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)


class Gate:
    """
    Listens on a free port of 127.0.0.1 and passes on to ``url``; a context manager.

    :param url: ``http://host:port`` of the server.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._server = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._holds: list[Hold] = []
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        for hold in self._holds:
            hold.released.set()

    def hold(self, matches: Callable[[str, str], bool], *, answered: bool = False) -> Hold:
        """Hold the next request that matches; it is passed on once ``released`` is set."""
        hold = Hold(matches, answered)
        with self._lock:
            self._holds.append(hold)
        return hold

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError, ValueError), client, socket.create_connection(self._server) as server:
            while head := _read_head(client):
                method, target, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
                hold = self._take(method, target)
                if hold is not None and not hold.answered:
                    self._wait(hold, client)
                server.sendall(head)
                if b"expect: 100-continue" in head.lower():
                    client.sendall(_read_head(server))
                _pass_body(client, server, head)
                answer = _read_head(server)
                if hold is not None and hold.answered:
                    self._wait(hold, client)
                client.sendall(answer)
                if method != "HEAD" and b" 204 " not in answer[:20]:
                    _pass_body(server, client, answer)

    def _take(self, method: str, target: str) -> Hold | None:
        with self._lock:
            found = next(
                (hold for hold in self._holds if not hold.reached.is_set() and hold.matches(method, target)), None
            )
            if found is not None:
                self._holds.remove(found)
        return found

    @staticmethod
    def _wait(hold: Hold, client: socket.socket) -> None:
        hold.ports = client.getpeername()[1], client.getsockname()[1]
        hold.reached.set()
        hold.released.wait()


def _read_head(sock: socket.socket) -> bytes:
    """Read up to the empty line, byte by byte: what follows belongs to the body."""
    head = b""
    while not head.endswith(_LINE_END):
        byte = sock.recv(1)
        if not byte:
            return b""
        head += byte
    return head


def _pass_body(source: socket.socket, target: socket.socket, head: bytes) -> None:
    lines = (line.partition(b":") for line in head.split(b"\r\n")[1:] if line)
    headers = {name.strip().lower(): value.strip() for name, _, value in lines}
    if headers.get(b"transfer-encoding", b"").lower() == b"chunked":
        _pass_chunks(source, target)
    else:
        _pass_bytes(source, target, int(headers.get(b"content-length", b"0")))


def _pass_chunks(source: socket.socket, target: socket.socket) -> None:
    while True:
        line = b""
        while not line.endswith(b"\r\n"):
            line += source.recv(1)
        target.sendall(line)
        size = int(line.split(b";")[0], 16)
        _pass_bytes(source, target, size + 2)
        if size == 0:
            return


def _pass_bytes(source: socket.socket, target: socket.socket, left: int) -> None:
    while left:
        data = source.recv(min(left, 1 << 16))
        if not data:
            raise OSError
        target.sendall(data)
        left -= len(data)
