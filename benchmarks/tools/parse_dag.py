"""Parses a DAG file as Airflow does, after ``import airflow.sdk``; of a provider info, builds it."""

from __future__ import annotations

import runpy
import sys

if "get_provider_info" not in sys.argv[1]:
    import airflow.sdk  # noqa: F401

from benchmarks.tools.stopwatch import measure


def work() -> None:
    found = runpy.run_path(sys.argv[1])
    if "get_provider_info" in found:
        found["get_provider_info"]()


measure(work)
