"""Runs one contender as a process of its own and tells what it took: time, CPU and memory of the whole process tree."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SAMPLE_SECONDS = 0.02
_MIB = 1024 * 1024
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Sample:
    """
    One run of one contender. Seconds and MiB.

    :param wall: of the whole process.
    :param work: without interpreter start and imports; of a shell pipeline, the whole.
    :param cpu: user and system, of the whole tree.
    :param work_cpu: the same of the work only.
    :param peak: most memory of the whole tree.
    :param over_imports: how much of it came after the imports.
    """

    wall: float
    work: float
    cpu: float
    work_cpu: float
    peak: float
    over_imports: float


def await_idle(*, seconds: float, busy: float = 0.1, looks: int = 3) -> bool:
    """
    Wait until nothing else runs here, and return whether it came to that.

    :param seconds: to wait at the most.
    :param busy: share of all cores beyond which the machine is not idle; it is looked at for a second each time.
    :param looks: how often in a row it must be idle.
    """
    deadline, quiet = time.monotonic() + seconds, 0
    while quiet < looks:
        before = _read_cpu()
        time.sleep(1.0)
        total, idle = (now - then for now, then in zip(_read_cpu(), before, strict=True))
        quiet = quiet + 1 if total and 1 - idle / total <= busy else 0
        if time.monotonic() > deadline:
            return False
    return True


def _read_cpu() -> tuple[int, int]:
    """Return the ticks of all cores since the start, and those of them in which nothing ran."""
    ticks = [int(value) for value in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return sum(ticks), ticks[3] + ticks[4]


class FailedRunError(Exception):
    """A contender failed, or stored something else."""


def run(command: Sequence[str], environment: Mapping[str, str], *, timeout: float = 900.0) -> Sample:
    """
    Run a contender to its end.

    :raises FailedRunError: it did not come to a good one.
    """
    with tempfile.TemporaryFile() as errors:
        begun = time.monotonic()
        process = subprocess.Popen(
            command, env=dict(environment), stdout=subprocess.PIPE, stderr=errors, start_new_session=True
        )
        peak = _Peak(process.pid)
        peak.start()
        stop = threading.Timer(timeout, os.killpg, (process.pid, 9))
        stop.start()
        try:
            with process.stdout as stdout:  # type: ignore[union-attr]
                output = stdout.read()
            _, status, usage = os.wait4(process.pid, 0)
        finally:
            stop.cancel()
            peak.stop()
        wall = time.monotonic() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            told = errors.read().decode(errors="replace")[-3000:]
            raise FailedRunError(f"{' '.join(command)} ended with {process.returncode}\n{told}")
    lines = [line for line in output.splitlines() if line.startswith(b'{"work":')]
    own = json.loads(lines[-1]) if lines else {"work": wall, "work_cpu": usage.ru_utime + usage.ru_stime}
    most = max(peak.bytes, own.get("peak", 0)) / _MIB
    return Sample(
        wall=wall,
        work=own["work"],
        cpu=usage.ru_utime + usage.ru_stime,
        work_cpu=own["work_cpu"],
        peak=most,
        over_imports=most - own.get("imported", 0) / _MIB,
    )


class _Peak(threading.Thread):
    """Looks every 20 ms how much memory a process and its children have."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self._stopped = threading.Event()
        self.bytes = 0

    def run(self) -> None:
        while not self._stopped.wait(_SAMPLE_SECONDS):
            self.bytes = max(self.bytes, _resident(self._pid))

    def stop(self) -> None:
        self._stopped.set()
        self.join()


def _resident(pid: int) -> int:
    """Return the resident bytes of a process and its descendants; shared pages count in each."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        children = [Path(task, "children").read_text().split() for task in Path(f"/proc/{pid}/task").iterdir()]
    except (OSError, IndexError):
        return 0  # it has just ended
    return pages * _PAGE + sum(_resident(int(child)) for group in children for child in group)


class Server:
    """One of our own servers in a process of its own, whose CPU and memory do not count."""

    def __init__(self, module: str, *arguments: object) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)], stdout=subprocess.PIPE, text=True
        )
        self.port = int(self._process.stdout.readline() if self._process.stdout else 0)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
