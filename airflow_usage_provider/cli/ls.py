"""``usage-archive ls``: days, gaps included."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_usage_provider.archive.catalog import iter_catalog
from airflow_usage_provider.cli import words
from airflow_usage_provider.cli.choice import select
from airflow_usage_provider.cli.options import archive_options, as_of_options, days_options
from airflow_usage_provider.cli.terminal import print_line

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from airflow_usage_provider.archive.objects import Objects
    from airflow_usage_provider.cli.options import Commands


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "ls", parents=[archive_options(), days_options(), as_of_options()], help="list days and gaps"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.set_defaults(run=run)


def run(objects: Objects, options: argparse.Namespace) -> int:
    """List what was selected; 1 if a manifest cannot be read."""
    items = iter_catalog(objects, select(options), jobs=options.jobs, now=datetime.now(UTC))
    has_unreadable = False

    def records() -> Iterator[words.Record]:
        nonlocal has_unreadable
        for record in words.iter_days(objects, items, options.jobs, options.as_of):
            has_unreadable |= record["state"] == "unreadable"
            yield record

    for line in map(words.to_json, records()) if options.json else words.format_days(records()):
        print_line(line)
    return int(has_unreadable)
