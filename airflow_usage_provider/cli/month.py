"""What commands about the money of one month take, and where they write."""

from __future__ import annotations

from contextlib import closing, contextmanager
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_usage_provider.archive.catalog import Selection
from airflow_usage_provider.archive.keys import ArchiveLocation
from airflow_usage_provider.cli.options import Parser, make_client, parse_date
from airflow_usage_provider.exceptions import ConfigurationError
from airflow_usage_provider.tables.layout import Month
from airflow_usage_provider.tables.shelf import FolderShelf, S3Shelf

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from airflow_usage_provider.tables.shelf import Shelf


def month_options() -> Parser:
    """Return the month, and as of when."""
    parser = Parser(add_help=False)
    parser.add_argument("--month", metavar="YYYY-MM", required=True, help="calendar month of usage dates")
    parser.add_argument(
        "--as-of", metavar="YYYY-MM-DD", type=parse_date, help="what was known at the end of that day, UTC"
    )
    return parser


def read_month(options: argparse.Namespace) -> Month:
    """
    Return the month that was asked for.

    :raises ConfigurationError: it is none, or has not begun anywhere.
    """
    month = Month.parse(options.month)
    if month.first > (datetime.now(UTC) + timedelta(hours=14)).date():
        raise ConfigurationError(f"{month} has not begun", next_step="Give a month that has.")
    return month


def read_as_of(options: argparse.Namespace) -> datetime | None:
    """Return the end of the day that was asked for."""
    day: date | None = options.as_of
    return datetime.combine(day, time.max, UTC) if day else None


def narrow(options: argparse.Namespace) -> Selection:
    """Return whose money was asked for."""
    return Selection(vendor=options.vendor, account=options.account)


@contextmanager
def open_shelf(options: argparse.Namespace, place: str) -> Iterator[Shelf]:
    """Open the folder or bucket something is written to."""
    if "://" not in place:
        yield FolderShelf(Path(place))
        return
    location = ArchiveLocation.parse(place)
    with closing(make_client(options)) as client:
        yield S3Shelf(client, location)
