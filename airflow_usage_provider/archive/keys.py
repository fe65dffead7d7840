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

from airflow_usage_provider.exceptions import ArchiveCorruptError, ConfigurationError

if TYPE_CHECKING:
    from airflow_usage_provider.models import FileFormat

MANIFEST_NAME = "_manifest.json"
_LONGER = {"weekly", "monthly", "yearly", "all"}
_SNAPSHOT_ID = re.compile(r"(\d{8}T(?:[01]\d|2[0-3])[0-5]\d[0-5]\dZ)-[0-9a-f]{8}", re.ASCII)
_SECOND = "%Y%m%dT%H%M%SZ"
_LOCATION = re.compile(  # buckets as boto3 takes them: also names of before 2018, and access points by their ARN
    r"s3://(?P<bucket>[A-Za-z0-9._\-]{3,255}"
    r"|arn:aws[a-z\-]*:s3:[a-z0-9\-]*:\d{12}:accesspoint[:/][A-Za-z0-9.\-]{1,63}"
    r"|arn:aws[a-z\-]*:s3-outposts:[a-z0-9\-]+:\d{12}:outpost[:/][A-Za-z0-9\-]{1,63}[:/]accesspoint[:/][A-Za-z0-9\-]{1,63})"
    r"(?:/(?P<prefix>.*))?",
    re.ASCII | re.DOTALL,
)
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
        Read ``s3://bucket/prefix``; for the bucket, the ARN of an access point does as well.

        :raises ConfigurationError: it is something else.
        """
        text = str(archive_url).strip()
        match = _LOCATION.fullmatch(text[:5].lower() + text[5:])
        prefix = match["prefix"] or "" if match else ""
        if not match or not prefix.isprintable() or set("?#") & set(prefix) or not set(match["bucket"]) - set("._-"):
            raise ConfigurationError(
                f"archive_url {archive_url!r} is not an S3 location", next_step="Give it as s3://bucket/prefix."
            )
        return cls(match["bucket"], "/".join(segment for segment in prefix.split("/") if segment))

    def uri(self, key: str) -> str:
        """``s3://`` address of a key of the bucket."""
        return f"s3://{self.bucket}/{key}"


@dataclass(frozen=True, slots=True)
class Series:
    """One stream of one account of one vendor, day after day."""

    vendor: str
    account: str
    stream: str

    @property
    def is_daily(self) -> bool:
        """Whether it is asked for every day; listings over a longer time say so in their name."""
        return _LONGER.isdisjoint(self.stream.split("_"))

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
        if match is None or read_snapshot_time(match["snapshot_id"]) is None:
            return None
        try:
            usage_date = date.fromisoformat(match["usage_date"])
        except ValueError:
            return None
        series = Series(*(unquote(match[name]) for name in ("vendor", "account", "stream")))
        return cls(series, usage_date, match["snapshot_id"], match["name"])


def read_snapshot_time(snapshot_id: str) -> datetime | None:
    """Return the second an id tells; None if it is none of the archive's: whoever wrote that, it is foreign."""
    match = _SNAPSHOT_ID.fullmatch(snapshot_id)
    try:
        return datetime.fromisoformat(match[1]) if match else None
    except ValueError:
        return None


def new_snapshot_id(now: datetime, *, after: str | None = None) -> str:
    """
    Return an id that sorts behind ``after``, even if the clock stepped back or two fall into one second.

    :param now: the current time, aware.
    :param after: id of the latest snapshot of the same day.
    :raises ArchiveCorruptError: nothing sorts behind ``after``: the calendar ends with it.
    """
    moment = now.astimezone(UTC).replace(microsecond=0)
    if after and (latest := read_snapshot_time(after)) and moment <= latest:
        try:
            moment = latest + timedelta(seconds=1)
        except OverflowError:
            raise ArchiveCorruptError(
                f"The newest snapshot is {after}, and nothing sorts behind it",
                next_step="Move its folder out of the archive: no run of this package wrote it.",
            ) from None
    second = moment.strftime(_SECOND)
    return f"{second}-{secrets.token_hex(4)}"


def part_name(number: int, file_format: FileFormat, compression: str) -> str:
    """File name of a part: ``part-00000.csv.gz``."""
    return f"part-{number:05d}.{file_format.extension}" + (".gz" if compression == "gzip" else "")
