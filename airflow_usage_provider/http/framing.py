"""An answer on the wire: which one is final, how long its body is, and where it ends.

Judged here and not by ``http.client``, which takes ``-1`` for the size of a chunk, reads trailers without end, calls
any interim answer but 100 the final one, and lends out a connection on which something is left. What breaks the rules
of RFC 9112 is a :class:`FramingError`, and its connection is not used again.
"""

from __future__ import annotations

import re
import ssl
import sys
from contextlib import suppress
from http.client import HTTPException, HTTPResponse, IncompleteRead, parse_headers
from socket import SHUT_RDWR
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from socket import socket

MAX_INTERIM = 64
_MAX_LINE = 4096  # of a chunk's size with its extensions
_MAX_TRAILERS = 64 * 1024
_PIECE = 1024 * 1024
_CHUNK_SIZE = re.compile(rb"([0-9a-fA-F]{1,15})[ \t]*(?:;[^\r\n]*)?\r\n")


class FramingError(HTTPException):
    """The peer breaks the rules of HTTP. The message is ours and holds nothing of what was sent."""


class FramedResponse(HTTPResponse):
    """``http.client``'s response with a strict eye; ``has_end`` says whether a length or a chunk proves its end."""

    def __init__(self, sock: socket, debuglevel: int = 0, method: str | None = None, url: str | None = None) -> None:
        super().__init__(sock, debuglevel, method, url)
        self._sock = sock
        self._left: int | None = None  # of the body, or of its chunk; None where only the connection's end ends it
        self.has_end = False

    def _read_status(self) -> tuple[str, int, str]:
        """Skip interim answers, which are no answer to anything (RFC 9110 15.2)."""
        for _ in range(MAX_INTERIM + 1):
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if status >= 200:
                return version, status, reason
            parse_headers(self.fp)
        raise FramingError(f"more than {MAX_INTERIM} interim answers")

    def begin(self) -> None:
        """
        Read status and headers, and judge how the body is framed.

        :raises FramingError: nobody can tell.
        """
        super().begin()
        codings = [coding for coding in self._list("transfer-encoding") if coding != "identity"]
        lengths = set(self._list("content-length"))
        is_empty = self.status in {204, 304} or self._method == "HEAD"  # type: ignore[attr-defined]
        self.chunked = bool(codings) and not is_empty
        if self.chunked:
            if codings != ["chunked"]:
                raise FramingError("a transfer coding that nobody asked for")
            self._left = 0
            self.will_close = self.will_close or bool(lengths)  # a length beside chunks: one of them lies
        elif is_empty:
            self._left = 0
        elif lengths:
            (length, *others) = lengths
            if others or not re.fullmatch(r"[0-9]{1,15}", length):
                raise FramingError("a length that is no number")
            self._left = int(length)
        self.length = None if self.chunked else self._left
        # A line among the headers that is none may hide what frames the body: nothing is proven then.
        self.has_end = self._left is not None and not self.headers.defects
        self.will_close = self.will_close or not self.has_end

    def _list(self, name: str) -> list[str]:
        values: list[str] = self.headers.get_all(name, [])
        return [item.strip(" \t").lower() for value in values for item in value.split(",")]

    def read(self, amt: int | None = None) -> bytes:
        """
        Return the next bytes of the body, fewer than ``amt`` only at its end.

        :raises FramingError: its chunks are none.
        :raises IncompleteRead: it ended early.
        """
        pieces, wanted = [], sys.maxsize if amt is None else amt
        while wanted and self.fp is not None:
            if self._left == 0 and not self._begin_chunk():
                self._end()
                break
            most = min(wanted, _PIECE if self._left is None else min(self._left, _PIECE))
            piece = self.fp.read(most)
            if self._left is None:
                if not piece:
                    self._end()
            else:
                self._take(piece, most)
            pieces.append(piece)
            wanted -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _take(self, piece: bytes, expected: int) -> None:
        if len(piece) < expected:
            raise IncompleteRead(piece, expected - len(piece))
        self._left = (self._left or 0) - expected
        if self.chunked and not self._left and self._read_line() != b"\r\n":
            raise FramingError("a chunk that is not as long as its size")

    def _begin_chunk(self) -> bool:
        """Read the size of the next chunk; False at the end of the body."""
        if not self.chunked:
            return False
        match = _CHUNK_SIZE.fullmatch(self._read_line())
        if match is None:
            raise FramingError("a chunk whose size is no number")
        self._left = int(match[1], 16)
        if not self._left:
            self._skip_trailers()
        return bool(self._left)

    def _skip_trailers(self) -> None:
        size = 0
        while (line := self.fp.readline(_MAX_LINE)) not in {b"\r\n", b""}:  # the body was whole with its last chunk
            size += len(line)
            if size > _MAX_TRAILERS:
                raise FramingError(f"trailers of more than {_MAX_TRAILERS} bytes")

    def _read_line(self) -> bytes:
        line: bytes = self.fp.readline(_MAX_LINE)
        if not line.endswith(b"\n") and len(line) < _MAX_LINE:
            raise IncompleteRead(b"")
        return line

    def _end(self) -> None:
        """Give up the connection, for ever if something stands behind the body, which belongs to no request."""
        if not self.will_close and self._has_more():
            with suppress(OSError):
                self._sock.shutdown(SHUT_RDWR)
        self._close_conn()  # type: ignore[attr-defined]

    def _has_more(self) -> bool:
        timeout = self._sock.gettimeout()
        self._sock.settimeout(0)
        try:
            return bool(self.fp.peek(1))
        except ssl.SSLWantReadError:
            return False
        except OSError:
            return True
        finally:
            with suppress(OSError):
                self._sock.settimeout(timeout)
