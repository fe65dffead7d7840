"""What ``usage-archive`` is asked for on its command line, and how it opens the archive that names."""

from __future__ import annotations

import argparse
from contextlib import closing, contextmanager, suppress
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeAlias

from airflow_usage_provider.archive.keys import ArchiveLocation
from airflow_usage_provider.archive.objects import FolderObjects, S3Objects
from airflow_usage_provider.exceptions import ConfigurationError
from airflow_usage_provider.models import parse_usage_date

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_usage_provider.archive.objects import Objects

JOBS, MAX_JOBS = 32, 64  # most of the time is waiting for a store's answers


Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        """Say it and exit with 2."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def archive_options() -> Parser:
    """Return what most commands take: the archive, how to reach it, and which series of it."""
    parser = Parser(add_help=False, parents=[place_options()])
    for name in ("vendor", "account", "stream"):
        parser.add_argument(f"--{name}", metavar="NAME", help=f"only this {name}")
    return parser


def place_options() -> Parser:
    """Return what every command takes: the archive, how to reach it, and how much at a time."""
    parser = Parser(add_help=False)
    parser.add_argument("archive", metavar="ARCHIVE", help="s3://bucket/prefix, or the folder it was synced to")
    parser.add_argument("--endpoint-url", metavar="URL", help="of an S3 that is not AWS's")
    parser.add_argument("--profile", metavar="NAME", help="of AWS's configuration files")
    parser.add_argument("--region", metavar="NAME", help="AWS region of the bucket")
    parser.add_argument("--request-payer", action="store_true", help="pay for the requests, as the bucket demands")
    parser.add_argument(
        "--jobs", metavar="N", type=_parse_jobs, default=JOBS, help="threads that read (default %(default)s)"
    )
    return parser


def days_options() -> Parser:
    """Return what commands over many days take."""
    parser = Parser(add_help=False)
    parser.add_argument("--since", metavar="YYYY-MM-DD", type=parse_date, help="first usage date")
    parser.add_argument("--until", metavar="YYYY-MM-DD", type=parse_date, help="last usage date")
    return parser


def day_options() -> Parser:
    """Return what commands over one day take."""
    parser = Parser(add_help=False)
    parser.add_argument("date", metavar="DATE", type=parse_date, help="usage date, YYYY-MM-DD")
    return parser


def as_of_options() -> Parser:
    """Return what commands take that can look back."""
    parser = Parser(add_help=False)
    parser.add_argument(
        "--as-of", metavar="DAY|TIME", type=parse_as_of, help="what was known then; a day is its end in UTC"
    )
    return parser


def parse_date(text: str) -> date:
    """Read a usage date of the command line."""
    try:
        return parse_usage_date(text)
    except ConfigurationError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a date as YYYY-MM-DD") from None


def parse_as_of(text: str) -> datetime:
    """Read a time of the command line; a day is its end, and without a zone it is UTC."""
    with suppress(ValueError):
        if len(text) > len("2026-10-16"):
            at = datetime.fromisoformat(text)
            return at if at.tzinfo else at.replace(tzinfo=UTC)
    return datetime.combine(parse_date(text), time.max, UTC)


def _parse_jobs(text: str) -> int:
    if text.isascii() and text.isdigit() and 1 <= int(text) <= MAX_JOBS:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {MAX_JOBS}")


@contextmanager
def open_objects(options: argparse.Namespace) -> Iterator[Objects]:
    """
    Open the archive that was named, with boto3's usual credential chain.

    :raises ConfigurationError: it is neither a folder nor a bucket that can be asked.
    """
    if "://" not in options.archive:
        yield FolderObjects(Path(options.archive))
        return
    location = ArchiveLocation.parse(options.archive)
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    settings = Config(
        connect_timeout=10,
        read_timeout=60,
        retries={"mode": "standard", "max_attempts": 5},
        max_pool_connections=MAX_JOBS,
        response_checksum_validation="when_required",  # everything is hashed anyway
    )
    try:
        session = boto3.Session(profile_name=options.profile, region_name=options.region)
        client = session.client("s3", endpoint_url=options.endpoint_url, config=settings)
    except (BotoCoreError, ValueError) as error:
        step = "Correct --profile, --region, --endpoint-url or the AWS settings of this machine."
        raise ConfigurationError(str(error), next_step=step) from None
    with closing(client):
        yield S3Objects(client, location, {"RequestPayer": "requester"} if options.request_payer else {})
