"""What ``usage-archive`` is asked for on its command line, and how it opens the archive that names."""

from __future__ import annotations

import argparse
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from airflow_usage_provider import __version__
from airflow_usage_provider.archive.keys import ArchiveLocation
from airflow_usage_provider.archive.objects import FolderObjects, S3Objects
from airflow_usage_provider.exceptions import ConfigurationError
from airflow_usage_provider.models import parse_usage_date

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from airflow_usage_provider.archive.objects import Objects

MAX_JOBS = 64


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one line."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser; ``command`` is the name of the one that was given."""
    archive = _Parser(add_help=False)
    archive.add_argument("archive", metavar="ARCHIVE", help="s3://bucket/prefix, or the folder it was synced to")
    for name in ("vendor", "account", "stream"):
        archive.add_argument(f"--{name}", metavar="NAME", help=f"only this {name}")
    archive.add_argument("--endpoint-url", metavar="URL", help="of an S3 that is not AWS's")
    archive.add_argument("--profile", metavar="NAME", help="of AWS's configuration files")
    archive.add_argument("--region", metavar="NAME", help="AWS region of the bucket")
    days = _Parser(add_help=False)
    days.add_argument("--since", metavar="YYYY-MM-DD", type=_parse_date, help="first usage date")
    days.add_argument("--until", metavar="YYYY-MM-DD", type=_parse_date, help="last usage date")
    days.add_argument(
        "--jobs", metavar="N", type=_parse_jobs, default=8, help="threads that read (default %(default)s)"
    )
    day = _Parser(add_help=False)
    day.add_argument("date", metavar="DATE", type=_parse_date, help="usage date, YYYY-MM-DD")

    parser = _Parser(
        prog="usage-archive", description="Look at an archive of usage and cost. Nothing is changed in it."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(metavar="COMMAND", dest="command", required=True)
    ls = commands.add_parser("ls", parents=[archive, days], help="list days and gaps")
    ls.add_argument("--json", action="store_true", help="one JSON object a line")
    verify = commands.add_parser("verify", parents=[archive, days], help="check every manifest and hash")
    verify.add_argument("--fail-on-gaps", action="store_true", help="a day without a snapshot is a finding")
    show = commands.add_parser("show", parents=[archive, day], help="show the snapshots of a day")
    form = show.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON object a line")
    form.add_argument("--cat", action="store_true", help="write the current answer of one stream to stdout")
    diff = commands.add_parser(
        "diff",
        parents=[archive, day],
        help="compare two revisions of a day",
        description="Compare two revisions of a day. Memory grows with the number of rows (about 250 bytes a row), "
        "and the older revision is written to the temporary folder meanwhile.",
    )
    diff.add_argument("old", metavar="REV", help="revision number or snapshot id")
    diff.add_argument("new", metavar="REV", help="the same, of what it is compared with")
    diff.add_argument("--key", metavar="NAME[,NAME]", help="columns that tell rows apart (default: by stream)")
    diff.add_argument("--exit-code", action="store_true", help="exit with 1 if there are differences")
    diff.add_argument("--json", action="store_true", help="one JSON object a line")
    return parser


def _parse_date(text: str) -> date:
    try:
        return parse_usage_date(text)
    except ConfigurationError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a date as YYYY-MM-DD") from None


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
        yield S3Objects(client, location)
