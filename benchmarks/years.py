"""An S3 with three years of an archive, and a folder of tables beside it: ``python -m benchmarks.years``.

Manifests and parts are made from their names as they are asked for, and are true of one another. A day is asked for
four times: its answer is revised once, and confirmed twice. Tells at ``/requests`` what it was asked.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import re
import threading
from collections import Counter
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import lru_cache, partial
from hashlib import blake2b
from pathlib import Path

from benchmarks.archive import ETAG, Names, list_objects, name_snapshot
from benchmarks.wire import Connection, Limits, Request, serve

STREAMS = ("agents", "api_keys", "models", "projects", "users", "workflows")
MANIFEST, PART = "_manifest.json", "part-00000.csv.gz"
REVISED = 2  # days after the first snapshot, which is of the day behind
CONFIRMED = (3, 4)
FILES = ((0, MANIFEST), (0, PART), (REVISED, MANIFEST), (REVISED, PART), *((days, MANIFEST) for days in CONFIRMED))
DAYS = (date(2026, 10, 31) - date(2023, 11, 1)).days + 1
KEYS, KEYS_A_DAY = 40, 30
COLUMNS = ("api_key_id", "api_key_name", "requests", "total_cost_usd", "sum_prompt_tokens", "sum_completion_tokens")
MANIFEST_BYTES = 2048
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass(frozen=True)
class Store:
    """
    What the server has.

    :param folder: its files are the objects below ``tables/``.
    """

    names: Names
    folder: Path
    asked: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def open(cls, accounts: int, folder: Path) -> Store:
        """Make names for so many accounts, and list the folder."""
        beside = sorted(f"tables/{path.relative_to(folder)}" for path in folder.rglob("*") if path.is_file())
        names = Names(accounts=accounts, days=DAYS, streams=STREAMS, files=FILES, beside=tuple(beside))
        return cls(names, folder)

    def read(self, name: str) -> bytes | None:
        """Return an object; None if there is none."""
        if name.startswith("tables/"):
            path = self.folder / name.removeprefix("tables/")
            return path.read_bytes() if path.is_file() else None
        make = MAKERS.get(name.rpartition("/")[2])
        return make(name) if make else None

    def size(self, name: str) -> int:
        """Return the bytes of an object, without making it."""
        if name.startswith("tables/"):
            return (self.folder / name.removeprefix("tables/")).stat().st_size
        return MANIFEST_BYTES if name.endswith(MANIFEST) else _part_bytes()

    def count(self, what: str) -> None:
        """Count a request."""
        with self.lock:
            self.asked[what] += 1


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a name says."""

    place: str
    account: str
    stream: str
    usage_date: date
    id: str

    @classmethod
    def of(cls, name: str) -> Snapshot:
        """Read a name."""
        place, _, rest = name.partition("/snapshot=")
        said = dict(segment.split("=", 1) for segment in place.split("/") if "=" in segment)
        usage_date = date.fromisoformat(said["usage_date"])
        return cls(place, said["account"], said["stream"], usage_date, rest.partition("/")[0])

    @property
    def at(self) -> datetime:
        """When it was made."""
        return datetime.fromisoformat(self.id.partition("-")[0])

    @property
    def days(self) -> int:
        """How many days after the first."""
        return (self.at.date() - self.usage_date).days - 1

    def earlier(self, days: int) -> str:
        """Return the id of the snapshot of the same day so many days after the first."""
        return name_snapshot(self.place, self.usage_date, days)


def make_rows(snapshot: Snapshot) -> bytes:
    """Return what the vendor sent: lines of one length, of keys that come and go from day to day."""
    lines = [",".join(COLUMNS)]
    for number in range(KEYS_A_DAY):
        key = (snapshot.usage_date.toordinal() + number) % KEYS
        identity = blake2b(f"{snapshot.account}/{key}".encode(), digest_size=16).hexdigest()
        dice = int.from_bytes(blake2b(f"{identity}{snapshot.usage_date}{snapshot.days}".encode()).digest())
        cost = f"{dice % 7}.{dice % 10**12:012}"
        lines.append(f"{identity},Key {key:02},{1000 + dice % 9000},{cost},{dice % 10**6:06},{dice % 10**5:05}")
    return ("\n".join(lines) + "\n").encode()


def make_part(name: str) -> bytes:
    """Return a part; gzip that only stores, so that all have one size, as listings must tell it."""
    return gzip.compress(make_rows(Snapshot.of(name)), compresslevel=0, mtime=0)


