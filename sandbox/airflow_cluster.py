"""Airflow as a distributed deployment runs it, on this machine: PostgreSQL, Celery over Valkey, and every component a
process of its own, some of them twice, which can be killed and started again.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import defaultdict
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from airflow_usage_provider.testing.leash import Leash
from sandbox.airflow_standalone import AirflowStandalone
from sandbox.backends import Postgres, Valkey

if TYPE_CHECKING:
    from collections.abc import Mapping

COMMANDS = {
    "api-server": ("api-server",),
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
    "triggerer": ("triggerer", "--skip-serve-logs"),
    "worker": ("celery", "worker", "--skip-serve-logs", "--without-mingle", "--without-gossip"),
}
RECOVERY: dict[str, str] = {  # what is gone is noticed within seconds; docs/deployment/celery.md explains each
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "10",
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "15",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "30",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "5",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "4",
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "2",
}


@dataclass(frozen=True, slots=True)
class Cost:
    """What a component has cost: CPU seconds, with those of ended tasks, and memory now."""

    cpu_seconds: float
    megabytes: float


class AirflowCluster(AirflowStandalone):
    """A distributed Airflow, as a context manager: on entry it is healthy, on exit none of its processes is left.

    :param home: ``AIRFLOW_HOME`` of all components; their logs are in ``components`` below it.
    :param schedulers: how many of them; ``triggerers`` and ``workers`` likewise. They are named ``scheduler-1``, ...
    :param concurrency: tasks that a worker runs at once.
    :param policy: Python source of a cluster policy, for ``airflow_local_settings.py``.
    """

    def __init__(
        self,
        home: Path | str,
        *,
        env: Mapping[str, str] | None = None,
        python: Path | str = sys.executable,
        schedulers: int = 2,
        triggerers: int = 2,
        workers: int = 2,
        concurrency: int = 2,
        policy: str = "",
        timeout: float = 180.0,
    ) -> None:
        parallelism = workers * concurrency  # a task that waits in Celery's queue may be lost with a worker
        super().__init__(home, env=env, python=python, parallelism=parallelism, timeout=timeout)
        self.log = self.home / "components" / "api-server.log"
        self.concurrency = concurrency
        self.policy = policy
        self.postgres = Postgres()
        self.valkey = Valkey()
        counts = {"api-server": 1, "dag-processor": 1}
        counts |= {"scheduler": schedulers, "triggerer": triggerers, "worker": workers}
        self.components = [f"{kind}-{n}" for kind, count in counts.items() for n in range(1, count + 1)]
        self._backends = ExitStack()
        self._running: dict[str, tuple[subprocess.Popen[bytes], Leash]] = {}
        self._bereft: list[Leash] = []  # what a component left behind when only its parent was killed
        self._spent: defaultdict[str, float] = defaultdict(float)  # CPU seconds of what was killed

    def start(self) -> None:
        """Start everything and return once it is healthy."""
        self._prepare_home()
        for folder in ("components", "config"):
            (self.home / folder).mkdir(exist_ok=True)
        (self.home / "config" / "airflow_local_settings.py").write_text(self.policy)
        self._backends.enter_context(self.postgres)
        self._backends.enter_context(self.valkey)
        self.env |= {
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": self.postgres.uri(),
            "AIRFLOW__CELERY__BROKER_URL": self.valkey.uri(),
        }
        migration = self.run("db", "migrate")
        if migration.returncode:
            raise RuntimeError(f"The database was not made:\n{migration.stdout[-1000:]}{migration.stderr[-3000:]}")
        for name in self.components:
            self.launch(name)
        self._await_healthy()

    def stop(self, grace: float = 0.0) -> None:  # noqa: ARG002 - its database goes too: nothing to end gently for
        """Kill everything and remove the database."""
        leashes = [*self._bereft, *(leash for _, leash in self._running.values())]
        self._running.clear()
        self._bereft.clear()
        self._process = self._token = None
        for leash in leashes:
            leash.kill()
        self._backends.close()

    def launch(self, name: str) -> None:
        """Start a component, again after it was killed."""
        kind = name.rpartition("-")[0]
        arguments = [*COMMANDS[kind]]
        if kind == "worker":
            arguments += ["--celery-hostname", name, "--concurrency", str(self.concurrency)]
        process, leash = self._spawn(*arguments, log=self.home / "components" / f"{name}.log")
        self._running[name] = process, leash
        if kind == "api-server":
            self._process = process

    def kill(self, name: str) -> None:
        """SIGKILL a component and all it started, as when its machine is gone."""
        self._spent[name] = self.measure()[name].cpu_seconds
        _, leash = self._running.pop(name)
        leash.kill()

    def kill_parent(self, name: str) -> None:
        """SIGKILL a component's first process alone: the tasks of a worker run on."""
        self._spent[name] = self.measure()[name].cpu_seconds
        process, leash = self._running.pop(name)
        process.send_signal(signal.SIGKILL)
        process.wait()
        self._bereft.append(leash)

    def measure(self) -> dict[str, Cost]:
        """What each component has cost so far."""
        children = defaultdict(list)
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                children[process.ppid()].append(process)
        costs = {}
        for name in [*self.components, "postgres", "valkey"]:
            family = self._find_processes(name)
            for process in family:  # grows as it is walked
                family += children[process.pid]
            cpu = sum(_read_cpu_seconds(process) for process in family)
            costs[name] = Cost(self._spent[name] + cpu, sum(_read_megabytes(process) for process in family))
        return costs

    def logs(self) -> str:
        """What the components printed so far."""
        return "\n".join(
            f"== {path.stem}\n{path.read_text(errors='replace')[-3000:]}"
            for path in sorted((self.home / "components").glob("*.log"))
        )

    def _settings(self, port: int, log_ports: list[int], parallelism: int) -> dict[str, str]:
        return (
            super()._settings(port, log_ports, parallelism)
            | RECOVERY
            | {
                "AIRFLOW__CELERY__SYNC_PARALLELISM": "1",
                "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
            }
        )

    def _find_processes(self, name: str) -> list[psutil.Process]:
        """The first process of a component, if it runs."""
        pid = {"postgres": self.postgres.pid, "valkey": self.valkey.pid}.get(name)
        if name in self._running:
            pid = self._running[name][0].pid
        return [psutil.Process(pid)] if pid is not None and psutil.pid_exists(pid) else []


def _read_cpu_seconds(process: psutil.Process) -> float:
    try:
        return sum(process.cpu_times()[:4])  # with those of children that have ended
    except psutil.Error:
        return 0.0


def _read_megabytes(process: psutil.Process) -> float:
    try:
        return float(process.memory_full_info().pss) / 1e6  # what processes share is divided among them
    except psutil.Error:
        return 0.0
