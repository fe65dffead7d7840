"""``usage-archive verify``: every manifest and hash."""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_usage_provider.archive.verify import verify_archive
from airflow_usage_provider.cli.choice import select
from airflow_usage_provider.cli.findings import describe_totals, print_findings
from airflow_usage_provider.cli.options import archive_options, days_options
from airflow_usage_provider.cli.terminal import print_line
from airflow_usage_provider.cli.words import count

if TYPE_CHECKING:
    import argparse

    from airflow_usage_provider.archive.objects import Objects
    from airflow_usage_provider.cli.options import Commands


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "verify", parents=[archive_options(), days_options()], help="check every manifest and hash"
    )
    parser.add_argument("--fail-on-gaps", action="store_true", help="a day without a snapshot is a finding")
    parser.set_defaults(run=run)


def run(objects: Objects, options: argparse.Namespace) -> int:
    """Check everything selected; 1 if there are findings."""
    started = time.monotonic()
    totals: Counter[str] = Counter()
    reports = verify_archive(objects, select(options), now=datetime.now(UTC), jobs=options.jobs)
    for _ in print_findings(objects, reports, totals, fail_on_gaps=options.fail_on_gaps):
        pass
    seconds = time.monotonic() - started
    found = f"{count(totals['finding'], 'finding')}, {count(totals['note'], 'note')}"
    print_line(f"{describe_totals(totals)}, {seconds:.1f} s: {found}")
    return int(totals["finding"] > 0)
