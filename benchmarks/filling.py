"""Makes the tables of one month from the archive of :mod:`benchmarks.years`, and the other months as copies of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from benchmarks.archive import BUCKET
from benchmarks.measure import FailedRunError, Server

ARCHIVE = f"s3://{BUCKET}"
MONTH = "2026-10"
MONTHS = tuple(f"{month // 12}-{month % 12 + 1:02}" for month in range(2023 * 12 + 10, 2026 * 12 + 10))
KEYS = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench", "AWS_CONFIG_FILE": "/nonexistent"}


def make_month(folder: Path, accounts: int, *commands: tuple[str, ...]) -> None:
    """
    Run commands of ``usage-archive`` that write October into the folder, as fast as the server answers.

    :raises FailedRunError: one of them did not end well.
    """
    with Server("years", "--accounts", accounts, "--latency", 0, "--tables", folder) as server:
        place = ("--endpoint-url", f"http://127.0.0.1:{server.port}", "--region", "us-east-1", "--to", str(folder))
        for command, *arguments in commands:
            line = [sys.executable, "-m", "airflow_usage_provider.cli", command, ARCHIVE, "--month", MONTH]
            done = subprocess.run([*line, *arguments, *place], env=os.environ | KEYS, capture_output=True, check=False)
            if done.returncode:
                raise FailedRunError(f"usage-archive {command}\n{done.stderr.decode(errors='replace')[-3000:]}")


def copy_month(folder: Path, months: tuple[str, ...] = MONTHS) -> None:
    """Give the files of October the names of other months too."""
    for path in [*folder.rglob(f"*_month={MONTH}/*")]:
        for month in months:
            copy = path.parent.with_name(path.parent.name.replace(MONTH, month)) / path.name
            if copy != path:
                copy.parent.mkdir(exist_ok=True)
                copy.hardlink_to(path)
