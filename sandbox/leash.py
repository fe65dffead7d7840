"""Process groups that end when this process does, however it ends: SIGKILL and ``os._exit`` run no cleanup here."""

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

# Holds the other end of a pipe: the end of file without a word before it means that the process here is gone.
WATCHER = """
import os, signal, sys
if not sys.stdin.buffer.read(1):
    os.killpg(int(sys.argv[1]), signal.SIGKILL)
"""


class Leash:
    """
    Ends the process group of a process of ours that leads one, no later than this process ends.

    :param process: started with ``start_new_session=True``.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._watcher = subprocess.Popen(
            [sys.executable, "-ISc", WATCHER, str(process.pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def end(self, grace: float) -> None:
        """Ask the group to end, kill after ``grace`` seconds what has not; return when none is left."""
        self._signal(signal.SIGTERM)
        deadline = time.monotonic() + grace
        while self._has_members() and time.monotonic() < deadline:
            time.sleep(0.05)
        self._signal(signal.SIGKILL)
        self._process.wait()
        with suppress(BrokenPipeError):
            self._watcher.communicate(b".")

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):  # macOS refuses a group of zombies
            os.killpg(self._process.pid, number)

    def _has_members(self) -> bool:
        self._process.poll()
        try:
            os.killpg(self._process.pid, 0)
        except (ProcessLookupError, PermissionError):
            return False
        return not PROC.is_dir() or any(state != "Z" for state in _member_states(self._process.pid))


def _member_states(group: int) -> Iterator[str]:
    """The state letter of each process of a group, on Linux; orphans stay zombies while init is busy."""
    for path in PROC.glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, its_group, *_ = path.read_text().rpartition(")")[2].split()
            if int(its_group) == group:
                yield state
