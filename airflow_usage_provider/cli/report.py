"""``usage-archive report``: a month on one page."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_usage_provider.cli.month import month_options, open_shelf, read_month, read_text
from airflow_usage_provider.cli.options import archive_options, parse_as_of
from airflow_usage_provider.cli.terminal import tell
from airflow_usage_provider.tables.owners import Owners, parse_owners
from airflow_usage_provider.tables.report import gather_report, render_report
from airflow_usage_provider.tables.shelf import put_bytes

if TYPE_CHECKING:
    import argparse

    from airflow_usage_provider.archive.objects import Objects
    from airflow_usage_provider.cli.options import Commands


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "report",
        parents=[archive_options(), month_options()],
        help="write a month on one page of HTML",
        description="Write a month of all vendors and accounts on one page of HTML, which needs no network.",
    )
    parser.add_argument("-o", "--output", metavar="FILE|URL", required=True, help="where to")
    parser.add_argument("--owners", metavar="FILE|URL", help="CSV of who pays for which principal")
    parser.add_argument("--since", metavar="TIME", type=parse_as_of, help="tell what was revised since the close then")
    parser.set_defaults(run=run)


def run(objects: Objects, options: argparse.Namespace) -> int:
    """Write the page."""
    month = read_month(options)
    owners = parse_owners(read_text(options, options.owners)) if options.owners else Owners()
    report = gather_report(
        objects, month, owners=owners, now=datetime.now(UTC), as_of=options.as_of, since=options.since
    )
    folder, _, name = options.output.rpartition("/")
    with open_shelf(options, folder or ".") as shelf:
        put_bytes(shelf, name, render_report(report).encode())
        tell(f"The report of {month} is {shelf.uri(name)}")
    return 0
