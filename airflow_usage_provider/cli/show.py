"""``usage-archive show``: the snapshots of one day, or the bytes of one of its answers."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from airflow_usage_provider.archive.catalog import find_part, read_answer
from airflow_usage_provider.archive.parallel import map_in_order
from airflow_usage_provider.archive.parts import raw_chunks
from airflow_usage_provider.cli import words
from airflow_usage_provider.cli.choice import find_revision, load_day, take_one
from airflow_usage_provider.cli.options import archive_options, as_of_options, day_options
from airflow_usage_provider.cli.terminal import print_line
from airflow_usage_provider.exceptions import ConfigurationError

if TYPE_CHECKING:
    import argparse

    from airflow_usage_provider.archive.catalog import Day
    from airflow_usage_provider.archive.objects import Objects
    from airflow_usage_provider.cli.options import Commands


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "show", parents=[archive_options(), day_options(), as_of_options()], help="show the snapshots of a day"
    )
    parser.add_argument(
        "--revision", metavar="REV", help="with --cat: another answer, by revision number or snapshot id"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON object a line")
    form.add_argument("--cat", action="store_true", help="write the current answer of one stream to stdout")
    parser.set_defaults(run=run)


def run(objects: Objects, options: argparse.Namespace) -> int:
    """Show a day; 1 if a manifest cannot be read."""
    if options.revision and not options.cat:
        raise ConfigurationError("--revision goes with --cat", next_step="Without it, show lists every revision.")
    days = [day for day in load_day(objects, options).days if day.manifests]
    if options.cat:
        return _cat(objects, take_one(days), options)
    all_records = map_in_order(lambda day: words.list_snapshots(objects, day, options.as_of), days, options.jobs)
    states = set()
    for day, records in zip(days, all_records, strict=True):
        if records and not options.json:
            print_line(words.describe_series([day]))
        for record in records:
            states.add(record["state"])
            print_line(words.to_json(record) if options.json else words.format_snapshot(record))
    if not states:
        raise _describe_unknown(options)
    return int("unreadable" in states)


def _cat(objects: Objects, day: Day, options: argparse.Namespace) -> int:
    answer = (
        find_revision(objects, day, options.revision, options.as_of)
        if options.revision
        else read_answer(objects, day, options.as_of)
    )
    if answer is None:
        raise _describe_unknown(options)
    for entry in answer.files:
        for chunk in raw_chunks(objects, find_part(objects, day, entry).name, entry):
            sys.stdout.buffer.write(chunk)
    return 0


def _describe_unknown(options: argparse.Namespace) -> ConfigurationError:
    when = options.as_of.isoformat(timespec="seconds")
    step = "Ask for a later time, or leave out --as-of to see when its snapshots came."
    return ConfigurationError(f"Nothing was known of {options.date} as of {when}", next_step=step)
