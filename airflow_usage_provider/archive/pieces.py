"""The body of a part as the pieces it came in, which nothing joins and nothing copies on their way to the socket."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PIECE_SIZE = 1024 * 1024  # a piece is sent by one call, within one timeout


def cut(data: bytes) -> Iterator[memoryview]:
    """Yield the pieces of some bytes."""
    view = memoryview(data)
    for start in range(0, len(view), PIECE_SIZE):
        yield view[start : start + PIECE_SIZE]


class PieceReader:
    """
    A file over pieces, as far as boto3 and urllib3 use one: read to its end, more than once, and measured.

    boto3 would read bytes through a copy of 128 KiB at a time.
    """

    def __init__(self, pieces: Sequence[memoryview]) -> None:
        self._pieces = pieces
        self._next = 0

    def __len__(self) -> int:
        return sum(map(len, self._pieces))

    def read(self, size: int = -1) -> bytes | memoryview:
        """Return the next piece, even where it is longer than asked for, as each call costs; below 0, what is left."""
        begun, self._next = self._next, len(self._pieces) if size < 0 else min(self._next + 1, len(self._pieces))
        pieces = self._pieces[begun : self._next]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def tell(self) -> int:
        """Return how many bytes were read."""
        return sum(map(len, self._pieces[: self._next]))

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go back to the beginning, or to the end; nobody asks for more."""
        if offset:
            raise ValueError("only its beginning and its end can be found")
        self._next = len(self._pieces) if whence else 0
        return self.tell()
