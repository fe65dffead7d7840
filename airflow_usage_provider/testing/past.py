"""A past for a demo: weeks of days of both vendors, archived as they would have been then, without Airflow.

Each day is pulled in the night after it. Some are pulled again a week later, when a key with ``revise_after=1`` has
other figures.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, time, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_usage_provider.archive.checksums import prefer_checksums
from airflow_usage_provider.archive.keys import ArchiveLocation, Series
from airflow_usage_provider.archive.snapshot import Archive
from airflow_usage_provider.models import UsageWindow
from airflow_usage_provider.testing import connect
from airflow_usage_provider.vendors.keywordsai.api import KeywordsAI, UsersQuery
from airflow_usage_provider.vendors.keywordsai.streams import KeywordsAIUsers
from airflow_usage_provider.vendors.langdock.api import ExportQuery, Langdock
from airflow_usage_provider.vendors.langdock.streams import LangdockExport

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import date

EXPORTS = (("api_keys", None), ("api_keys", "model"), ("models", None))
EVERY = 9  # days of which one is pulled again
LATER = timedelta(days=7)
_AT_ONCE = 4


def archive_past(url: str, keys: dict[str, str], client: Any, archive_url: str, days: Sequence[date]) -> int:
    """
    Archive days of both vendors as they would have been archived then; return the number of snapshots.

    :param url: of a server that is both vendors, as the sandbox is.
    :param keys: API key by vendor.
    """
    prefer_checksums(client)
    location = ArchiveLocation.parse(archive_url)

    def archive_day(day: date) -> int:
        night = datetime.combine(day, time(2), UTC) + timedelta(days=1)
        again = day.toordinal() % EVERY == 0 and night + LATER < datetime.now(UTC)
        pulls = [night, night + LATER] if again else [night]
        for at in pulls:
            for stream in _streams(url, keys, UsageWindow(day, "UTC")):
                _archive(Archive(client=client, location=location, now=partial(_stand_still, at)), stream, day)
        return len(pulls) * (1 + len(EXPORTS))

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return sum(pool.map(archive_day, days))


def _streams(url: str, keys: dict[str, str], window: UsageWindow) -> Iterator[Any]:
    with closing(KeywordsAI(connect(url, keys["keywordsai"]))) as vendor:
        yield KeywordsAIUsers(vendor, UsersQuery(window=window, stream="users"))
    with closing(Langdock(connect(url, keys["langdock"]))) as vendor:
        for stream, group_by in EXPORTS:
            yield LangdockExport(vendor, ExportQuery(window=window, stream=stream, group_by=group_by))


def _stand_still(at: datetime) -> datetime:
    return at


def _archive(archive: Archive, stream: Any, day: date) -> None:
    vendor = "langdock" if isinstance(stream, LangdockExport) else "keywordsai"
    series = Series(vendor, "acme", stream.name)
    with archive.open_snapshot(
        series, UsageWindow(day, "UTC"), stream.file_format, question=stream.question
    ) as snapshot:
        reading = stream.read()
        while True:
            try:
                snapshot.write(next(reading))
            except StopIteration as end:
                snapshot.commit(end.value, maturity="final", request=stream.request, schema=stream.schema)
                return
