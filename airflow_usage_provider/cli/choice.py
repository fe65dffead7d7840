"""Which days and which revisions of an archive the options name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_usage_provider.archive.catalog import Selection, load_catalog, read_manifest, read_time
from airflow_usage_provider.cli.words import describe_series
from airflow_usage_provider.exceptions import ConfigurationError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from datetime import datetime

    from airflow_usage_provider.archive.catalog import Catalog, Day
    from airflow_usage_provider.archive.manifest import Manifest
    from airflow_usage_provider.archive.objects import Objects


def select(options: argparse.Namespace) -> Selection:
    """Return the series and days that were asked for."""
    names = ("vendor", "account", "stream", "since", "until")
    return Selection(**{name: getattr(options, name) for name in names})


def load_day(objects: Objects, options: argparse.Namespace) -> Catalog:
    """
    List one usage date.

    :raises ConfigurationError: it has no snapshot.
    """
    options.since = options.until = options.date
    catalog = load_catalog(objects, select(options), jobs=options.jobs)
    if not any(day.manifests for day in catalog.days):
        raise ConfigurationError(
            f"There is no snapshot of {options.date}", next_step="See usage-archive ls for the days there are."
        )
    return catalog


def take_one(days: Sequence[Day]) -> Day:
    """
    Return the only one of some series' days.

    :raises ConfigurationError: there are several.
    """
    if len(days) > 1:
        raise ConfigurationError(
            f"{len(days)} streams have this day: {describe_series(days)}",
            next_step="Choose one with --vendor, --account and --stream.",
        )
    return days[0]


def find_revision(objects: Objects, day: Day, wanted: str, as_of: datetime | None = None) -> Manifest:
    """
    Return the newest snapshot of a revision, or the one of that id, among those known at a time.

    :raises ConfigurationError: the day has no such.
    """
    if wanted in day.manifests and as_of is None:
        return read_manifest(objects, day.manifests[wanted])
    known: dict[str, Manifest] = {}
    for snapshot_id, entry in day.manifests.items():
        manifest = read_manifest(objects, entry)
        if as_of is None or read_time(manifest) <= as_of:
            known |= {snapshot_id: manifest, str(manifest.revision): manifest}
    if wanted not in known:
        revisions = sorted({manifest.revision for manifest in known.values()})
        raise ConfigurationError(
            f"{day.usage_date} has no revision {wanted!r}", next_step=f"It has {', '.join(map(str, revisions))}."
        )
    return known[wanted]
