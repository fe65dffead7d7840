"""Where everything lies in the archive: S3 keys are made and read here and nowhere else.

``<prefix>/raw/vendor=V/account=A/stream=S/usage_date=D/snapshot=I/`` holds the parts and ``_manifest.json`` of one
snapshot. Values are percent-encoded, so that any account name is one key segment and comes back as it was.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from airflow_usage_provider.exceptions import ConfigurationError

if TYPE_CHECKING:
    from airflow_usage_provider.models import FileFormat

MANIFEST_NAME = "_manifest.json"
_SNAPSHOT_ID = re.compile(r"(\d{8}T\d{6}Z)-[0-9a-f]{8}", re.ASCII)
_SECOND = "%Y%m%dT%H%M%SZ"
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.\-]{1,61}[a-z0-9]", re.ASCII)
_KEY = re.compile(
    r"(?:(?P<prefix>.+)/)?raw/vendor=(?P<vendor>[^/]+)/account=(?P<account>[^/]+)/stream=(?P<stream>[^/]+)"
    r"/usage_date=(?P<usage_date>\d{4}-\d{2}-\d{2})/snapshot=(?P<snapshot_id>[^/]+)/(?P<name>[^/]+)",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class ArchiveLocation:
    """Bucket and prefix of an archive. The prefix has no slash at either end."""

    bucket: str
    prefix: str

    @classmethod
    def parse(cls, archive_url: str) -> ArchiveLocation:
        """
        Read ``s3://bucket/prefix``.

        :raises ConfigurationError: it is something else.
        """
        scheme, separator, rest = str(archive_url).strip().partition("://")
        bucket, _, prefix = rest.partition("/")
        is_prefix = prefix.isprintable() and not set("?#") & set(prefix)
        if scheme.lower() != "s3" or not separator or not _BUCKET.fullmatch(bucket) or not is_prefix:
            raise ConfigurationError(
                f"archive_url {archive_url!r} is not an S3 location", next_step="Give it as s3://bucket/prefix."
            )
        return cls(bucket, "/".join(segment for segment in prefix.split("/") if segment))

    def uri(self, key: str) -> str:
        """``s3://`` address of a key of the bucket."""
        return f"s3://{self.bucket}/{key}"


@dataclass(frozen=True, slots=True)
class Series:
    """One stream of one account of one vendor, day after day."""

    vendor: str
    account: str
    stream: str

    def prefix(self, location: ArchiveLocation) -> str:
        """Key prefix of all its days, without a slash at the end."""
        root = f"{location.prefix}/raw" if location.prefix else "raw"
        names = ("vendor", "account", "stream")
        return "/".join([root, *(f"{name}={quote(getattr(self, name), safe='')}" for name in names)])

    def day_prefix(self, location: ArchiveLocation, usage_date: date) -> str:
        """Key prefix of one day, with a slash at the end."""
        return f"{self.prefix(location)}/usage_date={usage_date.isoformat()}/"


@dataclass(frozen=True, slots=True)
class ArchiveKey:
    """What an object's key says about it."""

    series: Series
    usage_date: date
    snapshot_id: str
    name: str

    @classmethod
    def parse(cls, key: str) -> ArchiveKey | None:
        """Read a key; None if it is not one of the archive's."""
        match = _KEY.fullmatch(key)
        if match is None or not _SNAPSHOT_ID.fullmatch(match["snapshot_id"]):
            return None
        try:
            usage_date = date.fromisoformat(match["usage_date"])
        except ValueError:
            return None
        series = Series(*(unquote(match[name]) for name in ("vendor", "account", "stream")))
        return cls(series, usage_date, match["snapshot_id"], match["name"])


def new_snapshot_id(now: datetime, *, after: str | None = None) -> str:
    """
    Return an id that sorts behind ``after``, even if the clock stepped back or two fall into one second.

    :param now: the current time, aware.
    :param after: id of the latest snapshot of the same day.
    """
    second = now.astimezone(UTC).strftime(_SECOND)
    if after and second <= (latest := after.partition("-")[0]):
        following = datetime.strptime(latest, _SECOND).replace(tzinfo=UTC) + timedelta(seconds=1)
        second = following.strftime(_SECOND)
    return f"{second}-{secrets.token_hex(4)}"


def part_name(number: int, file_format: FileFormat, compression: str) -> str:
    """File name of a part: ``part-00000.csv.gz``."""
    return f"part-{number:05d}.{file_format.extension}" + (".gz" if compression == "gzip" else "")
