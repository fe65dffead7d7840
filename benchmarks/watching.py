"""What a long-running process takes, and what a vendor sees of it."""

from __future__ import annotations

import json
import os
import time
import urllib.request
from collections import defaultdict
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


class Tree:
    """
    CPU and memory of a process and its descendants.

    ``peak`` is the most MiB of all, shared pages counted once (PSS); ``largest`` the most of one of them (RSS).
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.peak = self.largest = 0.0

    def _pids(self) -> list[int]:
        pids = [self._pid]
        for pid in pids:
            with suppress(OSError):
                for task in Path(f"/proc/{pid}/task").iterdir():
                    pids += [int(child) for child in (task / "children").read_text().split()]
        return pids

    def cpu(self) -> float:
        """Return user and system seconds so far."""
        ticks = 0
        for pid in self._pids():
            with suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                ticks += int(fields[11]) + int(fields[12])
        return ticks / _TICK

    def watch(self, seconds: float) -> None:
        """Let time pass, and see what memory it takes."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            total = 0.0
            for pid in self._pids():
                with suppress(OSError):
                    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
                    sizes = {line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines[1:]}
                    total += sizes["Pss"]
                    self.largest = max(self.largest, sizes["Rss"])
            self.peak = max(self.peak, total)
            time.sleep(min(left, 3.0))


class Polls:
    """What the vendor saw: times of the polls of each sensor."""

    def __init__(self, port: int) -> None:
        self._base = f"http://127.0.0.1:{port}/-/"
        self.times: dict[str, list[float]] = defaultdict(list)

    def look(self) -> int:
        """Fetch the polls since the last time; return how many there were."""
        with urllib.request.urlopen(f"{self._base}take") as answer:
            taken = json.load(answer)
        for key, at in taken:
            self.times[key].append(at)
        return len(taken)

    def refuse(self) -> None:
        """Let the vendor answer 401 from now on, and forget the past."""
        urllib.request.urlopen(f"{self._base}status/401").close()
        self.look()
        self.times.clear()

    def gaps(self, since: float) -> list[float]:
        """Return seconds between two polls of one sensor, of all that ended since."""
        pairs = [pair for times in self.times.values() for pair in pairwise(times)]
        return sorted(after - before for before, after in pairs if after >= since)
