"""An archive with a history, written by the package, and copies of it in folders to tamper with."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from airflow_usage_provider.archive.catalog import Selection
from airflow_usage_provider.archive.keys import ArchiveLocation, Series
from airflow_usage_provider.archive.manifest import Manifest
from airflow_usage_provider.archive.objects import FolderObjects, Objects, S3Objects
from airflow_usage_provider.archive.snapshot import Archive
from airflow_usage_provider.archive.verify import Report, verify_archive
from airflow_usage_provider.models import FileFormat, StreamFacts, UsageWindow
from airflow_usage_provider.schema import StreamSchema

API_KEYS = Series("langdock", "eu/acme", "api_keys")
USERS = Series("keywordsai", "prod", "users")
HEADER = b"api_key_id,api_key_name,requests,total_cost_usd\n"
FIRST = HEADER + b'k1,"Ops, ""night"" shift",5,0.10\nk2,plain,7,1.50\n'
SECOND = HEADER + b'k1,"Ops, ""night"" shift",6,0.1000\nk3,new,1,2\n'
JSON_FIRST = b'{"customer_identifier":"a","cost":0.10,"tags":["x"]}\n{"customer_identifier":"b","cost":1}\n'
JSON_SECOND = (
    b'{"cost":0.1,"customer_identifier":"a","tags":["x"]}\n{"customer_identifier":"b","cost":1.5,"new":null}\n'
)
NOW = datetime(2026, 3, 1, tzinfo=UTC)


class Shelf:
    """A prefix of the bucket to archive to, with a clock that goes on by an hour each time."""

    def __init__(self, client: Any, bucket: str) -> None:
        self.client = client
        self.location = ArchiveLocation(bucket, f"shelf-{uuid.uuid4().hex[:12]}")
        self.url = self.location.uri(self.location.prefix)
        self.now = datetime(2026, 1, 2, tzinfo=UTC)

    def store(
        self,
        day: int,
        body: bytes,
        rows: int,
        *,
        series: Series = API_KEYS,
        columns: str = "",
        schema: StreamSchema | None = None,
    ) -> Manifest:
        """Archive an answer for a day of January; JSON Lines are not compressed."""
        is_json = body.startswith(b"{") or series is USERS
        compression = "none" if is_json else "gzip"
        archive = Archive(client=self.client, location=self.location, compression=compression, now=lambda: self.now)
        self.now = max(self.now + timedelta(hours=1), datetime(2026, 1, day + 1, 2, tzinfo=UTC))
        window = UsageWindow(date(2026, 1, day))
        with archive.open_snapshot(series, window, FileFormat.JSON_LINES if is_json else FileFormat.CSV) as snapshot:
            if body:
                snapshot.write(body)
            facts = StreamFacts(rows=rows, columns=tuple(columns.split()))
            request = {"method": "POST", "path": "/export"}
            manifest: Manifest = snapshot.commit(facts, maturity="final", request=request, schema=schema)
        return manifest

    def read_all(self) -> dict[str, bytes]:
        """Every object by its name within the archive."""
        names = [entry.name for entry in S3Objects(self.client, self.location).list("")]
        return {name: self.read(f"{self.location.prefix}/{name}") for name in names}

    def read(self, key: str) -> bytes:
        body: bytes = self.client.get_object(Bucket=self.location.bucket, Key=key)["Body"].read()
        return body

    def put(self, key: str, body: bytes) -> None:
        self.client.put_object(Bucket=self.location.bucket, Key=key, Body=body)


@cache
def live(client: Any) -> tuple[Shelf, dict[str, bytes]]:
    """Write everything that can happen to a day, once; 4 January is missing. Tests change copies, not the shelf."""
    shelf = Shelf(client, "archive")
    names = HEADER.decode().strip().replace(",", " ")
    shelf.store(1, FIRST, 2, columns=names)
    shelf.store(2, FIRST, 2, columns=names)
    shelf.store(2, FIRST, 2, columns=names)
    shelf.store(2, SECOND, 2, columns=names)
    shelf.store(2, SECOND, 2, columns=names)
    shelf.store(3, b"", 0)
    shelf.store(3, b"", 0)
    shelf.store(5, FIRST, 2, columns=names)
    shelf.store(5, HEADER, 0)
    shelf.store(5, FIRST, 2, columns=names)
    shelf.store(1, JSON_FIRST, 2, series=USERS, columns="customer_identifier cost tags")
    shelf.store(1, JSON_SECOND, 2, series=USERS, columns="cost customer_identifier tags new")
    return shelf, shelf.read_all()


@dataclass(frozen=True)
class Copy:
    """An archive in a folder."""

    folder: Path

    @property
    def objects(self) -> Objects:
        return FolderObjects(self.folder)

    def find(self, pattern: str, number: int = 0) -> Path:
        """The file of that number among those that match, by name."""
        return sorted(self.folder.rglob(pattern))[number]

    def edit(self, path: Path, **members: Any) -> None:
        """Change members of a manifest; a function gets the old value."""
        document = json.loads(path.read_bytes())
        for name, value in members.items():
            document[name] = value(document[name]) if isinstance(value, Callable) else value  # type: ignore[arg-type]
        path.write_text(json.dumps(document))

    def reports(self, *, now: datetime = NOW, is_current: bool = False, **selected: Any) -> Iterator[Report]:
        return verify_archive(self.objects, Selection(**selected), now=now, jobs=2, is_current=is_current)

    def findings(self, **settings: Any) -> list[tuple[str, str]]:
        """Kind and problem of everything found but the one gap that is always there."""
        found = [finding for report in self.reports(**settings) for finding in report.findings]
        return [(finding.kind, finding.problem) for finding in found if finding.kind != "gap"]


def download(files: dict[str, bytes], folder: Path) -> Copy:
    """What ``aws s3 sync`` does."""
    for name, body in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    return Copy(folder)
