"""What an archive holds, read from its listing: days of series, their snapshots and parts, and what is missing.

Everything about a day is below one prefix, so a day is read and checked by itself. Only manifests are opened here.
"""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, TypeVar

from airflow_usage_provider.archive.keys import MANIFEST_NAME, ArchiveKey, ArchiveLocation, Series
from airflow_usage_provider.archive.manifest import MAX_MANIFEST_BYTES, Manifest
from airflow_usage_provider.archive.objects import ROOT
from airflow_usage_provider.exceptions import ArchiveCorruptError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from airflow_usage_provider.archive.manifest import FileEntry
    from airflow_usage_provider.archive.objects import Objects, StoredObject

Item = TypeVar("Item")
Result = TypeVar("Result")

_HERE = ArchiveLocation("", "")  # names within an archive are keys without a prefix


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which series and days to look at; None selects all. Both days are included."""

    vendor: str | None = None
    account: str | None = None
    stream: str | None = None
    since: date | None = None
    until: date | None = None

    def __post_init__(self) -> None:
        if self.since and self.until and self.since > self.until:
            raise ConfigurationError(f"since {self.since} is later than until {self.until}", next_step="Exchange them.")

    @property
    def prefix(self) -> str:
        """The longest prefix all selected names share."""
        known = Series(self.vendor or "", self.account or "", self.stream or "").prefix(_HERE) + "/"
        head, is_cut, _ = known.partition("=/")  # at the first that is not given; within names "=" is encoded
        return f"{head.rpartition('/')[0]}/" if is_cut else known

    def has_series(self, series: Series) -> bool:
        """Whether a series is selected."""
        wanted = ((self.vendor, series.vendor), (self.account, series.account), (self.stream, series.stream))
        return all(name is None or name == actual for name, actual in wanted)

    def has_date(self, usage_date: date) -> bool:
        """Whether a day is selected."""
        return (self.since or date.min) <= usage_date <= (self.until or date.max)


@dataclass(frozen=True, slots=True)
class Day:
    """
    All objects of one usage date of one series.

    :param manifests: by snapshot id, in order of time.
    :param parts: by name.
    """

    series: Series
    usage_date: date
    manifests: Mapping[str, StoredObject]
    parts: Mapping[str, StoredObject]

    @property
    def prefix(self) -> str:
        """What the names of its objects begin with, with a slash at the end."""
        return self.series.day_prefix(_HERE, self.usage_date)

    @property
    def bytes(self) -> int:
        """Size of all its objects."""
        return sum(entry.size for objects in (self.manifests, self.parts) for entry in objects.values())


@dataclass(frozen=True, slots=True)
class Catalog:
    """
    What a selection found.

    :param days: those selected, in order of series and date; some may have parts only.
    :param dates: all dates with a snapshot of each selected series, also outside the selected days.
    :param foreign: objects below ``raw/`` that the archive did not put there.
    """

    selection: Selection
    days: tuple[Day, ...] = ()
    dates: Mapping[Series, frozenset[date]] = field(default_factory=dict)
    foreign: tuple[StoredObject, ...] = ()

    def gaps(self) -> Iterator[tuple[Series, date]]:
        """Yield every day without a snapshot between the first and the last, or the days selected."""
        for series, dates in sorted(self.dates.items(), key=lambda item: _order(item[0])):
            first = self.selection.since or min(dates, default=date.max)
            last = self.selection.until or max(dates, default=date.min)
            for number in range(first.toordinal(), last.toordinal() + 1):
                if (day := date.fromordinal(number)) not in dates:
                    yield series, day

    def gap_ranges(self) -> Iterator[tuple[Series, date, date]]:
        """Yield the gaps as first and last day of each run of them."""
        numbered = enumerate(self.gaps())
        for _, run in groupby(numbered, key=lambda item: (item[1][0], item[1][1] - timedelta(days=item[0]))):
            gaps = [gap for _, gap in run]
            yield gaps[0][0], gaps[0][1], gaps[-1][1]


def load_catalog(objects: Objects, selection: Selection) -> Catalog:
    """
    List an archive.

    :raises ConfigurationError: there is no archive, or nothing of it is selected.
    """
    found: dict[tuple[Series, date], tuple[dict[str, StoredObject], dict[str, StoredObject]]] = {}
    dates: defaultdict[Series, set[date]] = defaultdict(set)
    foreign = []
    for entry in objects.list(selection.prefix):
        key = _parse(entry.name)
        if key is None:
            foreign.append(entry)
            continue
        if not selection.has_series(key.series):
            continue
        is_manifest = key.name == MANIFEST_NAME
        dates[key.series].update([key.usage_date] if is_manifest else [])
        if selection.has_date(key.usage_date):
            manifests, parts = found.setdefault((key.series, key.usage_date), ({}, {}))
            if is_manifest:
                manifests[key.snapshot_id] = entry
            else:
                parts[entry.name] = entry
    if not dates:
        _refuse_nothing(objects, selection)
    days = (
        Day(series, day, dict(sorted(manifests.items())), parts)
        for (series, day), (manifests, parts) in sorted(
            found.items(), key=lambda item: (_order(item[0][0]), item[0][1])
        )
    )
    return Catalog(selection, tuple(days), {series: frozenset(own) for series, own in dates.items()}, tuple(foreign))


def read_manifest(objects: Objects, entry: StoredObject) -> Manifest:
    """
    Read the manifest of one snapshot.

    :raises ArchiveCorruptError: it is not one.
    """
    body = read_manifest_bytes(objects, entry)
    try:
        return Manifest.from_json(body, key=objects.uri(entry.name))
    except RecursionError:
        raise ArchiveCorruptError("Not a manifest (nested too deep)") from None


def read_manifest_bytes(objects: Objects, entry: StoredObject) -> bytes:
    """Return a manifest as it is stored, unless it is far too large to be one."""
    if entry.size > MAX_MANIFEST_BYTES:
        raise ArchiveCorruptError(f"Not a manifest ({entry.size} bytes)", next_step="Find out who wrote it.")
    return b"".join(bytes(chunk) for chunk in objects.chunks(entry.name))


def read_current(objects: Objects, day: Day) -> Manifest:
    """Read the newest manifest of a day that has one: the day's answer."""
    return read_manifest(objects, list(day.manifests.values())[-1])


