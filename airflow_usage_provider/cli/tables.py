"""``usage-archive tables``: Parquet made from the archive, for people to query."""

from __future__ import annotations

import argparse
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_usage_provider.archive.keys import ArchiveLocation
from airflow_usage_provider.archive.objects import FolderObjects, S3Objects
from airflow_usage_provider.cli.choice import select
from airflow_usage_provider.cli.options import archive_options, days_options, open_objects, parse_as_of
from airflow_usage_provider.cli.terminal import Progress, print_line, printable, tell
from airflow_usage_provider.cli.words import count
from airflow_usage_provider.exceptions import ConfigurationError
from airflow_usage_provider.tables.athena import write_athena
from airflow_usage_provider.tables.check import check_tables
from airflow_usage_provider.tables.iceberg import load_iceberg, update_iceberg
from airflow_usage_provider.tables.layout import Month
from airflow_usage_provider.tables.target import FolderTarget
from airflow_usage_provider.tables.target_s3 import S3Target
from airflow_usage_provider.tables.update import update_tables

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_usage_provider.archive.catalog import Selection
    from airflow_usage_provider.archive.objects import Objects
    from airflow_usage_provider.cli.options import Commands
    from airflow_usage_provider.tables.layout import Piece
    from airflow_usage_provider.tables.target import Target
    from airflow_usage_provider.tables.update import Outcome


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "tables",
        parents=[archive_options(), days_options()],
        help="build Parquet tables of what the archive holds",
        description="Build Parquet tables of what the archive holds: every month that is not up to date. Months are "
        "built whole. Needs pyarrow: pip install 'airflow-usage-provider[tables]'.",
    )
    parser.add_argument("--to", metavar="URL|FOLDER", help="where to (default: tables/ in the archive)")
    parser.add_argument("--month", metavar="YYYY-MM", type=_parse_month, help="only this month")
    parser.add_argument(
        "--as-of", metavar="TIME", type=parse_as_of, help="what was known then; a day means its end in UTC; needs --to"
    )
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--check", action="store_true", help="write nothing; say what is not as raw has it")
    instead.add_argument(
        "--iceberg",
        metavar="CATALOG",
        help="commit the current rows to this catalog of pyiceberg's configuration instead",
    )
    parser.add_argument("--namespace", metavar="NAME", default="usage", help="of Iceberg tables (default %(default)s)")
    instead.add_argument("--ddl", choices=["athena"], help="write nothing; print the statements that create the tables")
    parser.set_defaults(run=run)


def run(objects: Objects, options: argparse.Namespace) -> int:
    """Build, check or describe; 1 if there are findings, 2 if a month could not be built."""
    _refuse_odd_options(options)
    if options.month:
        options.since, options.until = options.month.first, options.month.last
    selection = select(options)
    since, until = selection.since, selection.until
    selection = replace(
        selection, since=since and Month.of(since).first, until=until and Month.of(until).last
    )  # months are built whole
    with _open_target(objects, options) as target:
        work = _print_ddl if options.ddl else _check if options.check else _build
        return work(objects, target, selection, options)


def _parse_month(text: str) -> Month:
    try:
        return Month.parse(text)
    except ConfigurationError as error:
        raise argparse.ArgumentTypeError(error.message) from None


def _refuse_odd_options(options: argparse.Namespace) -> None:
    if options.month and (options.since or options.until):
        raise ConfigurationError("--month and --since or --until are given", next_step="Give the one or the other.")
    if options.as_of and not options.to:
        raise ConfigurationError(
            "--as-of without --to would put old figures in the place of the current ones", next_step="Give --to too."
        )
    if options.as_of and (options.check or options.ddl or options.iceberg):
        raise ConfigurationError("--as-of is for building only", next_step="Leave it out.")


def _build(objects: Objects, target: Target, selection: Selection, options: argparse.Namespace) -> int:
    started = time.monotonic()
    progress = Progress()
    states: Counter[str] = Counter()

    def begin(piece: Piece) -> None:
        progress.show(f"{states.total():,} months looked at, {states['built']:,} built; now {piece}")

    if options.iceberg:
        catalog = load_iceberg(options.iceberg, {})
        outcomes = update_iceberg(objects, catalog, options.namespace, selection, jobs=options.jobs, begin=begin)
    else:
        outcomes = update_tables(objects, target, selection, as_of=options.as_of, jobs=options.jobs, begin=begin)
    for outcome in outcomes:
        states["failed" if outcome.error else "built" if outcome.written else "up to date"] += 1
        if outcome.error or outcome.written:
            progress.clear()
            _report(outcome)
    progress.clear()
    told = ", ".join(f"{states[state]:,} {state}" for state in ("built", "up to date", "failed"))
    print_line(f"{count(states.total(), 'month')} of a stream and account, {time.monotonic() - started:.1f} s: {told}")
    return 2 if states["failed"] else 0


def _report(outcome: Outcome) -> None:
    piece = printable(str(outcome.piece))
    if outcome.error:
        tell(f"{piece} was not built. {printable(str(outcome.error))}")
        return
    print_line(f"{piece}: {', '.join(outcome.written)}")
    for column, values in outcome.count("unreadable").items():
        tell(
            f"{piece}: {count(values, 'value')} of {printable(column)} cannot be read as the schema says; "
            "null there, and the text is in other_columns."
        )
    for column, values in outcome.count("rounded").items():
        tell(f"{piece}: {count(values, 'value')} of {printable(column)} rounded at the 18th decimal.")


def _check(objects: Objects, target: Target, selection: Selection, options: argparse.Namespace) -> int:
    progress = Progress()
    findings = 0

    def begin(piece: Piece) -> None:
        progress.show(f"{count(findings, 'finding')}; now {piece}")

    for finding in check_tables(objects, target, selection, jobs=options.jobs, begin=begin):
        findings += 1
        progress.clear()
        print_line(f"FINDING {finding.kind}: {printable(target.uri(finding.name))} {printable(finding.problem)}")
    progress.clear()
    print_line(count(findings, "finding"))
    return int(findings > 0)


def _print_ddl(objects: Objects, target: Target, selection: Selection, options: argparse.Namespace) -> int:
    url = target.uri("").rstrip("/") if isinstance(target, S3Target) else "s3://BUCKET/PREFIX/tables"
    for statement in write_athena(objects, selection, url, jobs=options.jobs):
        print_line(statement + "\n")
    return 0


@contextmanager
def _open_target(objects: Objects, options: argparse.Namespace) -> Iterator[Target]:
    place = options.to or f"{options.archive.rstrip('/')}/tables"
    if "://" not in place:
        yield FolderTarget(Path(place))
        return
    location = ArchiveLocation.parse(place)
    if isinstance(objects, FolderObjects):
        with open_objects(argparse.Namespace(**{**vars(options), "archive": place})) as opened:
            yield _target_in(opened, location)
        return
    yield _target_in(objects, location)


def _target_in(objects: Objects, location: ArchiveLocation) -> S3Target:
    """Return a place in S3, reached as other objects are."""
    if not isinstance(objects, S3Objects):
        raise TypeError(objects)
    return S3Target(objects.client, location, objects.extra)
