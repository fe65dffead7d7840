"""The archive that the pages are run on: made by the package, with everything that a wrong recipe gets wrong.

Two accounts with a key of one id and one name; a day that was revised; a day that was revised to nothing; an empty day
of another stream; a column that was added, and one that is missing on a day; costs of 4.9e-9; line breaks within cells;
and a part without a manifest, newer than all answers, followed by an unchanged one.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from airflow_usage_provider.archive.catalog import Selection
from airflow_usage_provider.archive.keys import ArchiveLocation, Series
from airflow_usage_provider.archive.objects import S3Objects
from airflow_usage_provider.archive.snapshot import Archive
from airflow_usage_provider.models import FileFormat, StreamFacts, UsageWindow
from airflow_usage_provider.tables.target_s3 import S3Target
from airflow_usage_provider.tables.update import update_tables
from airflow_usage_provider.vendors.schemas import find_schema

KEYS = b"api_key_id,api_key_name,requests,total_cost_usd\n"
MORE = b"api_key_id,api_key_name,requests,total_cost_usd,sum_prompt_tokens\n"


@dataclass
class Example:
    """The archive in a bucket."""

    client: Any
    location: ArchiveLocation

    def store(self, series: str, day: int, at: str, body: bytes, rows: int) -> None:
        """Archive an answer for a day of November 2026, at a time."""
        vendor, account, stream = series.split()
        file_format = FileFormat.CSV if vendor == "langdock" else FileFormat.JSON_LINES
        archive = Archive(client=self.client, location=self.location, now=lambda: datetime.fromisoformat(at))
        window = UsageWindow(date(2026, 11, day))
        with archive.open_snapshot(Series(vendor, account, stream), window, file_format) as snapshot:
            if body:
                snapshot.write(body)
            columns = body.split(b"\n")[0].decode().split(",") if vendor == "langdock" and body else ()
            request = {"method": "POST", "path": f"/export/{stream}"}
            schema = find_schema(vendor, stream)
            snapshot.commit(
                StreamFacts(rows=rows, columns=tuple(columns)), maturity="final", request=request, schema=schema
            )

    def download(self) -> dict[str, bytes]:
        """Return every object below ``raw/`` by its name in the archive."""
        prefix = f"{self.location.prefix}/"
        listing = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.location.bucket, Prefix=prefix)
        keys = [entry["Key"] for page in listing for entry in page.get("Contents", [])]
        bodies = {key: self.client.get_object(Bucket=self.location.bucket, Key=key)["Body"].read() for key in keys}
        return {key.removeprefix(prefix): body for key, body in bodies.items()}


def build_example(client: Any, bucket: str) -> Example:
    """Write the archive below ``archive/`` of a bucket."""
    example = Example(client, ArchiveLocation(bucket, "docs/raw/archive"))
    acme, beta = "langdock acme api_keys", "langdock eu/beta api_keys"
    revised = KEYS + b"k1,Ops,6,0.12\nk2,Ops,7,1.50\n"
    example.store(acme, 20, "2026-11-21T02:00:00+00:00", KEYS + b"k1,Ops,5,0.10\nk2,Ops,7,1.50\n", 2)
    example.store(acme, 20, "2026-11-28T02:00:00+00:00", revised, 2)
    _leave_orphan(example, "2026-11-29T02:00:00+00:00")
    example.store(acme, 20, "2026-11-30T02:00:00+00:00", revised, 2)  # unchanged
    tiny = MORE + b"".join(b"k%d,Batch,1,4.9e-9,10\n" % (n % 2 + 3) for n in range(100))
    example.store(acme, 21, "2026-11-22T02:00:00+00:00", tiny, 100)
    example.store(acme, 22, "2026-11-23T02:00:00+00:00", KEYS + b"k1,Ops,1,9.99\n", 1)
    example.store(acme, 22, "2026-11-26T12:00:00+00:00", b"", 0)  # revised to nothing
    example.store(beta, 20, "2026-11-21T02:00:01+00:00", KEYS + b"k1,Ops,1,2.00\n", 1)
    example.store(beta, 21, "2026-11-25T23:59:59.500000+00:00", b"api_key_id,api_key_name,requests\nk1,Ops,3\n", 1)
    agents = b'assistant_id,assistant_name,assistant_description,messages\na1,Notes,"Two\r\nlines, ""quoted""",4\n'
    example.store("langdock acme agents", 20, "2026-11-21T02:00:02+00:00", b"", 0)
    example.store("langdock acme agents", 21, "2026-11-22T02:00:02+00:00", agents, 1)
    users = (
        b'{"customer_identifier":"ann","requests":3,"cost":5.2e-05,"cache_hits":1}\n'
        b'{"customer_identifier":"bob","requests":1,"cost":null}\n'
    )
    example.store("keywordsai acme users", 20, "2026-11-21T02:00:03+00:00", users, 2)
    example.store("keywordsai acme users", 21, "2026-11-22T02:00:03+00:00", users.splitlines(True)[0], 1)
    example.store("keywordsai eu/beta users", 20, "2026-11-21T02:00:04+00:00", users.splitlines(True)[0], 1)
    return example


def build_tables(example: Example) -> None:
    """Build the tables below ``tables/`` of the archive."""
    target = S3Target(example.client, ArchiveLocation(example.location.bucket, f"{example.location.prefix}/tables"))
    for outcome in update_tables(S3Objects(example.client, example.location), target, Selection()):
        assert outcome.error is None


def _leave_orphan(example: Example, at: str) -> None:
    """A run that was killed between its part and its manifest."""
    archive = Archive(
        client=example.client, location=example.location, now=lambda: datetime.fromisoformat(at).astimezone(UTC)
    )
    day = archive.day_prefix(Series("langdock", "acme", "api_keys"), UsageWindow(date(2026, 11, 20)))
    stamp = datetime.fromisoformat(at).strftime("%Y%m%dT%H%M%SZ")
    key = f"{day.rstrip('/')}/snapshot={stamp}-0000dead/part-00000.csv.gz"
    body = gzip.compress(KEYS + b"k1,Ops,1000,1000.00\n", mtime=0)
    example.client.put_object(Bucket=example.location.bucket, Key=key, Body=body)
