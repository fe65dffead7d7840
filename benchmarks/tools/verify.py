"""``usage-archive verify`` on a folder."""

from __future__ import annotations

import sys

from airflow_usage_provider.archive import verify  # noqa: F401 - as the command does when it is used
from airflow_usage_provider.cli import main
from benchmarks.tools.stopwatch import SETTINGS, measure


def work() -> None:
    if main(["verify", SETTINGS["folder"]]):
        sys.exit("the archive was found wanting")


measure(work)
