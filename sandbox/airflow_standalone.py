"""A whole Airflow on this machine: ``airflow standalone`` on free ports of 127.0.0.1, with a home of its own.

It imports nothing of Airflow; the Python it is given must have it.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from airflow_usage_provider.testing.leash import Leash
from airflow_usage_provider.testing.s3 import find_free_ports

if TYPE_CHECKING:
    from collections.abc import Mapping

COMPONENTS = ("metadatabase", "scheduler", "dag_processor", "triggerer")
QUICK: dict[str, str] = {  # how long Airflow sleeps between two looks, in seconds; its defaults suit servers
    "AIRFLOW__DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": "1",
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
    "AIRFLOW__SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL": "2",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
}


class ApiError(RuntimeError):
    """The REST API answered with a status that is not 2xx."""

    def __init__(self, call: str, status: int, body: str) -> None:
        super().__init__(f"{call} answered {status}: {body[:2000]}")
        self.status = status


class AirflowStandalone:
    """One Airflow, as a context manager: on entry it is healthy, on exit none of its processes is left.

    :param home: ``AIRFLOW_HOME``, created when missing; the database, the logs and ``standalone.log`` are in it.
    :param env: further environment of all its processes; wins over what is set here.
    :param python: the Python that has Airflow.
    :param parallelism: how many tasks run at once.
    :param timeout: seconds within which it must be healthy.
    :raises RuntimeError: it is not; with the end of its log.
    """

    def __init__(
        self,
        home: Path | str,
        *,
        env: Mapping[str, str] | None = None,
        python: Path | str = sys.executable,
        parallelism: int = 4,
        timeout: float = 180.0,
    ) -> None:
        self.home = Path(home).absolute()
        self.log = self.home / "standalone.log"
        self.python = Path(python).absolute()
        self.username = "admin"
        self.password = secrets.token_urlsafe(9)
        self.timeout = timeout
        port, *log_ports = find_free_ports(3)
        self.url = f"http://127.0.0.1:{port}"
        self.env = _inherit_environment(self.python) | self._settings(port, log_ports, parallelism) | dict(env or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._leash: Leash | None = None
        self._token: str | None = None
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it and return once every component is healthy."""
        self._prepare_home()
        self._process, self._leash = self._spawn("standalone", log=self.log)
        self._await_healthy()

    def stop(self, grace: float = 5.0) -> None:
        """End it and all it started: asked first, killed after ``grace`` seconds."""
        leash, self._leash, self._process, self._token = self._leash, None, None, None
        if leash is not None:
            leash.end(grace)

    def run(self, *arguments: str, timeout: float = 120.0) -> subprocess.CompletedProcess[str]:
        """Run Airflow's command line with these arguments, such as ``"dags", "list"``; a few seconds each."""
        return subprocess.run(
            [str(self.python), "-m", "airflow", *arguments],
            cwd=self.home,
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def api(self, method: str, path: str, json: Any = None) -> Any:
        """Ask the REST API as admin and return the parsed answer, None if there is none.

        :param path: from the root, such as ``/api/v2/dags?limit=10``.
        :raises ApiError: the status is not 2xx.
        """
        if self._token is None:
            login = {"username": self.username, "password": self.password}
            self._token = self._ask("POST", "/auth/token", login)["access_token"]
        return self._ask(method, path, json)

    def logs(self) -> str:
        """What the components printed so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def _prepare_home(self) -> None:
        (self.home / "dags").mkdir(parents=True, exist_ok=True)
        passwords = self.home / "simple_auth_manager_passwords.json.generated"
        passwords.touch(0o600)
        passwords.write_text(json.dumps({self.username: self.password}) + "\n")

    def _spawn(self, *arguments: str, log: Path) -> tuple[subprocess.Popen[bytes], Leash]:
        """Start Airflow's command line with these arguments, on a leash."""
        with log.open("ab") as output:
            process = subprocess.Popen(
                [str(self.python), "-m", "airflow", *arguments],
                cwd=self.home,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return process, Leash(process)

    def _ask(self, method: str, path: str, document: Any = None) -> Any:
        request = urllib.request.Request(self.url + path, method=method)
        request.add_header("Accept", "application/json")
        if self._token is not None:
            request.add_header("Authorization", f"Bearer {self._token}")
        if document is not None:
            request.add_header("Content-Type", "application/json")
            request.data = json.dumps(document).encode()
        try:
            with self._opener.open(request, timeout=60) as response:
                body = response.read()
        except urllib.error.HTTPError as error:
            raise ApiError(f"{method} {path}", error.code, error.read().decode(errors="replace")) from None
        return json.loads(body) if body else None

    def _await_healthy(self) -> None:
        deadline = time.monotonic() + self.timeout
        while not self._is_healthy():
            if self._process is None or self._process.poll() is not None or time.monotonic() > deadline:
                end = "\n".join(self.logs().splitlines()[-40:])
                raise RuntimeError(f"Airflow did not start within {self.timeout:g} s; the end of {self.log}:\n{end}")
            time.sleep(0.25)

    def _is_healthy(self) -> bool:
        try:
            health = self._ask("GET", "/api/v2/monitor/health")
        except (OSError, ApiError, ValueError):
            return False
        return all((health.get(name) or {}).get("status") == "healthy" for name in COMPONENTS)

    def _settings(self, port: int, log_ports: list[int], parallelism: int) -> dict[str, str]:
        worker_log_port, triggerer_log_port = log_ports
        return QUICK | {
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(port),
            "AIRFLOW__API__SECRET_KEY": secrets.token_hex(16),
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.home / "dags"),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PARALLELISM": str(parallelism),
            # On a busy machine others may hold SQLite's only lock for longer than the 5 s that are its default:
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.home / 'airflow.db'}?timeout=30",
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(self.home / "logs"),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(triggerer_log_port),
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(worker_log_port),
            "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",  # the same: a task whose start is not answered has failed
        }


def _inherit_environment(python: Path) -> dict[str, str]:
    """This process's environment without another Airflow's settings; loopback goes around any proxy."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "_AIRFLOW"))}
    direct = ",".join(filter(None, [os.environ.get("NO_PROXY"), "127.0.0.1", "localhost"]))
    return kept | {
        "PATH": os.pathsep.join([str(python.parent), kept.get("PATH", "")]),  # standalone calls `airflow`
        "NO_PROXY": direct,
        "no_proxy": direct,
        "NO_COLOR": "1",
        "PYTHONUNBUFFERED": "1",
    }
