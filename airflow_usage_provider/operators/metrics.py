"""Measures the archiving of a day and tells Airflow's ``Stats``, which sends to StatsD, OpenTelemetry or Datadog.

Every counter is sent for every day, as 0 where there is nothing to count: a series that begins with its first failure
hides it from alerts. Names and tags are described in ``docs/observability.md``.
"""

from __future__ import annotations

import re
import time
from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_usage_provider.compat import Stats

if TYPE_CHECKING:
    from airflow_usage_provider.archive.keys import Series
    from airflow_usage_provider.archive.manifest import Manifest
    from airflow_usage_provider.http.traffic import Traffic

_PREFIX = "usage_provider.archive"


class DayMeter:
    """
    What the archiving of one day takes, from the moment this is made.

    :param series: what is archived.
    :param traffic: what is asked of the vendor through the connection, for this day and those before.
    """

    def __init__(self, series: Series, traffic: Traffic) -> None:
        self.series = series
        self.traffic = traffic
        self._tags = {
            "vendor": clean_tag(series.vendor),
            "account": clean_tag(series.account),
            "stream": clean_tag(series.stream),
        }
        self._begun = time.monotonic()
        self._requests, self._retries = traffic.requests, traffic.retries

    @property
    def name(self) -> str:
        """``vendor/account/stream``."""
        return f"{self.series.vendor}/{self.series.account}/{self.series.stream}"

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s (requests {self.requests}, retries {self.retries})"

    @property
    def seconds(self) -> float:
        """Seconds so far."""
        return time.monotonic() - self._begun

    @property
    def requests(self) -> int:
        """Requests to the vendor's API so far."""
        return self.traffic.requests - self._requests

    @property
    def retries(self) -> int:
        """Requests and downloads that were tried anew so far."""
        return self.traffic.retries - self._retries

    def report(self, manifest: Manifest | None = None, previous: Manifest | None = None) -> None:
        """
        Send what was measured.

        :param manifest: of the snapshot; None if the day failed.
        :param previous: what was the day's answer before.
        """
        counts = {
            "failures": int(manifest is None),
            "requests": self.requests,
            "retries": self.retries,
            **_count_snapshot(manifest, previous),
        }
        for name, count in counts.items():
            Stats.incr(f"{_PREFIX}.{name}", count, tags=self._tags)
        Stats.timing(f"{_PREFIX}.duration", timedelta(seconds=self.seconds), tags=self._tags)


def _count_snapshot(manifest: Manifest | None, previous: Manifest | None) -> dict[str, int]:
    names = ("snapshots", "revisions", "revised_rows", "unchanged", "empty", "rows", "bytes", "stored_bytes")
    if manifest is None:
        return dict.fromkeys(names, 0)
    is_revision = previous is not None and manifest.revision > previous.revision
    stored = 0 if manifest.unchanged else sum(entry.bytes for entry in manifest.files)
    counts = (
        1,
        int(is_revision),
        abs(manifest.rows - previous.rows) if previous is not None and is_revision else 0,
        int(manifest.unchanged),
        int(manifest.empty),
        manifest.rows,
        sum(entry.raw_bytes for entry in manifest.files),
        stored,
    )
    return dict(zip(names, counts, strict=True))


def clean_tag(value: str) -> str:
    """Leave what every metrics protocol takes in a tag."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", value)
