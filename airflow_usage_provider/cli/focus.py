"""``usage-archive focus``: a month's charges in the columns of the FOCUS specification."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_usage_provider.cli.month import month_options, narrow, open_shelf, read_month
from airflow_usage_provider.cli.options import archive_options
from airflow_usage_provider.cli.terminal import print_line, printable
from airflow_usage_provider.tables.focus import VERSIONS
from airflow_usage_provider.tables.focusfiles import FORMATS, write_focus

if TYPE_CHECKING:
    import argparse

    from airflow_usage_provider.archive.objects import Objects
    from airflow_usage_provider.cli.options import Commands


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "focus", parents=[archive_options(), month_options()], help="write a month's charges as FOCUS"
    )
    parser.add_argument("--to", metavar="URL|FOLDER", help="where to (default: tables/ in the archive)")
    parser.add_argument("--spec", choices=VERSIONS, default=VERSIONS[0], help="version (default %(default)s)")
    parser.add_argument("--format", choices=FORMATS, default=FORMATS[0], help="of the files (default %(default)s)")
    parser.add_argument("--names", action="store_true", help="write principals' names too, which are personal data")
    parser.set_defaults(run=run)


def run(objects: Objects, options: argparse.Namespace) -> int:
    """Write the month, and print what was written with its totals."""
    with open_shelf(options, options.to or f"{options.archive.rstrip('/')}/tables") as shelf:
        files = write_focus(
            objects,
            read_month(options),
            shelf,
            spec=options.spec,
            file_format=options.format,
            names=options.names,
            selection=narrow(options),
            as_of=options.as_of,
        )
        for file in files:
            totals = ", ".join(f"{total:f} {currency}" for currency, total in sorted(file.totals.items()))
            print_line(printable(f"{shelf.uri(file.name)}  {file.rows:,} rows  {totals or 'no charges'}"))
    return 0
