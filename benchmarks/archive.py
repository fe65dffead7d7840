"""An S3 that lists an archive of seven million objects nobody stored: ``python -m benchmarks.archive``.

Names are made as they are asked for; a manifest is made from its name. Counts what it was asked at ``/requests``.
"""

from __future__ import annotations

import argparse
import json
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from hashlib import blake2b
from itertools import islice
from typing import TYPE_CHECKING, overload
from urllib.parse import quote

from benchmarks.wire import Connection, Limits, serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

BUCKET = "archive"
STREAMS = ("agents", "api_keys", "assistants", "models", "projects", "users", "workflows")
FILES = ((0, "_manifest.json"), (0, "part-00000.csv.gz"), (1, "_manifest.json"), (1, "part-00000.csv.gz"),
    (2, "_manifest.json"), (2, "part-00000.csv.gz"), (3, "_manifest.json"), (3, "part-00000.csv.gz"),
    (4, "_manifest.json"))  # fmt: skip
PAGE = 1000


@dataclass(frozen=True)
class Names(Sequence[str]):
    """
    Every name of an archive in order, by number.

    :param files: of each day: how many days after its first snapshot, and the name.
    :param beside: names that come behind those of the archive.
    """

    accounts: int = 100
    days: int = 1095
    first: date = date(2023, 11, 1)
    streams: tuple[str, ...] = STREAMS
    files: tuple[tuple[int, str], ...] = FILES
    beside: tuple[str, ...] = ()

    def __len__(self) -> int:
        return self._own + len(self.beside)

    @property
    def _own(self) -> int:
        return self.accounts * len(self.streams) * self.days * len(self.files)

    @overload
    def __getitem__(self, number: int) -> str: ...
    @overload
    def __getitem__(self, number: slice) -> list[str]: ...
    def __getitem__(self, number: int | slice) -> str | list[str]:
        if isinstance(number, slice):
            return [self[each] for each in range(*number.indices(len(self)))]
        if number >= self._own:
            return self.beside[number - self._own]
        rest, file = divmod(number, len(self.files))
        rest, day = divmod(rest, self.days)
        account, stream = divmod(rest, len(self.streams))
        snapshot, name = self.files[file]
        usage_date = self.first + timedelta(days=day)
        place = f"raw/vendor=langdock/account=team{account:04d}/stream={self.streams[stream]}/usage_date={usage_date}"
        return f"{place}/snapshot={name_snapshot(place, usage_date, snapshot)}/{name}"

    def behind(self, prefix: str, after: str, delimiter: str) -> Iterator[tuple[str, bool]]:
        """Yield what a listing shows behind a name: names, and common prefixes, which are skipped as a whole."""
        number = bisect_left(self, max(prefix, f"{after}\0" if after else ""))
        while number < len(self) and (name := self[number]).startswith(prefix):
            head, separator, _ = name[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
            if separator:
                common = f"{prefix}{head}{separator}"
                if not after.startswith(common):
                    yield common, True
                number = bisect_left(self, f"{common}\U0010ffff", number)
            else:
                yield name, False
                number += 1


def name_snapshot(place: str, usage_date: date, days: int) -> str:
    """Return the id of a snapshot of a day, so many days after the first."""
    suffix = blake2b(f"{place}{days}".encode(), digest_size=4).hexdigest()
    return f"{usage_date + timedelta(days=days + 1):%Y%m%d}T020000Z-{suffix}"


NAMES = Names()
SIZE, ETAG = 1800, '"d41d8cd98f00b204e9800998ecf8427e"'  # as listings have them
REQUESTS: Counter[str] = Counter()


def handle(connection: Connection) -> None:
    """Answer one client."""
    for request in connection.requests():
        _, _, key = request.path.lstrip("/").partition("/")
        if request.path == "/requests":
            connection.answer(body=json.dumps(REQUESTS).encode())
        elif "list-type" in request.query:
            REQUESTS["list"] += 1
            connection.answer(body=list_objects(NAMES, request.query), headers={"Content-Type": "application/xml"})
        elif key.endswith("_manifest.json"):
            REQUESTS["get"] += 1
            connection.answer(body=make_manifest(key), headers={"ETag": '"x"', "Content-Type": "application/json"})
        else:
            REQUESTS["other"] += 1
            connection.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")


def list_objects(names: Names, query: Mapping[str, str], size: Callable[[str], int] = lambda _: SIZE) -> bytes:
    """Answer ``ListObjectsV2``; ``size`` tells the bytes of an object by its name."""
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    after = query.get("continuation-token") or query.get("start-after", "")
    found = list(islice(names.behind(prefix, after, delimiter), PAGE + 1))
    shown = found[:PAGE]
    lines = ["<ListBucketResult><EncodingType>url</EncodingType>"]
    if len(found) > PAGE:
        last, is_common = shown[-1]
        token = f"{last}\U0010ffff" if is_common else last
        lines.append(f"<IsTruncated>true</IsTruncated><NextContinuationToken>{token}</NextContinuationToken>")
    for name, is_common in shown:
        if is_common:
            lines.append(f"<CommonPrefixes><Prefix>{quote(name)}</Prefix></CommonPrefixes>")
        else:
            lines.append(
                f"<Contents><Key>{quote(name)}</Key><LastModified>2026-11-01T02:00:00.000Z</LastModified>"
                f"<ETag>{ETAG}</ETag><Size>{size(name)}</Size>"
                "<StorageClass>STANDARD</StorageClass></Contents>"
            )
    return "".join([*lines, "</ListBucketResult>"]).encode()


def make_manifest(key: str) -> bytes:
    """Return a manifest as its name says it must be."""
    names = dict(segment.split("=", 1) for segment in key.split("/") if "=" in segment)
    begun = datetime.fromisoformat(names["snapshot"].partition("-")[0])
    number = (begun.date() - date.fromisoformat(names["usage_date"])).days
    part = key.replace("_manifest.json", "part-00000.csv.gz")
    entry = {"key": part, "bytes": SIZE, "sha256": "0" * 64, "raw_bytes": 9000, "raw_sha256": "0" * 64, "rows": 40}
    window = {"start": f"{names['usage_date']}T00:00:00+00:00", "end": "", "timezone": "UTC"}
    document = {
        "manifest_version": 1, "vendor": "langdock", "account": names["account"], "stream": names["stream"],
        "usage_date": names["usage_date"], "timezone": "UTC", "window_requested": window, "window_returned": None,
        "snapshot_id": names["snapshot"], "snapshot_at": begun.isoformat(), "maturity": "final", "revision": number,
        "previous": None, "unchanged": False, "empty": False, "rows": 40, "vendor_rows": 40, "pages": 1,
        "duplicates": 0, "files": [entry | {"content_type": "text/csv", "compression": "gzip"}],
        "columns": ["api_key_id", "api_key_name", "requests", "total_cost_usd"], "columns_added": [],
        "columns_removed": [], "envelope": {}, "request": {"method": "POST", "path": "/export"}, "airflow": {},
        "tool": {"name": "airflow-usage-provider", "version": "0.2.0"},
    }  # fmt: skip
    return json.dumps(document, indent=2).encode()


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latency", type=float, default=0.05, help="seconds before each answer")
    serve(handle, limits=Limits(latency=parser.parse_args().latency))


if __name__ == "__main__":
    main()
