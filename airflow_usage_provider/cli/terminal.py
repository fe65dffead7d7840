"""How the command writes: answers to stdout, what is about the run to stderr, and nothing that acts on a terminal."""

from __future__ import annotations

import sys
import time


def print_line(line: str) -> None:
    """Write a line of an answer."""
    sys.stdout.write(f"{printable(line)}\n")


def tell(line: str) -> None:
    """Say something about the run."""
    sys.stderr.write(f"usage-archive: {printable(line)}\n")


def printable(text: str) -> str:
    """Escape what a terminal would act upon."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


class Progress:
    """A line on stderr that is written over, if somebody is looking."""

    def __init__(self) -> None:
        self._is_seen = sys.stderr.isatty()
        self._shown_at = 0.0
        self._width = 0

    def show(self, line: str) -> None:
        """Write how far it is, a few times a second."""
        if not self._is_seen or time.monotonic() - self._shown_at < 0.1:
            return
        self.clear()
        self._shown_at, self._width = time.monotonic(), len(line)
        sys.stderr.write(line)
        sys.stderr.flush()

    def clear(self) -> None:
        """Take the line away, for others to write there."""
        if self._width:
            sys.stderr.write(f"\r{' ' * self._width}\r")
            self._width = 0
