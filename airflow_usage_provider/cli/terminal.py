"""How the command writes: answers to stdout, what is about the run to stderr, and nothing that acts on a terminal."""

from __future__ import annotations

import sys
import time


def print_line(line: str) -> None:
    """Write a line of an answer."""
    sys.stdout.write(f"{line}\n")


def tell(line: str) -> None:
    """Say something about the run."""
    sys.stderr.write(f"usage-archive: {line}\n")


class Progress:
    """
    A line on stderr that is written over, if somebody is looking.

    :param total: bytes there are to read.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._is_seen = sys.stderr.isatty()
        self._shown_at = 0.0
        self._width = 0

    def show(self, done: int) -> None:
        """Write how many bytes are done, a few times a second."""
        if not self._is_seen or time.monotonic() - self._shown_at < 0.1:
            return
        self.clear()
        line = f"{done:,} of {self._total:,} bytes ({done * 100 // max(self._total, 1)} %)"
        self._shown_at, self._width = time.monotonic(), len(line)
        sys.stderr.write(line)
        sys.stderr.flush()

    def clear(self) -> None:
        """Take the line away, for others to write there."""
        if self._width:
            sys.stderr.write(f"\r{' ' * self._width}\r")
            self._width = 0
