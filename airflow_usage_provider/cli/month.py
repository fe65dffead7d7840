"""What commands about the money of one month take, and where they write."""

from __future__ import annotations

import argparse
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_usage_provider.archive.catalog import Selection
from airflow_usage_provider.archive.keys import ArchiveLocation
from airflow_usage_provider.archive.objects import S3Objects
from airflow_usage_provider.cli.options import Parser, open_objects, parse_as_of
from airflow_usage_provider.exceptions import ConfigurationError
from airflow_usage_provider.tables.layout import Month
from airflow_usage_provider.tables.shelf import FolderShelf, S3Shelf

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_usage_provider.tables.shelf import Shelf


def month_options() -> Parser:
    """Return the month, and as of when."""
    parser = Parser(add_help=False)
    parser.add_argument("--month", metavar="YYYY-MM", required=True, help="calendar month of usage dates")
    parser.add_argument(
        "--as-of", metavar="TIME", type=parse_as_of, help="what was known then; a day means its end in UTC"
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


def narrow(options: argparse.Namespace) -> Selection:
    """Return whose money was asked for."""
    return Selection(vendor=options.vendor, account=options.account)


@contextmanager
def open_shelf(options: argparse.Namespace, place: str) -> Iterator[Shelf]:
    """Open the folder or bucket something is written to, which is reached as the archive is."""
    if "://" not in place:
        yield FolderShelf(Path(place))
        return
    with open_objects(argparse.Namespace(**{**vars(options), "archive": place})) as objects:
        if not isinstance(objects, S3Objects):
            raise TypeError(objects)
        yield S3Shelf(objects.client, ArchiveLocation.parse(place), objects.extra)


def read_text(options: argparse.Namespace, place: str) -> bytes:
    """
    Return the bytes of a small file, in a folder or a bucket.

    :raises ConfigurationError: there is none.
    """
    folder, _, name = place.rpartition("/")
    with open_shelf(options, folder or ("/" if place.startswith("/") else ".")) as shelf:
        body = shelf.read(name)
    if body is None:
        raise ConfigurationError(f"There is no file {place}", next_step="Name one that is there.")
    return body