def make_manifest(name: str) -> bytes:
    """Return a manifest, with blanks up to the size of all."""
    snapshot = Snapshot.of(name)
    last = min(snapshot.days, REVISED)  # what confirms an answer names the part of that
    part = f"{snapshot.place}/snapshot={snapshot.earlier(last)}/{PART}"
    before = [snapshot.earlier(days) for days, _ in FILES if days < snapshot.days]
    body, raw = make_part(part), make_rows(Snapshot.of(part))
    entry = {
        "key": part, "bytes": len(body), "sha256": hashlib.sha256(body).hexdigest(), "raw_bytes": len(raw),
        "raw_sha256": hashlib.sha256(raw).hexdigest(), "rows": KEYS_A_DAY, "content_type": "text/csv",
        "compression": "gzip",
    }  # fmt: skip
    day = snapshot.usage_date
    window = {"start": f"{day}T00:00:00+00:00", "end": f"{day + timedelta(days=1)}T00:00:00+00:00", "timezone": "UTC"}
    document = {
        "manifest_version": 1, "vendor": "langdock", "account": snapshot.account, "stream": snapshot.stream,
        "usage_date": f"{day}", "timezone": "UTC", "window_requested": window, "window_returned": None,
        "snapshot_id": snapshot.id, "snapshot_at": snapshot.at.isoformat(),
        "maturity": "final" if snapshot.days > REVISED else "provisional", "revision": 2 if last else 1,
        "previous": before[-1] if before else None, "unchanged": snapshot.days > REVISED, "empty": False,
        "rows": KEYS_A_DAY, "vendor_rows": KEYS_A_DAY, "pages": 1, "duplicates": 0, "files": [entry],
        "columns": COLUMNS, "columns_added": [], "columns_removed": [], "envelope": {},
        "request": {"method": "POST", "path": f"/export/{snapshot.stream}"}, "airflow": {},
        "tool": {"name": "airflow-usage-provider", "version": "0.2.0"},
    }  # fmt: skip
    text = json.dumps(document)
    if len(text) >= MANIFEST_BYTES:
        raise ValueError("a manifest is longer than all are said to be")
    return f"{text:<{MANIFEST_BYTES - 1}}\n".encode()


MAKERS = {MANIFEST: make_manifest, PART: make_part}


@lru_cache(maxsize=1)
def _part_bytes() -> int:
    return len(make_part(Names(days=1, files=FILES, streams=STREAMS)[1]))


def handle(connection: Connection, store: Store) -> None:
    """Answer one client."""
    for request in connection.requests():
        key = request.path.lstrip("/").partition("/")[2]
        if request.path == "/requests":
            connection.answer(body=json.dumps(store.asked).encode())
        elif "list-type" in request.query:
            store.count("listing")
            body = list_objects(store.names, request.query, store.size)
            connection.answer(body=body, headers={"Content-Type": "application/xml"})
        else:
            kind = "manifest" if key.endswith(MANIFEST) else "part" if key.endswith(PART) else "table"
            store.count(f"{request.method} {kind}")
            _send(connection, request, store.read(key))


def _send(connection: Connection, request: Request, body: bytes | None) -> None:
    if body is None:
        connection.answer(404, b"" if request.method == "HEAD" else b"<Error><Code>NoSuchKey</Code></Error>")
        return
    headers = {
        "ETag": ETAG,  # of all: nothing here ever changes
        "Last-Modified": "Sun, 01 Nov 2026 02:00:00 GMT",
        "Accept-Ranges": "bytes",
    }
    status = 200
    if asked := _RANGE.fullmatch(request.headers.get("range", "")):
        whole, status = len(body), 206
        start = int(asked[1]) if asked[1] else max(whole - int(asked[2]), 0)
        body = body[start : int(asked[2]) + 1] if asked[1] and asked[2] else body[start:]
        headers["Content-Range"] = f"bytes {start}-{start + len(body) - 1}/{whole}"
    is_head = request.method == "HEAD"
    connection.answer(status, b"" if is_head else body, headers, length=len(body))


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=50)
    parser.add_argument("--latency", type=float, default=0.05, help="seconds before each answer")
    parser.add_argument("--tables", type=Path, required=True, help="folder of the objects below tables/")
    options = parser.parse_args()
    store = Store.open(options.accounts, options.tables)
    serve(partial(handle, store=store), limits=Limits(latency=options.latency))


if __name__ == "__main__":
    main()
