"""Archives of a month in a folder, written by hand, so that any figure can be in them."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow_usage_provider.archive.keys import ArchiveLocation, Series
from airflow_usage_provider.archive.manifest import FileEntry, Manifest
from airflow_usage_provider.archive.objects import FolderObjects
from airflow_usage_provider.models import UsageWindow
from airflow_usage_provider.schema import StreamSchema
from airflow_usage_provider.vendors.keywordsai.schemas import users_schema
from airflow_usage_provider.vendors.langdock.schemas import export_schema
from sandbox.exportfile import build_csv
from sandbox.exportrows import Question
from sandbox.switches import KeywordsAISwitches, LangdockSwitches
from sandbox.userrows import Frame, aggregate, users_row
from sandbox.users import Users, list_active, sample_days

API_KEYS, API_KEYS_BY_MODEL = (Series("langdock", "acme", stream) for stream in ("api_keys", "api_keys_by_model"))
USERS = Series("keywordsai", "acme", "users")
OCTOBER = [date(2026, 10, number) for number in range(1, 32)]
JSON, CSV = "application/x-ndjson", "text/csv"


class MonthArchive:
    """An archive in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)

    @property
    def objects(self) -> FolderObjects:
        return FolderObjects(self.folder)

    def store(
        self,
        series: Series,
        day: date,
        body: bytes,
        rows: int,
        schema: StreamSchema | None,
        *,
        content_type: str = CSV,
        timezone: str = "UTC",
        at: datetime | None = None,
        **fields: Any,
    ) -> Manifest:
        """Write one snapshot; ``at`` is its second, by default two o'clock of the day after."""
        at = at or datetime(day.year, day.month, day.day, 2, tzinfo=UTC) + timedelta(days=1)
        snapshot_id = f"{at:%Y%m%dT%H%M%SZ}-{hashlib.sha256(body).hexdigest()[:8]}"
        prefix = f"{series.day_prefix(ArchiveLocation('', ''), day)}snapshot={snapshot_id}"
        files: tuple[FileEntry, ...] = ()
        place = self.folder / prefix
        place.mkdir(parents=True)
        if rows:
            packed = gzip.compress(body, mtime=0)
            name = f"part-00000.{'csv' if content_type == CSV else 'jsonl'}.gz"
            (place / name).write_bytes(packed)
            files = (
                FileEntry(
                    key=f"{prefix}/{name}",
                    bytes=len(packed),
                    sha256=hashlib.sha256(packed).hexdigest(),
                    raw_bytes=len(body),
                    raw_sha256=hashlib.sha256(body).hexdigest(),
                    rows=rows,
                    content_type=content_type,
                    compression="gzip",
                ),
            )
        manifest = Manifest(
            vendor=series.vendor,
            account=series.account,
            stream=series.stream,
            usage_date=day.isoformat(),
            timezone=timezone,
            window_requested=UsageWindow(day, timezone).as_dict(),
            window_returned=None,
            snapshot_id=snapshot_id,
            snapshot_at=at.isoformat(),
            maturity="final",
            revision=1,
            previous=None,
            unchanged=False,
            empty=not rows,
            rows=rows,
            vendor_rows=rows,
            pages=1,
            duplicates=0,
            files=files,
            columns=(),
            columns_added=(),
            columns_removed=(),
            envelope={},
            request={"method": "GET", "path": "/costs"},
            tool={"name": "airflow-usage-provider", "version": "0"},
            schema=schema.as_dict() if schema else None,
        )
        manifest = replace(manifest, **fields)
        (place / "_manifest.json").write_bytes(manifest.to_json())
        return manifest

    def store_rows(
        self, series: Series, day: date, rows: Sequence[Mapping[str, Any]], schema: StreamSchema, **fields: Any
    ) -> Manifest:
        """Write a snapshot of JSON Lines; values of type ``str`` under ``cost`` are written as numbers."""
        body = b"".join(_line(row) for row in rows)
        return self.store(series, day, body, len(rows), schema, content_type=JSON, **fields)

    def store_export(self, day: date, group_by: str | None = None, stream: str = "api_keys", **fields: Any) -> Manifest:
        """Write what the sandbox's Langdock exports; a later revision has other figures."""
        question = Question(7, "acme", stream, day, day, group_by, fields.get("revision", 1) - 1, LangdockSwitches())
        body = b"".join(build_csv(question).blocks())
        series = Series("langdock", "acme", f"{stream}_by_{group_by}" if group_by else stream)
        schema = fields.pop("schema", export_schema(stream, group_by))
        return self.store(series, day, body, build_csv(question).rows, schema, **fields)

    def store_users(self, day: date, summary_type: str = "daily", account: str = "acme", **fields: Any) -> Manifest:
        """Write what the sandbox's Keywords AI lists."""
        users, frame = Users(7, account), Frame(summary_type, day)
        members = list_active(users, sample_days(summary_type, day)[0])
        rows = [users_row(users, index, frame, KeywordsAISwitches()) for index in members]
        body = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
        stream = "users" if summary_type == "daily" else f"users_{summary_type}"
        totals = aggregate(users, frame, members)
        said = {name: str(value) if isinstance(value, float) else value for name, value in totals.items()}
        fields = {"envelope": {"aggregation_data": said}, **fields}
        schema = users_schema(stream="users", summary_type=summary_type, environment=None)
        return self.store(
            Series("keywordsai", account, stream), day, body, len(rows), schema, content_type=JSON, **fields
        )


def _line(row: Mapping[str, Any]) -> bytes:
    members = (
        f"{json.dumps(name)}: {value if name == 'cost' and isinstance(value, str) else json.dumps(value)}"
        for name, value in row.items()
    )
    return f"{{{', '.join(members)}}}\n".encode()


def read_csv(path: Path) -> Iterator[dict[str, str]]:
    """The rows of a CSV file."""
    return csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline=""))
