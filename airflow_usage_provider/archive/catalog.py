"""What an archive holds, read from its listing: days of series, their snapshots and parts, and what is missing.

Everything about a day is below one prefix, so a day is read and checked by itself. Only manifests are opened here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from os.path import commonprefix
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from airflow_usage_provider.archive.gaps import Gap, with_gaps
from airflow_usage_provider.archive.keys import MANIFEST_NAME, ArchiveKey, ArchiveLocation, Series
from airflow_usage_provider.archive.manifest import MAX_MANIFEST_BYTES, Manifest, is_oversized
from airflow_usage_provider.archive.objects import ROOT, StoredObject
from airflow_usage_provider.archive.parallel import map_in_order
from airflow_usage_provider.exceptions import ArchiveAccessError, ArchiveCorruptError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from airflow_usage_provider.archive.manifest import FileEntry
    from airflow_usage_provider.archive.objects import Objects

_LEVELS = ("vendor", "account", "stream")
_LISTED_AHEAD = 64  # days of a series that waits for its turn
_FIRST_YEAR, _LAST_YEAR = 2000, 2999  # of a usage date
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

    def has(self, series: Series, usage_date: date) -> bool:
        """Whether a day of a series is selected."""
        wanted = ((self.vendor, series.vendor), (self.account, series.account), (self.stream, series.stream))
        is_series = all(name is None or name == actual for name, actual in wanted)
        return is_series and (self.since or date.min) <= usage_date <= (self.until or date.max)


@dataclass(frozen=True, slots=True)
class Day:
    """
    All objects of one usage date of one series.

    :param manifests: by snapshot id, in order of time.
    :param parts: by name.
    """

    series: Series
    usage_date: date
    manifests: dict[str, StoredObject]
    parts: dict[str, StoredObject]

    @property
    def prefix(self) -> str:
        """What the names of its objects begin with, with a slash at the end."""
        return self.series.day_prefix(_HERE, self.usage_date)

    @property
    def names(self) -> set[str]:
        """Names of all its objects."""
        return {entry.name for entry in self.manifests.values()} | self.parts.keys()


@dataclass(frozen=True, slots=True)
class Catalog:
    """
    What a selection found, all of it at once: for a few days, or a small archive.

    :param days: in order of series and date; some may have parts only.
    :param gaps: between them, likewise.
    :param foreign: objects below ``raw/`` that the archive did not put there.
    """

    days: tuple[Day, ...] = ()
    gaps: tuple[Gap, ...] = ()
    foreign: tuple[StoredObject, ...] = ()


def load_catalog(objects: Objects, selection: Selection, *, jobs: int = 8, now: datetime | None = None) -> Catalog:
    """
    List an archive.

    :raises ConfigurationError: there is no archive, or no series of it is selected.
    """
    found: dict[type, list[Any]] = {Day: [], Gap: [], StoredObject: []}
    for item in iter_catalog(objects, selection, jobs=jobs, now=now or datetime.now(UTC)):
        found[type(item)].append(item)
    return Catalog(tuple(found[Day]), tuple(found[Gap]), tuple(found[StoredObject]))


def iter_catalog(
    objects: Objects,
    selection: Selection,
    *,
    jobs: int,
    now: datetime,
    find_end: Callable[[Day | None], date | None] | None = None,
    must_exist: bool = True,
) -> Iterator[Day | Gap | StoredObject]:
    """
    Yield all that is selected, in order of names, and keep none of it: days, the gaps between, and strangers.

    :param jobs: series that are listed at the same time.
    :param find_end: the day to count gaps to, told the last day of a series; by default the selection's.
    :param must_exist: whether a selection without a series is an error.
    :raises ConfigurationError: there is no archive, or no series of it is selected.
    """
    all_series, strangers = find_series(objects, selection, jobs)
    if not all_series:
        _refuse_nothing(objects, selection, must_exist=must_exist)
    for stranger in strangers:
        yield from objects.list(stranger) if isinstance(stranger, str) else [stranger]

    def begin(series: Series) -> tuple[Iterable[Day | Gap | StoredObject], Iterator[Day | Gap | StoredObject]]:
        days = list_days(objects, series, selection)
        end = find_end or (lambda _: selection.until)
        items = with_gaps(series, days, since=selection.since, find_end=end, now=now)
        return list(islice(items, _LISTED_AHEAD)), items

    for head, rest in map_in_order(begin, all_series, jobs):
        yield from head
        yield from rest


def find_series(
    objects: Objects, selection: Selection, jobs: int
) -> tuple[Sequence[Series], Sequence[StoredObject | str]]:
    """Return the series selected, in order of their names' bytes, and what stands beside them: objects and folders."""
    found: list[tuple[str, tuple[str, ...]]] = [(ROOT, ())]
    strangers: list[StoredObject | str] = []
    for level in _LEVELS:
        wanted = getattr(selection, level)
        start = f"{level}={quote(wanted, safe='')}" if wanted is not None else ""
        prefixes = [f"{parent}{start}" for parent, _ in found]
        below = map_in_order(lambda prefix: list(objects.level(prefix)), prefixes, jobs)
        parents, found = found, []
        for (parent, names), entries in zip(parents, below, strict=True):
            for entry in entries:
                name = None if isinstance(entry, StoredObject) else _parse_folder(entry.removeprefix(parent), level)
                if name is not None and wanted in (None, name):
                    found.append((str(entry), (*names, name)))
                elif wanted is None:
                    strangers.append(entry)
    return [Series(*names) for _, names in sorted(found)], sorted(strangers, key=str)


