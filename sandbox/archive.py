"""An archive as any reader sees it: with an S3 client, the layout of its keys, and its manifests, nothing else.

The current answer for a day is its newest manifest; the rows are in the parts it names, often an earlier snapshot's.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

MANIFEST_KEY = re.compile(
    r".*/vendor=(?P<vendor>[^/]+)/account=(?P<account>[^/]+)/stream=(?P<stream>[^/]+)"
    r"/usage_date=(?P<day>[^/]+)/snapshot=(?P<snapshot>[^/]+)/_manifest\.json"
)
COST_COLUMNS = ("cost", "total_cost_usd")


@dataclass(frozen=True, slots=True)
class Totals:
    """One day of one stream, added up."""

    day: str
    vendor: str
    stream: str
    revision: int
    rows: int
    requests: int
    cost: Decimal


class ArchiveReader:
    """Reads the archive in one bucket.

    :param client: a boto3 S3 client.
    """

    def __init__(self, client: Any, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def list_sizes(self) -> dict[str, int]:
        """Every key with its size in bytes."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket)
        return {entry["Key"]: entry["Size"] for page in pages for entry in page.get("Contents", ())}

    def find_current_manifests(self) -> list[str]:
        """The key of each day's newest manifest, by day, then vendor and stream; ids of snapshots sort by time."""
        newest: dict[tuple[str, ...], str] = {}
        for key in sorted(self.list_sizes()):
            if match := MANIFEST_KEY.fullmatch(key):
                newest[match["day"], match["vendor"], match["account"], match["stream"]] = key
        return [key for _, key in sorted(newest.items())]

    def read_manifest(self, key: str) -> dict[str, Any]:
        """A manifest, parsed."""
        manifest: dict[str, Any] = json.loads(self._read(key))
        return manifest

    def add_up(self, manifest: dict[str, Any]) -> Totals:
        """The totals of one snapshot, from the parts its manifest names."""
        rows = [row for entry in manifest["files"] for row in self._read_rows(entry)]
        return Totals(
            day=manifest["usage_date"],
            vendor=manifest["vendor"],
            stream=manifest["stream"],
            revision=manifest["revision"],
            rows=len(rows),
            requests=sum(int(row["requests"]) for row in rows),
            cost=sum((_read_cost(row) for row in rows), Decimal(0)),
        )

    def _read_rows(self, entry: dict[str, Any]) -> list[dict[str, Any]]:
        body = self._read(entry["key"])
        text = (gzip.decompress(body) if entry["compression"] == "gzip" else body).decode("utf-8-sig")
        if entry["content_type"].startswith("text/csv"):
            return list(csv.DictReader(io.StringIO(text, newline="")))
        return [json.loads(line, parse_float=Decimal) for line in text.split("\n") if line]

    def _read(self, key: str) -> bytes:
        body: bytes = self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        return body


def _read_cost(row: dict[str, Any]) -> Decimal:
    return next(Decimal(row[name]) for name in COST_COLUMNS if name in row)
