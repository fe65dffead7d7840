"""``usage-archive verify``: every manifest and hash."""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_usage_provider.archive.catalog import load_catalog
from airflow_usage_provider.archive.verify import verify_archive
from airflow_usage_provider.cli.choice import select
from airflow_usage_provider.cli.options import archive_options, days_options
from airflow_usage_provider.cli.terminal import Progress, print_line
from airflow_usage_provider.cli.words import count, printable

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
    catalog = load_catalog(objects, select(options))
    progress = Progress(sum(day.bytes for day in catalog.days))
    findings: Counter[bool] = Counter()
    totals: Counter[str] = Counter()
    for each in verify_archive(objects, catalog, now=datetime.now(UTC), jobs=options.jobs):
        for finding in each.findings:
            is_failure = finding.is_failure or (options.fail_on_gaps and finding.kind == "gap")
            findings[is_failure] += 1
            progress.clear()
            where = printable(objects.uri(finding.name))
            problem = printable(f"{finding.problem}. {finding.step}")
            print_line(f"{'FINDING' if is_failure else 'NOTE'} {finding.kind}: {where} {problem}")
        totals.update(snapshot=each.snapshots, object=each.objects, byte=each.bytes)
        progress.show(totals["byte"])
    progress.clear()
    read = ", ".join(count(totals[noun], noun) for noun in ("snapshot", "object", "byte"))
    seconds = time.monotonic() - started
    print_line(f"{read}, {seconds:.1f} s: {count(findings[True], 'finding')}, {count(findings[False], 'note')}")
    return int(findings[True] > 0)
