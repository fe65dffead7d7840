"""One S3 server, and a place of its own in it for every test."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import jsonschema
import pytest

from airflow_usage_provider.archive.checksums import prefer_checksums
from airflow_usage_provider.archive.keys import ArchiveLocation, Series
from airflow_usage_provider.archive.manifest import Manifest, load_manifest_schema
from airflow_usage_provider.archive.snapshot import Archive
from airflow_usage_provider.models import FileFormat, StreamFacts, UsageWindow
from airflow_usage_provider.testing.s3 import S3Server

SERIES = Series("langdock", "eu/acme", "api_keys")
WINDOW = UsageWindow(date(2026, 11, 20), "Europe/Berlin")
REQUEST = {"method": "POST", "path": "/export/api-keys"}


class Place:
    """A prefix of the bucket, an archive on it, and a clock set by hand."""

    def __init__(self, server: S3Server, client: Any) -> None:
        self.server = server
        self.client = client
        self.location = ArchiveLocation(server.bucket, f"test-{uuid.uuid4().hex[:12]}")
        self.now = datetime(2026, 11, 21, 2, 0, 3, tzinfo=UTC)
        self.archive = self.open()

    def open(self, **settings: Any) -> Archive:
        return Archive(**{"client": self.client, "location": self.location, "now": lambda: self.now, **settings})

    def begin(self, archive: Archive | None = None, file_format: FileFormat = FileFormat.CSV) -> Any:
        return (archive or self.archive).open_snapshot(SERIES, WINDOW, file_format)

    def commit(self, snapshot: Any, rows: int = 1, **facts: Any) -> Manifest:
        manifest: Manifest = snapshot.commit(StreamFacts(rows=rows, **facts), maturity="provisional", request=REQUEST)
        return manifest

    def store(self, body: bytes, rows: int = 1, archive: Archive | None = None, **facts: Any) -> Manifest:
        """Archive one answer, a day's next one, a minute later than the last."""
        with self.begin(archive) as snapshot:
            if body:
                snapshot.write(body)
            manifest = self.commit(snapshot, rows, **facts)
        self.now += timedelta(minutes=1)
        return manifest

    def list_keys(self) -> list[str]:
        answer = self.client.list_objects_v2(Bucket=self.location.bucket, Prefix=self.location.prefix + "/")
        return [entry["Key"] for entry in answer.get("Contents", [])]

    def list_uploads(self) -> list[str]:
        """Keys of multipart uploads that were begun and neither completed nor aborted."""
        answer = self.client.list_multipart_uploads(Bucket=self.location.bucket)
        return [entry["Key"] for entry in answer.get("Uploads", []) if entry["Key"].startswith(self.location.prefix)]

    def read(self, key: str) -> bytes:
        body: bytes = self.client.get_object(Bucket=self.location.bucket, Key=key)["Body"].read()
        return body


@pytest.fixture(scope="session")
def s3_client(s3_server: S3Server) -> Iterator[Any]:
    """A client as the operators use it."""
    client = s3_server.client()
    prefer_checksums(client)
    yield client
    client.close()


@pytest.fixture
def place(s3_server: S3Server, s3_client: Any) -> Iterator[Place]:
    """A place to archive to; every manifest a test leaves there has to meet the schema."""
    place = Place(s3_server, s3_client)
    yield place
    validator = jsonschema.Draft202012Validator(load_manifest_schema())
    for key in place.list_keys():
        if key.endswith("/_manifest.json") and not key.endswith("broken/_manifest.json"):
            validator.validate(json.loads(place.read(key)))


@pytest.fixture
def client_as(s3_server: S3Server) -> Iterator[Callable[..., Any]]:
    """Make clients with other keys or another endpoint."""
    clients: list[Any] = []

    def make(**overrides: Any) -> Any:
        clients.append(s3_server.client(**overrides))
        return clients[-1]

    yield make
    for client in clients:
        client.close()
