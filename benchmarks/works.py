"""The rows of the table: what is to be done, who does it, and in which surroundings. Ours comes first in each."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from typing import Any

MB = 1_000_000
ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
PACKAGE = Path(find_spec("airflow_usage_provider").origin).parent  # type: ignore[union-attr, arg-type]


@dataclass(frozen=True, slots=True)
class Tool:
    """
    One contender.

    :param command: module of ``benchmarks.tools`` with its arguments, or a line for the shell.
    :param needs: modules and executables it does not work without.
    :param options: of our operator.
    """

    name: str
    command: str
    needs: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    is_shell: bool = False

    def missing(self) -> list[str]:
        """Return what is not installed of what it needs."""
        return [name for name in self.needs if not (which(name) or which(name, path=BIN) or _is_module(name))]

    def arguments(self) -> list[str]:
        """Return the command to run."""
        if self.is_shell:
            return ["bash", "-o", "pipefail", "-c", self.command]
        module, *arguments = self.command.split()
        return [sys.executable, "-m", f"benchmarks.tools.{module}", *arguments]


def _is_module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


@dataclass(frozen=True, slots=True)
class Work:
    """
    One thing to do.

    :param kind: ``export``, ``users``, ``verify``, ``tables`` or ``parse``: what is counted, and how it is checked.
    :param tools: who does it.
    :param limits: arguments of source and of sink.
    """

    name: str
    title: str
    kind: str
    tools: tuple[Tool, ...]
    limits: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    is_tls: bool = False


_HTTP = "airflow.providers.http"
_CURL = 'curl -sSf "$FILE_URL"'
_AWS = "aws s3 cp --only-show-errors - s3://archive/bench/export.csv"
_PLAIN = {"compression": "none"}
_S3_LIKE = {"source": ("--rate", 90 * MB, "--latency", 0.03), "sink": ("--rate", 40 * MB, "--latency", 0.03)}
_SLOW_PAGES = {"source": ("--latency", 0.05)}

OURS = Tool("ours", "ours", options=_PLAIN)
CORE = Tool("ours, without Airflow", "ours core", options=_PLAIN)
HTTP_TO_S3 = Tool("HttpToS3Operator", "http_to_s3", (_HTTP,))
COPIES = (
    Tool("requests + upload_fileobj", "requests_boto3"),
    Tool("the same, hashed and counted as ours", "requests_boto3 checked"),
    Tool("boto3, 4 × 8 MiB buffers", "boto3_parts"),
    Tool("obstore", "obstore_copy", ("obstore",)),
    Tool("curl | aws s3 cp", f"{_CURL} | {_AWS}", ("curl", "aws"), is_shell=True),
)
RCLONE = Tool("rclone copyurl", 'rclone copyurl "$FILE_URL" :s3:archive/bench/export.csv', ("rclone",), is_shell=True)
SPLICE = Tool("splice (the limit)", "splice_copy")
ZIPPERS = (
    Tool("requests + gzip 6 + upload_fileobj", "requests_boto3 gzip"),
    Tool("curl | gzip -6 | aws s3 cp", f"{_CURL} | gzip -6 | {_AWS}", ("curl", "gzip", "aws"), is_shell=True),
    Tool("curl | igzip -1 | aws s3 cp", f"{_CURL} | igzip -1 | {_AWS}", ("curl", "igzip", "aws"), is_shell=True),
)
USERS = Tool("ours", "ours")
LISTERS = (
    USERS,
    Tool("ours, 8 pages in flight", "ours", options={"pages_in_flight": 8}),
    Tool("ours, read once", "ours", options={"verify_pages": False}),
    Tool("HttpOperator + S3Hook", "http_operator", (_HTTP,)),
    Tool("requests loop", "requests_users 1"),
    Tool("requests, 8 threads", "requests_users 8"),
    Tool("dlt rest_api", "dlt_users", ("dlt", "s3fs")),
)
PARSERS = (
    *(Tool(f"ours, {path.name}", f"parse_dag {path}") for path in sorted((ROOT / "dags").glob("*.py"))),
    Tool("ours, provider info", f"parse_dag {PACKAGE}/get_provider_info.py"),
    Tool("trivial DAG", f"parse_dag {ROOT}/benchmarks/dags/trivial.py"),
    Tool("HttpToS3Operator + HttpOperator", f"parse_dag {ROOT}/benchmarks/dags/http.py", (_HTTP,)),
)
_PARTS = 'find "$FOLDER" -name "*.csv" -print0 | xargs -0'
HASHERS = (
    Tool("ours, usage-archive verify", "verify"),
    Tool("sha256sum", f"{_PARTS} sha256sum", ("sha256sum",), is_shell=True),
    Tool("sha256sum, 2 at a time", f"{_PARTS} -n 10 -P 2 sha256sum", ("sha256sum",), is_shell=True),
)
BUILDERS = (
    Tool("ours, usage-archive tables", "build_tables ours", ("pyarrow",)),
    *(Tool(name, f"build_tables {name}", ("pyarrow", name)) for name in ("pyarrow", "pandas", "polars", "duckdb")),
)
WORKS = {
    work.name: work
    for work in (
        Work("export", "export, stored as is", "export", (OURS, CORE, HTTP_TO_S3, *COPIES, RCLONE, SPLICE)),
        Work("export-tls", "export, TLS on both sides", "export", (OURS, CORE, HTTP_TO_S3, *COPIES), is_tls=True),
        Work("export-s3like", "export, GET 90 MB/s, PUT 40 MB/s, 30 ms", "export", (OURS, *COPIES), _S3_LIKE),
        Work("export-gzip", "export, stored as gzip", "export", (Tool("ours", "ours"), *ZIPPERS)),
        Work("users", "users, 1,000 a page, 50 ms a page", "users", LISTERS, _SLOW_PAGES),
        Work("parse", "DAG parse, after import airflow.sdk", "parse", PARSERS),
        Work("verify", "checking an archive in a folder", "verify", HASHERS),
        Work("tables", "a month of an archive as typed Parquet", "tables", BUILDERS),
    )
}
