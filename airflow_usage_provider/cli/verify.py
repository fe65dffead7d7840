"""``usage-archive verify``: every manifest and hash, and what an earlier seal says of them."""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from airflow_usage_provider.archive.checks import RESTORE, Finding
from airflow_usage_provider.archive.keys import ArchiveLocation, Series
from airflow_usage_provider.archive.objects import ROOT, S3Objects
from airflow_usage_provider.archive.verify import verify_archive
from airflow_usage_provider.archive.versions import describe_protection, find_versions
from airflow_usage_provider.cli.choice import select
from airflow_usage_provider.cli.findings import describe_totals, print_finding, print_findings
from airflow_usage_provider.cli.options import archive_options, days_options
from airflow_usage_provider.cli.seals import open_seal
from airflow_usage_provider.cli.terminal import print_line
from airflow_usage_provider.cli.words import count
from airflow_usage_provider.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_usage_provider.archive.objects import Objects
    from airflow_usage_provider.cli.options import Commands


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "verify", parents=[archive_options(), days_options()], help="check every manifest and hash"
    )
    parser.add_argument(
        "--fail-on-gaps", action="store_true", help="a day without a snapshot is a finding, up to yesterday or --until"
    )
    parser.add_argument("--expect", metavar="FILE", type=_read_series, default=(), help="series that must be there")
    parser.add_argument("--versions", action="store_true", help="find replaced and deleted objects in a bucket")
    parser.add_argument("--check-times", action="store_true", help="hold the objects' times against their manifests")
    sealed = parser.add_mutually_exclusive_group()
    sealed.add_argument("--against", metavar="SEAL", help="a seal: a file, s3://…, or its name within the archive")
    sealed.add_argument(
        "--since-seal",
        metavar="SEAL",
        nargs="?",
        const="",
        help="do not read again what this seal holds (default: the archive's latest)",
    )
    parser.add_argument("--root", metavar="HEX", help="the root the seal must have")
    parser.set_defaults(run=run)


def run(objects: Objects, options: argparse.Namespace) -> int:
    """Check everything selected; 1 if there are findings."""
    started = time.monotonic()
    if options.versions and not isinstance(objects, S3Objects):
        raise ConfigurationError("A folder keeps no versions", next_step="Give the bucket, or leave out --versions.")
    named = options.against if options.since_seal is None else options.since_seal
    if options.root and named is None:
        raise ConfigurationError("--root is of a seal", next_step="Name it with --against.")
    totals: Counter[str] = Counter()
    with open_seal(objects, options, named) as seal:
        reports = verify_archive(
            objects,
            select(options),
            now=datetime.now(UTC),
            jobs=options.jobs,
            has_times=options.check_times,
            is_current=options.fail_on_gaps,
            seal=seal,
            is_trusted=options.since_seal is not None,
        )
        printed = print_findings(objects, reports, totals, fail_on_gaps=options.fail_on_gaps)
        seen = {report.series for report in printed if report.snapshots}
    for finding in _find_missing(objects, options, seen):
        print_finding(objects, finding, totals, is_failure=True)
    if isinstance(objects, S3Objects):
        print_line(describe_protection(objects))
    found = f"{count(totals['finding'], 'finding')}, {count(totals['note'], 'note')}"
    print_line(f"{describe_totals(totals)}, {time.monotonic() - started:.1f} s: {found}")
    return int(totals["finding"] > 0)


def _find_missing(objects: Objects, options: argparse.Namespace, seen: set[Series | None]) -> Iterator[Finding]:
    """Yield what cannot be seen in any day: what is not there, or no more."""
    if not seen:
        yield Finding("no snapshot", ROOT, "has none of what was selected", "Select what there is, or restore it.")
    for series in options.expect:
        if series not in seen:
            prefix = series.prefix(ArchiveLocation("", ""))
            yield Finding("missing series", prefix, "is expected, and has no snapshot of the days selected", RESTORE)
    if options.versions and isinstance(objects, S3Objects):
        yield from find_versions(objects)


def _read_series(path: str) -> tuple[Series, ...]:
    """Read one series a line: three words, three percent-encoded segments, or a line of ``ls --json``."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"{path!r} cannot be read: {error}") from None
    found = {_parse_series(line, path) for line in lines if line.strip() and not line.startswith("#")}
    return tuple(sorted(found, key=lambda series: (series.vendor, series.account, series.stream)))


def _parse_series(line: str, path: str) -> Series:
    if line.startswith("{"):
        try:
            record = json.loads(line)
            return Series(*(str(record[name]) for name in ("vendor", "account", "stream")))
        except (ValueError, KeyError, RecursionError):
            raise argparse.ArgumentTypeError(f"{path!r} has a line that names no series: {line[:80]!r}") from None
    words = line.split() if len(line.split()) > 1 else line.strip().removeprefix(ROOT).strip("/").split("/")
    if len(words) < 3:
        raise argparse.ArgumentTypeError(f"{path!r} has a line that names no series: {line[:80]!r}")
    glue = " " if len(line.split()) > 1 else "/"
    names = (words[0], glue.join(words[1:-1]), words[-1])
    keys = ("vendor=", "account=", "stream=")
    return Series(*(unquote(name.removeprefix(key)) for name, key in zip(names, keys, strict=True)))
