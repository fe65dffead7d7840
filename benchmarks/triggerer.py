"""How many waiting sensors one triggerer carries: ``python -m benchmarks.triggerer``.

A real ``airflow triggerer`` on a database of its own, in which a scheduler and workers seem to have deferred the
sensors; ours against the trigger of Airflow's HTTP sensor, a poll a minute each. Nothing else of Airflow runs.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.measure import FailedRunError, Server
from benchmarks.report import describe_machine
from benchmarks.watching import Polls, Tree
from benchmarks.works import BIN, ROOT

POLL_SECONDS = 60.0
LATE = POLL_SECONDS * 1.1 + 1.0
KINDS = {"idle": "none", "sleep": "DateTimeTrigger: only sleeps", "ours": "ours", "http": "HttpSensorTrigger"}
POLLING = ("ours", "http")
_OWN = re.compile("_proxy$|_CA_BUNDLE$|^SSL_CERT_", re.IGNORECASE)  # of this machine
_REFUSED_SECONDS = 20.0  # counted when all have had time to be refused once
_DEADLINE = 900.0  # seconds until all must have been polled


class Home:
    """An AIRFLOW_HOME with a database that holds the waiting sensors."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        host = f"http://127.0.0.1:{port}"
        extra = {"requests_per_minute": 0, "allow_insecure_download": True, "allow_private_download": True}
        ours = {"conn_type": "langdock", "host": host, "password": "bench", "extra": extra}
        kept = {name: value for name, value in os.environ.items() if not _OWN.search(name)}
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

    def begun(self) -> tuple[int, float]:
        """Return how many triggers began to run, and when the last: each opens its log then."""
        times = [path.stat().st_mtime for path in self.folder.glob("logs/*/*/*/map_index=*")]
        return len(times), max(times, default=time.time())

    def ended(self) -> int:
        """Return how many sensors do not wait any more."""
        with closing(sqlite3.connect(self.folder / "airflow.db")) as database:
            (count,) = database.execute("SELECT count(*) FROM task_instance WHERE state = 'scheduled'").fetchone()
        return int(count)


def measure(kind: str, count: int, window: float, home: Home, polls: Polls) -> dict[str, Any]:
    """Let one triggerer carry the sensors; return what it took."""
    begun = time.time()
    with home.triggerer(count) as pid:
        tree = Tree(pid)
        if kind not in POLLING:
            while home.begun()[0] < count:
                tree.watch(2.0)
            tree.watch(20.0)
            return {"started": home.begun()[1] - begun, **_take(tree, min(window, 60.0))}
        while len(polls.times) < count and time.time() - begun < _DEADLINE:
            tree.watch(2.0)
            polls.look()
        if len(polls.times) < count:
            raise FailedRunError(f"only {len(polls.times)} of {count} were polled")
        since = time.time()
        facts = {
            "started": home.begun()[1] - begun,
            "polled": max(times[0] for times in polls.times.values()) - begun,
            **_take(tree, window),
        }
        polls.look()
        gaps = polls.gaps(since)
        facts["polls_per_second"] = len(gaps) / window
        facts |= {"median": median(gaps), "p99": gaps[int(len(gaps) * 0.99)], "late": _late(gaps)}
        return facts | _refuse(home, polls)


def _take(tree: Tree, window: float) -> dict[str, float]:
    """Return the share of a core during the window, and the most MiB until now."""
    before, begun = tree.cpu(), time.monotonic()
    tree.watch(window)
    cpu = (tree.cpu() - before) / (time.monotonic() - begun)
    return {"cpu": cpu, "memory": tree.peak, "largest": tree.largest}


def _refuse(home: Home, polls: Polls) -> dict[str, float]:
    """Let the vendor refuse all; return how many polls there are still when all have been refused once."""
    polls.refuse()
    time.sleep(LATE)
    polls.look()
    time.sleep(_REFUSED_SECONDS)
    rate = polls.look() / _REFUSED_SECONDS
    most = max(map(len, polls.times.values()), default=0)
    return {"refused_per_second": rate, "refused_most": most, "ended": home.ended()}


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
                sensors = 0 if kind == "idle" else count
                home.fill(kind, sensors)
                facts = measure(kind, sensors, window, home, Polls(server.port))
                results[kind] = {"load": os.getloadavg()[0], **facts}
                print(f"{kind}: {json.dumps(results[kind])}", file=sys.stderr, flush=True)
    return results


def format_results(results: dict[str, Any], count: int) -> str:
    """Return the table as Markdown."""
    head = (
        f"**{count:,} waiting sensors in one triggerer, a poll a minute each**\n\n"
        "| trigger | all run after, s | all polled after, s | memory, MiB, largest process | CPU, % of a core "
        "| between two polls: median, p99, s | late polls | after a 401: polls/s, sensors that ended |\n"
        "|---|---|---|---|---|---|---|---|\n"
    )
    rows = []
    for kind, facts in results.items():
        memory = f"{facts['memory']:.0f}, {facts['largest']:.0f}"
        cells = [KINDS[kind], "", "", memory, f"{100 * facts['cpu']:.1f}", "", "", ""]
        if kind != "idle":
            cells[1] = f"{facts['started']:.0f}"
        if kind in POLLING:
            cells[2] = f"{facts['polled']:.0f}"
            cells[5:7] = f"{facts['median']:.1f}, {facts['p99']:.1f}", f"{100 * facts['late']:.1f} %"
            cells[7] = f"{facts['refused_per_second']:.0f}, {facts['ended']:,}"
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
