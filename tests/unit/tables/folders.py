"""Archives in folders, written as the archive writes them, for tests that need many of them and no S3."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow_usage_provider.archive.catalog import Selection
from airflow_usage_provider.archive.keys import ArchiveLocation, Series
from airflow_usage_provider.archive.manifest import FileEntry, Manifest
from airflow_usage_provider.archive.objects import FolderObjects
from airflow_usage_provider.schema import StreamSchema
from airflow_usage_provider.tables.target import FolderTarget
from airflow_usage_provider.tables.update import Outcome, update_tables

KEYS = Series("langdock", "acme", "api_keys")
USERS = Series("keywordsai", "acme", "users")
DAY = date(2026, 10, 5)
SCHEMA = StreamSchema(
    identity=("key",),
    columns={
        "key": "text",
        "active": "flag",
        "day": "date",
        "seen": "time",
        "requests": "count",
        "score": "number",
        "cost": "money",
        "tags": "json",
    },
)


@dataclass
class FolderArchive:
    """An archive in a folder; each answer is stored an hour after the one before."""

    folder: Path
    now: datetime = datetime(2026, 11, 1, 2, tzinfo=UTC)
    newest: dict[tuple[Series, date], Manifest] = field(default_factory=dict)

    @property
    def objects(self) -> FolderObjects:
        self.folder.mkdir(parents=True, exist_ok=True)
        return FolderObjects(self.folder)

    def store(
        self,
        body: bytes,
        rows: int,
        *,
        day: date = DAY,
        series: Series = KEYS,
        schema: StreamSchema | None = SCHEMA,
        at: datetime | None = None,
        **members: Any,
    ) -> Manifest:
        at = at or self.now
        self.now = max(self.now, at) + timedelta(hours=1)
        previous = self.newest.get((series, day))
        snapshot_id = f"{self.now:%Y%m%dT%H%M%SZ}-{len(self.newest):08x}"
        entry = self._write_part(body, rows, series, day, snapshot_id) if rows else None
        shas = [entry.raw_sha256] if entry else []
        is_same = previous is not None and [each.raw_sha256 for each in previous.files] == shas
        manifest = Manifest(
            **{
                "vendor": series.vendor,
                "account": series.account,
                "stream": series.stream,
                "usage_date": day.isoformat(),
                "timezone": "UTC",
                "window_requested": {},
                "window_returned": None,
                "snapshot_id": snapshot_id,
                "snapshot_at": at.isoformat(),
                "maturity": "final",
                "revision": (previous.revision + (not is_same)) if previous else 1,
                "previous": previous.snapshot_id if previous else None,
                "unchanged": is_same,
                "empty": not rows,
                "rows": rows,
                "vendor_rows": None,
                "pages": 1,
                "duplicates": 0,
                "files": previous.files if is_same else tuple([entry] if entry else []),
                "columns": (),
                "columns_added": (),
                "columns_removed": (),
                "envelope": {},
                "request": {},
                "schema": schema.as_dict() if schema else None,
                **members,
            }
        )
        path = self.folder / self._key(series, day, snapshot_id, "_manifest.json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(manifest.to_json())
        self.newest[series, day] = manifest
        return manifest

    def build(self, target: Path | None = None, *, as_of: datetime | None = None, **selected: Any) -> list[Outcome]:
        """Bring the tables up to date; an error is raised."""
        objects = self.objects
        place = FolderTarget(target or self.folder / "tables")
        outcomes = list(update_tables(objects, place, Selection(**selected), as_of=as_of, jobs=2))
        for outcome in outcomes:
            if outcome.error:
                raise outcome.error
        return outcomes

    def read(self, table: str, target: Path | None = None) -> list[dict[str, Any]]:
        """Every row of a table, in order of the files' names."""
        import pyarrow.parquet as pq

        paths = sorted(((target or self.folder / "tables") / table).rglob("*.parquet"))
        return [row for path in paths for row in pq.ParquetFile(path).read().to_pylist()]

    def footer(self, table: str) -> dict[str, Any]:
        """Key-value metadata of a table's only file."""
        import json

        (path,) = sorted((self.folder / "tables" / table).rglob("*.parquet"))
        (stored,) = [FolderTarget(path.parent).find(path.name)]
        prefix = "usage_provider."
        return {name.removeprefix(prefix): json.loads(text) for name, text in stored.footer.items() if prefix in name}

    def _write_part(self, body: bytes, rows: int, series: Series, day: date, snapshot_id: str) -> FileEntry:
        is_json = body.lstrip().startswith(b"{")
        stored = body if is_json else gzip.compress(body, 1, mtime=0)
        key = self._key(series, day, snapshot_id, "part-00000." + ("jsonl" if is_json else "csv.gz"))
        path = self.folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(stored)
        return FileEntry(
            key=f"prefix/{key}",
            bytes=len(stored),
            sha256=hashlib.sha256(stored).hexdigest(),
            raw_bytes=len(body),
            raw_sha256=hashlib.sha256(body).hexdigest(),
            rows=rows,
            content_type="application/x-ndjson" if is_json else "text/csv",
            compression="none" if is_json else "gzip",
        )

    @staticmethod
    def _key(series: Series, day: date, snapshot_id: str, name: str) -> str:
        return f"{series.day_prefix(ArchiveLocation('', ''), day)}snapshot={snapshot_id}/{name}"
