"""Bytes that are nearly HTTP: what we take for a whole answer, another implementation takes for the same one."""

from __future__ import annotations

import io
from collections.abc import Callable
from http.client import HTTPException
from typing import Any

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_usage_provider.http.framing import FramedResponse

HEADERS = [
    b"Content-Length: 5",
    b"content-length: 5, 5",
    b"Content-Length: 4",
    b"Content-Length: +5",
    b"Content-Length: 5_0",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: identity",
    b"Transfer-Encoding : chunked",
    b"Connection: close",
    b"X: y",
    b" folded",
    b"",
]
STATUS_LINES = [
    b"HTTP/1.1 200 OK",
    b"HTTP/1.1 103 Early Hints",
    b"HTTP/1.1 100 Continue",
    b"HTTP/1.0 200 OK",
    b"HTTP/1.1 204",
]
PIECES = [
    *(
        b"5\r\nabcde\r\n",
        b"3\r\nabc\r\n",
        b"0\r\n\r\n",
        b"0\r\nTrailer: 1\r\n\r\n",
        b"abcde",
        b"\r\n",
        b"\n",
        b"-1\r\n",
    ),
    *(
        b"5;x=y\r\nabcde\r\n",
        b"05\r\nabcde\r\n",
        b"0x5\r\nabcde\r\n",
        b"5\r\nabcdef\r\n",
        b"5\r\nabcd\r\n",
        b"5\nabcde\n",
    ),
    *(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nz", b"0", b"a", b"ffffffffffffffff\r\n"),
]


@st.composite
def wires(draw: st.DrawFn) -> bytes:
    """A few heads and some pieces of bodies, perhaps with a byte that is another."""
    head = b""
    for line in draw(st.lists(st.sampled_from(STATUS_LINES), min_size=1, max_size=3)):
        headers = draw(st.lists(st.sampled_from(HEADERS), max_size=2))
        head += b"\r\n".join([line, *headers, b"", b""])
    wire = head + b"".join(draw(st.lists(st.sampled_from(PIECES), max_size=4)))
    if draw(st.integers(0, 3)) == 0:
        where = draw(st.integers(0, len(wire) - 1))
        wire = wire[:where] + bytes([draw(st.integers(0, 255))]) + wire[where + 1 :]
    return wire


class Wire:
    """A socket on which everything has come already."""

    def __init__(self, data: bytes) -> None:
        self.file = io.BufferedReader(io.BytesIO(data))  # type: ignore[arg-type]
        self.is_shut = False

    def makefile(self, _: str) -> Any:
        return self.file

    def gettimeout(self) -> None:
        pass

    def settimeout(self, seconds: float | None) -> None:
        pass

    def shutdown(self, _: int) -> None:
        self.is_shut = True


def read_ours(wire: bytes) -> tuple[int, bytes, bool, bool]:
    """Status and body, whether its end is proven, and whether the connection would be used again."""
    sock = Wire(wire)
    response = FramedResponse(sock, method="GET")  # type: ignore[arg-type]
    response.begin()
    body = b""
    while piece := response.read(3):
        body += piece
    return response.status, body, response.has_end, not (response.will_close or sock.is_shut)


def read_theirs(wire: bytes) -> tuple[int, bytes, bytes]:
    """Status, body, and what is left behind it."""
    peer = h11.Connection(h11.CLIENT)
    peer.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
    peer.send(h11.EndOfMessage())
    peer.receive_data(wire)
    status, body = 0, b""
    while True:
        event = peer.next_event()
        if event is h11.NEED_DATA:
            peer.receive_data(b"")
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            return status, body, peer.trailing_data[0]


def attempt(read: Callable[[bytes], Any], wire: bytes) -> Any:
    try:
        return read(wire)
    except (HTTPException, OSError, h11.RemoteProtocolError):
        return None


@given(wire=wires())
@settings(max_examples=500, derandomize=True, database=None, deadline=None)
def test_a_body_whose_end_is_proven_is_the_one_that_another_implementation_reads(wire: bytes) -> None:
    ours, theirs = attempt(read_ours, wire), attempt(read_theirs, wire)
    if ours is None or theirs is None:
        return
    status, body, has_end, is_used_again = ours
    assert (status, not has_end or body == theirs[1]) == (theirs[0], True)
    assert not (is_used_again and theirs[2])


@pytest.mark.parametrize("wire", [b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde"])
def test_both_read_what_is_sound(wire: bytes) -> None:
    assert read_ours(wire) == (200, b"abcde", True, True)
    assert read_theirs(wire) == (200, b"abcde", b"")
