"""``usage-archive show``: the snapshots of one day, or the bytes of its answer."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from airflow_usage_provider.archive.catalog import find_part, read_current
from airflow_usage_provider.archive.parts import raw_chunks
from airflow_usage_provider.cli import words
from airflow_usage_provider.cli.choice import load_day, take_one
from airflow_usage_provider.cli.options import archive_options, day_options
from airflow_usage_provider.cli.terminal import print_line

if TYPE_CHECKING:
    import argparse

    from airflow_usage_provider.archive.objects import Objects
    from airflow_usage_provider.cli.options import Commands


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser("show", parents=[archive_options(), day_options()], help="show the snapshots of a day")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON object a line")
    form.add_argument("--cat", action="store_true", help="write the current answer of one stream to stdout")
    parser.set_defaults(run=run)


def run(objects: Objects, options: argparse.Namespace) -> int:
    """Show a day; 1 if a manifest cannot be read."""
    catalog = load_day(objects, options)
    if options.cat:
        day = take_one(catalog)
        for entry in read_current(objects, day).files:
            for chunk in raw_chunks(objects, find_part(objects, day, entry).name, entry):
                sys.stdout.buffer.write(chunk)
        return 0
    has_unreadable = False
    for day in catalog.days:
        if not options.json:
            print_line(words.describe_series([day]))
        for record in words.list_snapshots(objects, day):
            has_unreadable |= record.get("state") == "unreadable"
            print_line(words.to_json(record) if options.json else words.format_snapshot(record))
    return int(has_unreadable)
