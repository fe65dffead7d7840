"""``usage-archive diff``: what changed between two answers."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from airflow_usage_provider.archive.compare import choose_key, compare_snapshots
from airflow_usage_provider.cli import words
from airflow_usage_provider.cli.choice import find_revision, load_day, take_one
from airflow_usage_provider.cli.options import archive_options, day_options
from airflow_usage_provider.cli.terminal import print_line, tell
from airflow_usage_provider.exceptions import ConfigurationError
from airflow_usage_provider.records.rows import unique_names

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from airflow_usage_provider.archive.catalog import Day
    from airflow_usage_provider.archive.manifest import Manifest
    from airflow_usage_provider.archive.objects import Objects
    from airflow_usage_provider.cli.options import Commands


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "diff",
        parents=[archive_options(), day_options()],
        help="compare two revisions of a day",
        description="Compare two revisions of a day. Memory grows with the number of rows (about 250 bytes a row), "
        "and both revisions are written to the temporary folder meanwhile.",
    )
    parser.add_argument("old", metavar="REV", help="revision number or snapshot id")
    parser.add_argument("new", metavar="REV", help="the same, of what it is compared with")
    parser.add_argument(
        "--key",
        metavar="NAME[,NAME]",
        help="columns that tell rows apart, amount.currency for one within an object "
        "(default: what the stream's schema says)",
    )
    parser.add_argument("--exit-code", action="store_true", help="exit with 1 if there are differences")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.set_defaults(run=run)


def run(objects: Objects, options: argparse.Namespace) -> int:
    """Compare two revisions of one day."""
    day = take_one([day for day in load_day(objects, options).days if day.manifests])
    old, new = (find_revision(objects, day, revision) for revision in (options.old, options.new))
    key = _choose_key(options, day, old, new)
    changes: Counter[str] = Counter()
    names: Iterable[str] = key
    repeated = 0
    for change in compare_snapshots(objects, day, old, new, key):
        changes[change.kind] += 1
        names = change.key
        repeated += change.is_repeated
        if change.kind != "same":
            record = words.to_change_record(change)
            print_line(words.to_json(record) if options.json else words.format_change(change))
    if repeated:
        tell(f"{words.count(repeated, 'row')} repeat the key of an earlier one; these were paired in their order.")
    counts = ", ".join(f"{changes[kind]:,} {kind}" for kind in ("added", "removed", "changed", "same"))
    tell(f"{old.snapshot_id} to {new.snapshot_id} by {', '.join(names) or 'whole rows'}: {counts}.")
    return int(options.exit_code and changes.total() > changes["same"])


def _choose_key(options: argparse.Namespace, day: Day, old: Manifest, new: Manifest) -> tuple[str, ...]:
    if not options.key:
        from airflow_usage_provider.vendors.schemas import find_schema

        return choose_key(old, new, find_schema(day.series.vendor, day.series.stream))
    names = tuple(options.key.split(","))
    columns = dict.fromkeys((*unique_names(old.columns), *unique_names(new.columns)))
    if unknown := [name for name in names if not {name, name.partition(".")[0]} & columns.keys()]:
        raise ConfigurationError(f"No column {', '.join(unknown)}", next_step=f"There are {', '.join(columns)}.")
    return names
