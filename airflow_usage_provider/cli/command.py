"""``usage-archive``: looks at an archive, in a bucket or in a folder synced from one. Writes nothing to it.

Needs neither Airflow nor the vendors. Answers go to stdout, everything about the run to stderr. Exit status: 0, 1 for
findings (for differences with ``diff --exit-code``), 2 for what was asked wrongly or could not be read.
"""

from __future__ import annotations

import io
import os
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_usage_provider.archive.catalog import Selection, find_part, load_catalog, read_current, read_manifest
from airflow_usage_provider.archive.compare import choose_key, compare_snapshots
from airflow_usage_provider.archive.parts import raw_chunks
from airflow_usage_provider.archive.verify import verify_archive
from airflow_usage_provider.cli import report
from airflow_usage_provider.cli.options import build_parser, open_objects
from airflow_usage_provider.exceptions import (
    ArchiveAccessError,
    ArchiveUnavailableError,
    ConfigurationError,
    UsageProviderError,
)

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from airflow_usage_provider.archive.catalog import Catalog, Day
    from airflow_usage_provider.archive.manifest import Manifest
    from airflow_usage_provider.archive.objects import Objects

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
        options = build_parser().parse_args(arguments)
        with open_objects(options) as objects:
            status: int = _COMMANDS[options.command](objects, options)
        sys.stdout.flush()
    except UsageProviderError as error:
        if isinstance(error, ArchiveAccessError | ArchiveUnavailableError) and options.archive.startswith("s3://"):
            error.next_step = _S3_STEP
        _tell(report.printable(str(error)))
        return 2
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what Python flushes at its end goes nowhere
        return _PIPE_CLOSED
    except KeyboardInterrupt:
        _tell("Interrupted.")
        return _INTERRUPTED
    return status


def run_ls(objects: Objects, options: argparse.Namespace) -> int:
    """List days, gaps included."""
    records = report.list_days(objects, load_catalog(objects, _select(options)), options.jobs)
    for line in map(report.to_json, records) if options.json else report.format_days(records):
        _print(line)
    return int(any(record["state"] == "unreadable" for record in records))


def run_verify(objects: Objects, options: argparse.Namespace) -> int:
    """Check everything selected."""
    started = time.monotonic()
    catalog = load_catalog(objects, _select(options))
    progress = _Progress(sum(day.bytes for day in catalog.days))
    findings: Counter[bool] = Counter()
    totals: Counter[str] = Counter()
    for each in verify_archive(objects, catalog, now=datetime.now(UTC), jobs=options.jobs):
        for finding in each.findings:
            is_failure = finding.is_failure or (options.fail_on_gaps and finding.kind == "gap")
            findings[is_failure] += 1
            progress.clear()
            where = report.printable(objects.uri(finding.name))
            problem = report.printable(f"{finding.problem}. {finding.step}")
            _print(f"{'FINDING' if is_failure else 'NOTE'} {finding.kind}: {where} {problem}")
        totals.update(snapshot=each.snapshots, object=each.objects, byte=each.bytes)
        progress.show(totals["byte"])
    progress.clear()
    read = ", ".join(report.count(totals[noun], noun) for noun in ("snapshot", "object", "byte"))
    seconds = time.monotonic() - started
    _print(
        f"{read}, {seconds:.1f} s: {report.count(findings[True], 'finding')}, {report.count(findings[False], 'note')}"
    )
    return int(findings[True] > 0)


def run_show(objects: Objects, options: argparse.Namespace) -> int:
    """Show the snapshots of one day, or write its current answer to stdout."""
    catalog = _load_day(objects, options)
    if options.cat:
        day = _take_one(catalog)
        for entry in read_current(objects, day).files:
            for chunk in raw_chunks(objects, find_part(objects, day, entry).name, entry):
                sys.stdout.buffer.write(chunk)
        return 0
    has_unreadable = False
    for day in catalog.days:
        if not options.json:
            _print(report.describe_series([day]))
        for record in report.list_snapshots(objects, day):
            has_unreadable |= record.get("state") == "unreadable"
            _print(report.to_json(record) if options.json else report.format_snapshot(record))
    return int(has_unreadable)


