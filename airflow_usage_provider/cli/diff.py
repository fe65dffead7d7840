"""``usage-archive diff``: what changed between two answers of a day, or of many days between two moments."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

from airflow_usage_provider.archive.amounts import EXACT, read_amounts
from airflow_usage_provider.archive.catalog import load_catalog, read_answer
from airflow_usage_provider.archive.compare import choose_key, compare_snapshots
from airflow_usage_provider.cli import words
from airflow_usage_provider.cli.choice import find_revision, load_day, select, take_one
from airflow_usage_provider.cli.options import archive_options, as_of_options, days_options, parse_as_of
from airflow_usage_provider.cli.terminal import print_line, tell
from airflow_usage_provider.exceptions import ConfigurationError
from airflow_usage_provider.models import parse_usage_date
from airflow_usage_provider.records.rows import unique_names
from airflow_usage_provider.vendors.schemas import find_schema

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator

    from airflow_usage_provider.archive.catalog import Day
    from airflow_usage_provider.archive.compare import Change
    from airflow_usage_provider.archive.manifest import Manifest
    from airflow_usage_provider.archive.objects import Objects
    from airflow_usage_provider.cli.options import Commands

    Pair = tuple[Day, Manifest, Manifest]


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "diff",
        parents=[archive_options(), days_options(), as_of_options()],
        help="compare two revisions of a day, or what was known of days at two times",
        usage="%(prog)s ARCHIVE DATE REV REV | ARCHIVE [DATE] --as-of DAY|TIME [--and-as-of DAY|TIME]  [options]",
        description="Compare two revisions of a day, or what was known of days at two times. Memory grows with the "
        "number of rows of a day (about 250 bytes a row), which are written to the temporary folder meanwhile.",
    )
    parser.add_argument("what", metavar="DATE REV REV", nargs="*", help="revision numbers or snapshot ids of a day")
    parser.add_argument("--and-as-of", metavar="DAY|TIME", type=parse_as_of, help="compare with then (default: now)")
    parser.add_argument("--sum", metavar="COLUMN", help="only by how much this column differs, added up exactly")
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
    """Compare; 1 for differences if that was asked for."""
    pairs = list(_find_pairs(objects, options))
    if options.key or options.sum:
        _check_columns(options, pairs)
    tally = _Tally()
    sums: dict[str, Decimal] = {}
    for day, old, new in pairs:
        changes = tally.passing(compare_snapshots(objects, day, old, new, _choose_key(options, day, old, new)))
        place = words.describe_series([day])
        if options.sum:
            sums[place] = EXACT.add(sums.get(place, Decimal(0)), _print_amounts(changes, day, options))
        else:
            _print_changes(changes, day, options)
    for place, difference in sums.items():
        record = {"series": place, "column": options.sum, "difference": f"{difference:+f}"}
        print_line(words.to_json(record) if options.json else f"= {place}  {options.sum} {difference:+f}")
    tally.tell(_describe(pairs, options))
    return int(options.exit_code and tally.counts.total() > tally.counts["same"])


class _Tally:
    """How many rows differ, by which columns they were told apart, and how many repeat an earlier one's."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._repeated = 0
        self._key: tuple[str, ...] = ()

    def passing(self, changes: Iterable[Change]) -> Iterator[Change]:
        """Count what passes, and pass on what is no longer the same."""
        for change in changes:
            self.counts[change.kind] += 1
            self._repeated += change.is_repeated
            self._key = tuple(change.key) or self._key
            if change.kind != "same":
                yield change

    def tell(self, what: str) -> None:
        """Say it on stderr."""
        if self._repeated:
            repeated = words.count(self._repeated, "row")
            tell(f"{repeated} repeat the key of an earlier one; these were paired in their order.")
        told = ", ".join(f"{self.counts[kind]:,} {kind}" for kind in ("added", "removed", "changed", "same"))
        tell(f"{what} by {', '.join(self._key) or 'whole rows'}: {told}.")


def _find_pairs(objects: Objects, options: argparse.Namespace) -> Iterator[Pair]:
    """Yield what is to be compared with what."""
    if options.what:
        options.date = parse_usage_date(options.what[0])
    if len(options.what) == 3 and options.and_as_of is None:
        day = take_one([day for day in load_day(objects, options).days if day.manifests])
        old, new = (find_revision(objects, day, revision, options.as_of) for revision in options.what[1:])
        options.as_of = None
        yield day, old, new
        return
    if options.as_of is None or len(options.what) > 1:
        raise ConfigurationError(
            "The following arguments are required: REV REV, or --as-of",
            next_step="See usage-archive diff --help.",
        )
    catalog = load_day(objects, options) if options.what else load_catalog(objects, select(options), jobs=options.jobs)
    for day in catalog.days:
        earlier, later = (read_answer(objects, day, as_of) for as_of in (options.as_of, options.and_as_of))
        if (known := later or earlier) is None:
            continue
        nothing = replace(known, files=())  # of which nothing was known
        old, new = earlier or nothing, later or nothing
        if [entry.raw_sha256 for entry in old.files] != [entry.raw_sha256 for entry in new.files]:
            yield day, old, new


def _print_changes(changes: Iterator[Change], day: Day, options: argparse.Namespace) -> None:
    is_titled = options.json or options.as_of is None
    for change in changes:
        if not is_titled:
            print_line(f"{words.describe_series([day])} {day.usage_date}")
            is_titled = True
        record = words.to_change_record(change)
        if options.as_of is not None:
            record = words.place(day.series, day.usage_date) | record
        print_line(words.to_json(record) if options.json else words.format_change(change))


def _print_amounts(changes: Iterator[Change], day: Day, options: argparse.Namespace) -> Decimal:
    """Print the rows of a day whose amount differs, and return the sum of the differences."""
    total = Decimal(0)
    for amount in read_amounts(changes, day, options.sum):
        total = EXACT.add(total, amount.difference)
        line = words.format_amount(amount, options.sum)
        record = words.place(day.series, day.usage_date) | words.to_amount_record(amount)
        head = f"{words.describe_series([day])} {day.usage_date}"
        print_line(words.to_json(record) if options.json else f"{head} {line}")
    return total


def _choose_key(options: argparse.Namespace, day: Day, old: Manifest, new: Manifest) -> tuple[str, ...]:
    if options.key:
        return tuple(options.key.split(","))
    return choose_key(old, new, find_schema(day.series.vendor, day.series.stream))


def _check_columns(options: argparse.Namespace, pairs: list[Pair]) -> None:
    """Refuse names that no answer has: they would be told as no difference."""
    columns = {name: None for pair in pairs for answer in pair[1:] for name in unique_names(answer.columns)}
    wanted = [*(options.key.split(",") if options.key else ()), *([options.sum] if options.sum else ())]
    if pairs and (unknown := [name for name in wanted if not {name, name.partition(".")[0]} & columns.keys()]):
        raise ConfigurationError(f"No column {', '.join(unknown)}", next_step=f"There are {', '.join(columns)}.")


def _describe(pairs: list[Pair], options: argparse.Namespace) -> str:
    if options.as_of is None:
        _, old, new = pairs[0]
        return f"{old.snapshot_id} to {new.snapshot_id}"
    until = options.and_as_of.isoformat(timespec="seconds") if options.and_as_of else "now"
    differ = f"{words.count(len(pairs), 'day')} changed"
    return f"{differ} from {options.as_of.isoformat(timespec='seconds')} to {until}"
