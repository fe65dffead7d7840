"""What the archive holds of a day before the next snapshot of it: its objects, and its newest manifest.

A snapshot is what its key says. A folder that somebody copied from elsewhere is a snapshot like any other, whatever its
manifest says of itself; what the archive itself would not have named so is foreign and passed over.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from airflow_usage_provider.archive.keys import MANIFEST_NAME, read_snapshot_time
from airflow_usage_provider.archive.manifest import MAX_MANIFEST_BYTES, Manifest
from airflow_usage_provider.exceptions import ArchiveCorruptError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date

    from airflow_usage_provider.archive.bucket import Bucket
    from airflow_usage_provider.archive.keys import Series


@dataclass(frozen=True, slots=True)
class Standing:
    """
    What lies below one day's prefix.

    :param prefix: key prefix of the day, with a slash at the end.
    :param sizes: bytes of each object, by key.
    """

    prefix: str
    sizes: Mapping[str, int]

    @classmethod
    def of(cls, prefix: str, objects: Iterable[tuple[str, int]]) -> Standing:
        """Take what a listing shows of the day."""
        return cls(prefix, {key: size for key, size in objects if key.startswith(prefix)})

    @property
    def newest(self) -> str | None:
        """Id of the day's newest snapshot, its current answer; None if there is none."""
        ending = f"/{MANIFEST_NAME}"
        folders = (key[len(self.prefix) : -len(ending)] for key in self.sizes if key.endswith(ending))
        ids = (folder.removeprefix("snapshot=") for folder in folders if folder.startswith("snapshot="))
        return max((snapshot_id for snapshot_id in ids if read_snapshot_time(snapshot_id)), default=None)

    def manifest_key(self, snapshot_id: str) -> str:
        """Key of a snapshot's manifest."""
        return f"{self.prefix}snapshot={snapshot_id}/{MANIFEST_NAME}"


@dataclass(frozen=True, slots=True)
class StoredManifest:
    """A manifest, and the SHA-256 of its bytes as they are stored."""

    manifest: Manifest
    sha256: str


def read_manifest(bucket: Bucket, series: Series, usage_date: date, snapshot_id: str, key: str) -> StoredManifest:
    """
    Read the manifest of a snapshot.

    :raises ArchiveCorruptError: it is not one.
    """
    body = bucket.read(key, limit=MAX_MANIFEST_BYTES)
    if len(body) > MAX_MANIFEST_BYTES:
        raise ArchiveCorruptError(f"{key} is too large for a manifest", next_step="Find out who wrote it.")
    manifest = Manifest.from_json(body, key=key)
    says: dict[str, Any] = {
        "vendor": series.vendor,
        "account": series.account,
        "stream": series.stream,
        "usage_date": usage_date.isoformat(),
        "snapshot_id": snapshot_id,
    }
    if any(getattr(manifest, name) != value for name, value in says.items()):
        manifest = replace(manifest, **says, airflow={})  # a copy: no run of this day wrote it
    return StoredManifest(manifest, hashlib.sha256(body).hexdigest())