def run_diff(objects: Objects, options: argparse.Namespace) -> int:
    """Compare two revisions of one day."""
    day = _take_one(_load_day(objects, options))
    old, new = (_find_revision(objects, day, revision) for revision in (options.old, options.new))
    columns = dict.fromkeys((*old.columns, *new.columns))
    key = tuple(options.key.split(",")) if options.key else choose_key(columns)
    if unknown := [name for name in key if name not in columns]:
        raise ConfigurationError(f"No column {', '.join(unknown)}", next_step=f"There are {', '.join(columns)}.")
    changes: Counter[str] = Counter()
    repeated = 0
    for change in compare_snapshots(objects, day, old, new, key):
        changes[change.kind] += 1
        repeated += change.is_repeated
        if change.kind != "same":
            record = report.to_change_record(change)
            _print(report.to_json(record) if options.json else report.format_change(change))
    if repeated:
        _tell(f"{report.count(repeated, 'row')} repeat the key of an earlier one; these were paired in their order.")
    counts = ", ".join(f"{changes[kind]:,} {kind}" for kind in ("added", "removed", "changed", "same"))
    _tell(f"{old.snapshot_id} to {new.snapshot_id} by {', '.join(key) or 'whole rows'}: {counts}.")
    return int(options.exit_code and changes.total() > changes["same"])


def _select(options: argparse.Namespace) -> Selection:
    names = ("vendor", "account", "stream", "since", "until")
    return Selection(**{name: getattr(options, name) for name in names})


def _load_day(objects: Objects, options: argparse.Namespace) -> Catalog:
    options.since = options.until = options.date
    catalog = load_catalog(objects, _select(options))
    if not any(day.manifests for day in catalog.days):
        raise ConfigurationError(
            f"There is no snapshot of {options.date}", next_step="See usage-archive ls for the days there are."
        )
    return catalog


def _take_one(catalog: Catalog) -> Day:
    days = [day for day in catalog.days if day.manifests]
    if len(days) > 1:
        raise ConfigurationError(
            f"{len(days)} streams have this day: {report.describe_series(days)}",
            next_step="Choose one with --vendor, --account and --stream.",
        )
    return days[0]


def _find_revision(objects: Objects, day: Day, wanted: str) -> Manifest:
    """Return the newest snapshot of a revision, or the one of that id."""
    known: dict[str, Manifest] = {}
    for snapshot_id, entry in day.manifests.items():
        manifest = read_manifest(objects, entry)
        known |= {snapshot_id: manifest, str(manifest.revision): manifest}
    if wanted not in known:
        revisions = sorted({manifest.revision for manifest in known.values()})
        raise ConfigurationError(
            f"{day.usage_date} has no revision {wanted!r}", next_step=f"It has {', '.join(map(str, revisions))}."
        )
    return known[wanted]


_COMMANDS = {"ls": run_ls, "verify": run_verify, "show": run_show, "diff": run_diff}


class _Progress:
    """A line on stderr that is written over, if somebody is looking."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._is_seen = sys.stderr.isatty()
        self._shown_at = 0.0
        self._width = 0

    def show(self, done: int) -> None:
        if not self._is_seen or time.monotonic() - self._shown_at < 0.1:
            return
        self.clear()
        line = f"{done:,} of {self._total:,} bytes ({done * 100 // max(self._total, 1)} %)"
        self._shown_at, self._width = time.monotonic(), len(line)
        sys.stderr.write(line)
        sys.stderr.flush()

    def clear(self) -> None:
        if self._width:
            sys.stderr.write(f"\r{' ' * self._width}\r")
            self._width = 0


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _tell(line: str) -> None:
    sys.stderr.write(f"usage-archive: {line}\n")


if __name__ == "__main__":
    sys.exit(main())
