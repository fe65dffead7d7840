"""``usage-archive`` on an archive of seven million objects, each answer 50 ms away: ``python -m benchmarks.atsize``."""

from __future__ import annotations

import json
import os
import sys
import urllib.request

from benchmarks.archive import BUCKET, NAMES
from benchmarks.measure import Server, run

MONTH = ("--since", "2026-10-01", "--until", "2026-10-31")
YEAR = ("--since", "2025-11-01", "--until", "2026-10-30")
WORKS = {
    "`show DATE`, all series": ("show", "2026-10-17"),
    "`ls` of a month, all series": ("ls", *MONTH),
    "`ls` of a year, one series": ("ls", *YEAR, "--account", "team0042", "--stream", "users"),
}
HEAD = "| | seconds | CPU seconds | MiB | listings | manifests read |"
KEYS = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench", "AWS_CONFIG_FILE": "/nonexistent"}


def main() -> None:
    """Print a table of the docs."""
    print(f"{len(NAMES):,} objects\n\n{HEAD}\n{'|---' * 6}|")
    for name, (command, *arguments) in WORKS.items():
        with Server("archive") as server:
            url = f"http://127.0.0.1:{server.port}"
            line = [sys.executable, "-m", "airflow_usage_provider.cli", command, f"s3://{BUCKET}", *arguments]
            sample = run([*line, "--endpoint-url", url, "--region", "us-east-1"], os.environ | KEYS)
            with urllib.request.urlopen(f"{url}/requests") as answer:
                asked = json.load(answer)
        print(
            f"| {name} | {sample.wall:.1f} | {sample.cpu:.1f} | {sample.peak:.0f} | {asked.get('list', 0):,} "
            f"| {asked.get('get', 0):,} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