def list_days(objects: Objects, series: Series, selection: Selection) -> Iterator[Day | StoredObject]:
    """Yield a series' selected days in order, and strangers among them; asks for no more than those days' names."""
    prefix = f"{series.prefix(_HERE)}/"
    since, until = selection.since, selection.until
    shared = commonprefix([since.isoformat(), until.isoformat()]) if since and until else ""  # noqa: RUF071
    # "~" is behind every name of the day before. The day's own name would do, but SeaweedFS then skips its folder.
    after = f"{prefix}usage_date={since - timedelta(days=1)}~" if since else ""
    last = f"{prefix}usage_date={until}/\U0010ffff" if until else None
    day: Day | None = None
    for entry in objects.list(f"{prefix}usage_date={shared}" if shared else prefix, after):
        if last and entry.name > last:
            break
        key = parse_name(entry.name)
        if key is None:
            yield entry
            continue
        if day is None or day.usage_date != key.usage_date:
            if day:
                if key.usage_date < day.usage_date:
                    raise ArchiveAccessError(
                        f"The store lists {key.usage_date} behind {day.usage_date}: not in order of names",
                        next_step="Sync the archive to a folder, and give that.",
                    )
                yield day
            day = Day(series, key.usage_date, {}, {})
        if key.name == MANIFEST_NAME:
            day.manifests[key.snapshot_id] = entry
        else:
            day.parts[entry.name] = entry
    if day:
        yield day


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
    body = bytearray()
    if entry.size <= MAX_MANIFEST_BYTES:
        for chunk in objects.chunks(entry.name):
            body += chunk
            if len(body) > MAX_MANIFEST_BYTES:  # it has grown since it was listed
                break
    if entry.size > MAX_MANIFEST_BYTES or is_oversized(body):
        raise ArchiveCorruptError(f"Not a manifest ({entry.size} bytes)", next_step="Find out who wrote it.")
    return bytes(body)


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

    :raises ArchiveCorruptError: it says no time.
    """
    if (at := manifest.committed_at) is None:
        raise ArchiveCorruptError(
            f"snapshot_at {manifest.snapshot_at!r} of {manifest.snapshot_id} is no time",
            next_step="Run verify on its day.",
        )
    return at


def find_part(objects: Objects, day: Day, entry: FileEntry) -> StoredObject:
    """
    Return the object a manifest of the day names as a part.

    :raises ArchiveCorruptError: it is not among the day's.
    """
    part = day.parts.get(objects.resolve(entry.key) or "")
    if part is None:
        raise ArchiveCorruptError(f"The part {entry.key} is missing", next_step="Run usage-archive verify.")
    return part


def parse_name(name: str) -> ArchiveKey | None:
    """Read a name that the archive itself could have written."""
    key = ArchiveKey.parse(name)
    if key is None or not (key.name == MANIFEST_NAME or key.name.startswith("part-")):
        return None
    if not _FIRST_YEAR <= key.usage_date.year <= _LAST_YEAR:
        return None
    own = f"{key.series.day_prefix(_HERE, key.usage_date)}snapshot={key.snapshot_id}/{key.name}"
    return key if name == own else None


def _parse_folder(name: str, level: str) -> str | None:
    """Read one level of a name as the archive itself would have written it."""
    key, _, value = name.removesuffix("/").partition("=")
    plain = unquote(value)
    return plain if key == level and value and quote(plain, safe="") == value else None


def _refuse_nothing(objects: Objects, selection: Selection, *, must_exist: bool) -> None:
    where = objects.uri("").rstrip("/")
    given = ", ".join(f"{name} {value!r}" for name in _LEVELS if (value := getattr(selection, name)) is not None)
    if not given or next(objects.level(ROOT), None) is None:
        raise ConfigurationError(
            f"No archive at {where}: there is no snapshot below {ROOT}",
            next_step="Give the archive_url, or the folder it was synced to.",
        )
    if must_exist:
        step = "See usage-archive ls for what there is."
        raise ConfigurationError(f"Nothing in {where} is of {given}", next_step=step)
