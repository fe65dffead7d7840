"""Processes that end when this one does, however it ends: SIGKILL and ``os._exit`` leave no time to clean up here.

What is ended is the session of a process, with every group in it: Airflow's tasks have process groups of their own.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PROC = Path("/proc")


class Leash:
    """
    Ends a process of ours and all it started, no later than this process ends.

    :param process: started with ``start_new_session=True``.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._watcher = subprocess.Popen(
            [sys.executable, "-IS", __file__, str(process.pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def end(self, grace: float) -> None:
        """Ask them to end, kill after ``grace`` seconds those that have not; return when none is left."""
        _signal_session(self._process.pid, signal.SIGTERM)
        deadline = time.monotonic() + grace
        while self._has_members() and time.monotonic() < deadline:
            time.sleep(0.05)
        self.kill()

    def kill(self) -> None:
        """Kill them at once."""
        _signal_session(self._process.pid, signal.SIGKILL)
        self._process.wait()
        with suppress(BrokenPipeError):
            self._watcher.communicate(b".")

    def _has_members(self) -> bool:
        if PROC.is_dir():
            return self._process.poll() is None or any(_find_groups(self._process.pid))
        self._process.poll()
        try:
            os.killpg(self._process.pid, 0)
        except (ProcessLookupError, PermissionError):
            return False
        return True


def _find_groups(session: int) -> Iterator[int]:
    """Yield the process groups of a session that are not all zombies, on Linux; a busy init leaves zombies for long."""
    for path in PROC.glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, group, its_session, *_ = path.read_text().rpartition(")")[2].split()
            if int(its_session) == session and state != "Z":
                yield int(group)


def _signal_session(session: int, number: int) -> None:
    for group in {session, *_find_groups(session)}:
        with suppress(ProcessLookupError, PermissionError):  # macOS refuses a group of zombies
            os.killpg(group, number)


def _watch(session: int) -> None:
    """Wait for a word from the process that holds the leash; when the pipe ends without one, that process is gone."""
    if not sys.stdin.buffer.read(1):
        _signal_session(session, signal.SIGKILL)


if __name__ == "__main__":
    _watch(int(sys.argv[1]))
