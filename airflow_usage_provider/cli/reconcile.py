"""``usage-archive reconcile``: a month's figures held against each other."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from airflow_usage_provider.cli.month import month_options, narrow, read_month
from airflow_usage_provider.cli.options import archive_options
from airflow_usage_provider.cli.terminal import print_line, printable
from airflow_usage_provider.cli.words import count
from airflow_usage_provider.exceptions import ConfigurationError
from airflow_usage_provider.schema import parse_value
from airflow_usage_provider.tables.charges import choose_pots, read_views
from airflow_usage_provider.tables.reconcile import KINDS, expected_days, reconcile

if TYPE_CHECKING:
    from airflow_usage_provider.archive.objects import Objects
    from airflow_usage_provider.cli.options import Commands


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "reconcile", parents=[archive_options(), month_options()], help="hold a month's figures against each other"
    )
    parser.add_argument(
        "--tolerance",
        metavar="AMOUNT",
        type=_parse_amount,
        default=Decimal(0),
        help="of money, in its currency, that two figures may differ by (default %(default)s)",
    )
    parser.add_argument("--skip", action="append", choices=KINDS, default=[], help="do not compare these")
    parser.add_argument("--all", action="store_true", help="print what is equal too")
    parser.set_defaults(run=run)


def run(objects: Objects, options: argparse.Namespace) -> int:
    """Print a line for every difference; 1 if one is beyond the tolerance."""
    month = read_month(options)
    views = read_views(objects, month, selection=narrow(options), as_of=options.as_of)
    if not choose_pots(views):
        raise ConfigurationError(
            f"Nothing in the archive is a charge of {month}", next_step="See usage-archive ls for what there is."
        )
    days = expected_days(month.first, month.last, options.as_of or datetime.now(UTC))
    compared = findings = 0
    for line in reconcile(objects, views, days, skip=options.skip):
        compared += 1
        is_beyond = line.is_beyond(options.tolerance)
        findings += is_beyond
        if is_beyond or line.difference or options.all:
            print_line(printable(f"{'FINDING' if is_beyond else 'NOTE' if line.difference else 'EQUAL'} {line}"))
    print_line(f"{month}: {count(compared, 'comparison')}, {count(findings, 'finding')}")
    return int(findings > 0)


def _parse_amount(text: str) -> Decimal:
    try:
        amount: Decimal | None = parse_value("money", text)
    except ValueError:
        amount = None
    if amount is None or amount < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no amount such as 0.01")
    return amount
