"""How many waiting sensors one triggerer carries: ``python -m benchmarks.triggerer``.

A real ``airflow triggerer`` on a database of its own, in which a scheduler and workers seem to have deferred the
sensors; ours against the trigger of Airflow's HTTP sensor, a poll a minute each. Nothing else of Airflow runs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.measure import FailedRunError, Server
from benchmarks.report import describe_machine
from benchmarks.works import BIN, ROOT

POLL_SECONDS = 60.0
LATE = POLL_SECONDS * 1.1 + 1.0
KINDS = {"idle": "no sensor", "ours": "ours", "http": "HttpSensorTrigger"}
_TICK = os.sysconf("SC_CLK_TCK")
_REFUSED_SECONDS = 20.0
_DEADLINE = 900.0  # seconds until all must have been polled


class Home:
    """An AIRFLOW_HOME with a database that holds the waiting sensors."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        host = f"http://127.0.0.1:{port}"
        extra = {"requests_per_minute": 0, "allow_insecure_download": True, "allow_private_download": True}
        ours = {"conn_type": "langdock", "host": host, "password": "bench", "extra": extra}
        kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        self._environment = {
            **kept,
            "PATH": f"{BIN}:{kept['PATH']}",
            "PYTHONPATH": str(ROOT),
            "AIRFLOW_HOME": str(folder),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW_CONN_BENCH": json.dumps(ours),
            "AIRFLOW_CONN_HTTP_BENCH": json.dumps({"conn_type": "http", "host": host}),
        }

    def call(self, *command: str) -> None:
        """Run a command of Airflow to its end."""
        done = subprocess.run(command, env=self._environment, cwd=self.folder, capture_output=True, check=False)
        if done.returncode:
            raise FailedRunError(f"{' '.join(command)}\n{done.stderr.decode(errors='replace')[-3000:]}")

    def prepare(self) -> None:
        """Make the database and make the DAG known."""
        (self.folder / "dags").mkdir()
        shutil.copy(ROOT / "benchmarks/dags/waiting.py", self.folder / "dags")
        self.call("airflow", "db", "migrate")
        self.call("airflow", "dags", "reserialize")
        shutil.copy(self.folder / "airflow.db", self.folder / "prepared.db")

    def fill(self, kind: str, count: int) -> None:
        """Let sensors wait, and nothing else."""
        shutil.rmtree(self.folder / "logs", ignore_errors=True)
        for path in self.folder.glob("airflow.db*"):
            path.unlink()
        shutil.copy(self.folder / "prepared.db", self.folder / "airflow.db")
        if count:
            self.call(sys.executable, "-m", "benchmarks.tools.defer_sensors", kind, str(count))

    @contextmanager
    def triggerer(self, count: int) -> Iterator[int]:
        """Start a triggerer; yield its process id."""
        command = ("airflow", "triggerer", "--capacity", str(max(count, 1)), "--skip-serve-logs")
        with (self.folder / "triggerer.log").open("wb") as log:
            process = subprocess.Popen(
                command, env=self._environment, cwd=self.folder, stdout=log, stderr=log, start_new_session=True
            )
            try:
                yield process.pid
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(20)
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def started(self) -> float:
        """Return when the last trigger began to run: it opens its log then."""
        return max((path.stat().st_mtime for path in self.folder.glob("logs/*/*/*/map_index=*")), default=0.0)

    def ended(self) -> int:
        """Return how many sensors do not wait any more."""
        with closing(sqlite3.connect(self.folder / "airflow.db")) as database:
            (count,) = database.execute("SELECT count(*) FROM task_instance WHERE state = 'scheduled'").fetchone()
        return int(count)


class Tree:
    """CPU and memory of a process and its descendants."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.peak = 0.0

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
        """Let time pass, and see what memory it takes: shared pages count once (PSS)."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            kilobytes = 0
            for pid in self._pids():
                with suppress(OSError):
                    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
                    kilobytes += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
            self.peak = max(self.peak, kilobytes / 1024)
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


