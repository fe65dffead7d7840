"""``usage-archive``: looks at an archive, in a bucket or in a folder synced from one.

Needs neither Airflow nor the vendors. Answers go to stdout, everything about the run to stderr. Exit status: 0, 1 for
findings (for differences with ``diff --exit-code``), 2 for what was asked wrongly or could not be read.
"""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING

from airflow_usage_provider import __version__
from airflow_usage_provider.cli import diff, focus, ls, reconcile, report, seal, show, tables, verify
from airflow_usage_provider.cli.options import Parser, open_objects
from airflow_usage_provider.cli.terminal import tell
from airflow_usage_provider.exceptions import ArchiveAccessError, ArchiveUnavailableError, UsageProviderError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

#: A module each: ``add_parser(commands)`` adds it and names what runs it, ``run(objects, options) -> exit status``.
COMMANDS = (ls, verify, show, diff, seal, tables, focus, reconcile, report)
_S3_STEP = (
    "Check the bucket, --profile, --region and --endpoint-url, and that the credentials may s3:ListBucket "
    "and s3:GetObject; AWS_CA_BUNDLE names a private CA."
)
_INTERRUPTED, _PIPE_CLOSED = 130, 141  # as a shell counts them: 128 and the signal


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        options = _parse(arguments)
        with open_objects(options) as objects:
            status: int = options.run(objects, options)
        sys.stdout.flush()
    except UsageProviderError as error:
        if isinstance(error, ArchiveAccessError | ArchiveUnavailableError) and options.archive.startswith("s3://"):
            error.next_step = _S3_STEP
        tell(str(error))
        return 2
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what Python flushes at its end goes nowhere
        return _PIPE_CLOSED
    except KeyboardInterrupt:
        tell("Interrupted.")
        return _INTERRUPTED
    return status


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = Parser(
        prog="usage-archive",
        description="Look at an archive of usage and cost, and build tables of it. Nothing in it is changed.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(metavar="COMMAND", dest="command", required=True)
    for command in COMMANDS:
        command.add_parser(commands)
    return parser


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; what comes behind options may still belong to the words before them."""
    parser = build_parser()
    options, rest = parser.parse_known_args(arguments)
    if rest and ("what" not in options or any(word.startswith("-") for word in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        options.what.extend(rest)
    return options


if __name__ == "__main__":
    sys.exit(main())
