"""What every contender in Python does around its work."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

SETTINGS: dict[str, Any] = json.loads(os.environ.get("BENCHMARK", "{}"))  # as benchmarks.works writes them


def warm_up() -> None:
    """Import what Airflow's S3 hook and lineage import when they are first used, so that it counts as imports."""
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook
    from airflow.sdk.lineage import get_hook_lineage_collector

    S3Hook().get_conn()
    get_hook_lineage_collector()


def measure(work: Callable[[], object]) -> None:
    """Do the work, then print what this process saw of itself; called when everything is imported."""
    imported, cpu, begun = _status("VmRSS"), time.process_time(), time.perf_counter()
    work()
    seen = {
        "work": time.perf_counter() - begun,
        "work_cpu": time.process_time() - cpu,
        "imported": imported,
        "peak": _status("VmHWM"),
    }
    sys.stdout.write("\n" + json.dumps(seen) + "\n")


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name + ":"))