def measure(kind: str, count: int, window: float, home: Home, polls: Polls) -> dict[str, Any]:
    """Let one triggerer carry the sensors; return what it took."""
    begun = time.time()
    with home.triggerer(count) as pid:
        tree = Tree(pid)
        if kind == "idle":
            tree.watch(20.0)
            return {"memory": tree.peak, **_cpu(tree, window=20.0)}
        while len(polls.times) < count and time.time() - begun < _DEADLINE:
            tree.watch(2.0)
            polls.look()
        if len(polls.times) < count:
            raise FailedRunError(f"only {len(polls.times)} of {count} were polled")
        since = time.time()
        facts = {
            "started": home.started() - begun,
            "polled": max(times[0] for times in polls.times.values()) - begun,
            **_cpu(tree, window),
        }
        polls.look()
        gaps = polls.gaps(since)
        facts["polls_per_second"] = len(gaps) / window
        facts |= {"median": median(gaps), "p99": gaps[int(len(gaps) * 0.99)], "late": _late(gaps), "memory": tree.peak}
        polls.refuse()
        tree.watch(_REFUSED_SECONDS)
        refused = polls.look()
        facts["refused_per_second"] = refused / _REFUSED_SECONDS
        facts["refused_most"] = max(map(len, polls.times.values()), default=0)
        time.sleep(5.0)  # events are on their way to the database
        facts["refused_ended"] = home.ended()
        facts["refused"] = refused + polls.look()
        return facts


def _cpu(tree: Tree, window: float) -> dict[str, float]:
    before, begun = tree.cpu(), time.monotonic()
    tree.watch(window)
    return {"cpu": (tree.cpu() - before) / (time.monotonic() - begun)}


def _late(gaps: list[float]) -> float:
    return sum(gap > LATE for gap in gaps) / len(gaps)


def run(kinds: list[str], count: int, window: float) -> dict[str, Any]:
    """Measure the contenders one after the other, each on the same prepared database."""
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        Home(Path(folder), 0).prepare()
        for kind in kinds:
            with Server("polls") as server:
                home = Home(Path(folder), server.port)
                home.fill(kind, 0 if kind == "idle" else count)
                results[kind] = {"load": os.getloadavg()[0], **measure(kind, count, window, home, Polls(server.port))}
                print(f"{kind}: {json.dumps(results[kind])}", file=sys.stderr, flush=True)
    return results


def format_results(results: dict[str, Any], count: int) -> str:
    """Return the table as Markdown."""
    head = (
        f"**{count:,} waiting sensors in one triggerer, a poll a minute each**\n\n"
        "| trigger | all run after, s | all polled after, s | memory (PSS), MiB | CPU, % of a core "
        "| between two polls: median, p99, s | late polls | on 401: polls/s, most of one sensor |\n"
        "|---|---|---|---|---|---|---|---|\n"
    )
    rows = []
    for kind, facts in results.items():
        cells = [KINDS[kind], "", "", f"{facts['memory']:.0f}", f"{100 * facts['cpu']:.1f}", "", "", ""]
        if kind != "idle":
            cells[1:3] = f"{facts['started']:.0f}", f"{facts['polled']:.0f}"
            cells[5:7] = f"{facts['median']:.1f}, {facts['p99']:.1f}", f"{100 * facts['late']:.1f} %"
            cells[7] = f"{facts['refused_per_second']:.0f}, {facts['refused_most']}"
        rows.append(f"| {' | '.join(cells)} |\n")
    return head + "".join(rows)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.triggerer", description=__doc__)
    parser.add_argument("--sensors", type=int, default=1000, help="so many wait (%(default)s)")
    parser.add_argument("--window", type=float, default=150.0, help="seconds that are measured (%(default)s)")
    parser.add_argument("--kinds", default=",".join(KINDS), help="some of %(default)s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
    options = parser.parse_args()
    results = run(options.kinds.split(","), options.sensors, options.window)
    print(f"{describe_machine()}\n\n{format_results(results, options.sensors)}")
    if options.json:
        options.json.write_text(json.dumps({"sensors": options.sensors, **results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