def read_answer(objects: Objects, day: Day, as_of: datetime | None = None) -> Manifest | None:
    """
    Read what is, or was at a time, the answer of a day: the newest manifest whose ``snapshot_at`` is not later.

    :param as_of: aware; None for the newest there is.
    :return: None where nothing was known yet.
    :raises ArchiveCorruptError: a manifest that would have to be looked at is none.
    """
    for entry in reversed(list(day.manifests.values())):
        manifest = read_manifest(objects, entry)
        if as_of is None or read_time(manifest) <= as_of:
            return manifest
    return None


def read_time(manifest: Manifest) -> datetime:
    """
    Return when a manifest says it was made.

    :raises ArchiveCorruptError: it says no time, or one without a zone.
    """
    with suppress(ValueError):
        if (at := datetime.fromisoformat(manifest.snapshot_at)).tzinfo:
            return at
    raise ArchiveCorruptError(
        f"snapshot_at {manifest.snapshot_at!r} of {manifest.snapshot_id} is no time", next_step="Run verify on its day."
    )


def find_part(objects: Objects, day: Day, entry: FileEntry) -> StoredObject:
    """
    Return the object a manifest of the day names as a part.

    :raises ArchiveCorruptError: it is not among the day's.
    """
    part = day.parts.get(objects.resolve(entry.key) or "")
    if part is None:
        raise ArchiveCorruptError(f"The part {entry.key} is missing", next_step="Run usage-archive verify.")
    return part


def map_in_order(work: Callable[[Item], Result], items: Iterable[Item], jobs: int) -> Iterator[Result]:
    """Do the work in threads and yield the results in the items' order; an error cancels what has not begun."""
    with ThreadPoolExecutor(jobs, thread_name_prefix="archive") as executor:
        yield from executor.map(work, items)


def _parse(name: str) -> ArchiveKey | None:
    """Read a name that the archive itself could have written."""
    key = ArchiveKey.parse(name)
    if key is None or not (key.name == MANIFEST_NAME or key.name.startswith("part-")):
        return None
    own = f"{key.series.day_prefix(_HERE, key.usage_date)}snapshot={key.snapshot_id}/{key.name}"
    return key if name == own else None


def _order(series: Series) -> tuple[str, str, str]:
    return series.vendor, series.account, series.stream


def _refuse_nothing(objects: Objects, selection: Selection) -> None:
    where = objects.uri("").rstrip("/")
    names = ("vendor", "account", "stream")
    given = ", ".join(f"{name} {value!r}" for name in names if (value := getattr(selection, name)) is not None)
    if not given or next(objects.list(ROOT), None) is None:
        raise ConfigurationError(
            f"No archive at {where}: there is no snapshot below {ROOT}",
            next_step="Give the archive_url, or the folder it was synced to.",
        )
    raise ConfigurationError(f"Nothing in {where} is of {given}", next_step="See usage-archive ls for what there is.")
