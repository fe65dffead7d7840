"""
The UI's pages over a year of 50 accounts: ``python -m benchmarks.pages``.

The app is the real one, in a process of its own, and reads through a connection of Airflow's Amazon provider.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.filling import ARCHIVE, MONTH, MONTHS, copy_month, make_month
from benchmarks.measure import FailedRunError, Server

if TYPE_CHECKING:
    from collections.abc import Iterator

YEAR = MONTHS[-12:]
PAGES = {"Spend": "/?month={}", "Coverage": "/coverage?month={}"}
FIRST = YEAR[5]  # its pages read nothing that those of October read
HEAD = "| page | an answer takes | first of the process, s | cold, s | requests | warm, s | requests |"
ROUNDS = 5


@contextmanager
def serve_pages(port: int) -> Iterator[str]:
    """Run the app over the S3 server at a port; yield its address."""
    extra = {"endpoint_url": f"http://127.0.0.1:{port}", "region_name": "us-east-1"}
    connection = {"conn_type": "aws", "login": "bench", "password": "bench", "extra": extra}
    with tempfile.TemporaryDirectory(prefix="usage-pages-") as home:
        settings = {
            "AIRFLOW_HOME": home,
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__USAGE_PROVIDER__ARCHIVE_URL": ARCHIVE,
            "AIRFLOW_CONN_AWS_DEFAULT": json.dumps(connection),
        }
        command = [sys.executable, "-m", "benchmarks.tools.serve_pages"]
        with subprocess.Popen(command, env=os.environ | settings, stdout=subprocess.PIPE, text=True) as process:
            try:
                yield f"http://127.0.0.1:{int(process.stdout.readline() if process.stdout else 0)}"
            finally:
                process.kill()


def load(url: str) -> float:
    """Return the seconds a page takes, to its last byte."""
    begun = time.perf_counter()
    with urllib.request.urlopen(url) as answer:
        body = answer.read()
    if b"</html>" not in body:
        raise FailedRunError(f"{url} is no page")
    return time.perf_counter() - begun


def measure_page(folder: Path, path: str, latency: float) -> tuple[float, float, int, float, int]:
    """Return what the columns of the table say of a page."""

    def count() -> int:
        with urllib.request.urlopen(f"http://127.0.0.1:{store.port}/requests") as answer:
            return sum(json.load(answer).values())

    with Server("years", "--latency", latency, "--tables", folder) as store, serve_pages(store.port) as pages:
        first = load(pages + path.format(FIRST))
        before = count()
        cold = load(pages + path.format(MONTH))
        between = count()
        warm = median(load(pages + path.format(MONTH)) for _ in range(ROUNDS))
        return first, cold, between - before, warm, (count() - between) // ROUNDS


def main() -> None:
    """Print a table of the docs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=50)
    parser.add_argument("--latencies", type=float, nargs="+", default=[0.02, 0.05], help="seconds before each answer")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="usage-pages-") as place:
        folder = Path(place)
        make_month(folder, options.accounts, ("tables",), ("focus",))
        copy_month(folder, YEAR)
        print(f"{HEAD}\n{'|---' * 7}|")
        for latency in options.latencies:
            for name, path in PAGES.items():
                first, cold, read, warm, looked = measure_page(folder, path, latency)
                print(
                    f"| {name} | {latency * 1000:.0f} ms | {first:.2f} | {cold:.2f} | {read} | {warm:.2f} | {looked} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
