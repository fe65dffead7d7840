"""The limit of this machine: the kernel moves the bytes from socket to socket, nobody looks at them."""

from __future__ import annotations

import os
import socket
from urllib.parse import urlsplit

from benchmarks.tools.stopwatch import SETTINGS, measure

MOVE = 1024 * 1024


def work() -> None:
    url, target = urlsplit(SETTINGS["file"]), urlsplit(os.environ["AWS_ENDPOINT_URL"])
    source = socket.create_connection((url.hostname, url.port))
    source.sendall(f"GET {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\nConnection: close\r\n\r\n".encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += source.recv(1)
    left = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    sink = socket.create_connection((target.hostname, target.port))
    sink.sendall(f"PUT /archive/bench/export.csv HTTP/1.1\r\nHost: sink\r\nContent-Length: {left}\r\n\r\n".encode())
    reader, writer = os.pipe()
    while left:
        count = os.splice(source.fileno(), writer, min(left, MOVE))
        left -= count
        while count:
            count -= os.splice(reader, sink.fileno(), count)
    assert b" 200 " in sink.recv(65536)


measure(work)
