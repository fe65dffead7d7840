"""Keywords AI's users as a stream: pages in order, and the proof that nobody moved between them.

``next`` is a flag and no address, ``count`` proves nothing. A listing is complete when its pages ended on an end sign
and, beyond one page, the vendor's totals rested and are the users that came; without such totals, a second reading has
to agree.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import parse_qs, urlsplit

from airflow_usage_provider.exceptions import IncompleteSnapshotError, ListingChangedError
from airflow_usage_provider.models import FileFormat, StreamFacts
from airflow_usage_provider.records.listing import PagesAhead, Reading
from airflow_usage_provider.vendors.keywordsai.schemas import users_schema

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

    from airflow_usage_provider.records.json import JsonPage
    from airflow_usage_provider.schema import StreamSchema
    from airflow_usage_provider.vendors.keywordsai.api import KeywordsAI, UsersQuery

MAX_PAGES = 100_000
_log = logging.getLogger(__name__)


class KeywordsAIUsers:
    """A listing as JSON Lines: one user a line, each as the vendor sent it, in the vendor's order."""

    file_format = FileFormat.JSON_LINES

    def __init__(self, vendor: KeywordsAI, query: UsersQuery) -> None:
        self._vendor = vendor
        self._query = query
        self._known_reading: Reading | None = None
        self._is_one_page = True

    @property
    def name(self) -> str:
        """Name of the stream in the archive."""
        return self._query.archive_stream

    @property
    def schema(self) -> StreamSchema:
        """What the columns mean."""
        query = self._query
        environment = query.environment or self._vendor.environment
        return users_schema(stream=query.stream, summary_type=query.summary_type, environment=environment)

    @property
    def request(self) -> Mapping[str, Any]:
        """Method, path and parameters of the first page."""
        is_list = self._query.stream == "users_list"
        return {
            "method": "POST" if is_list else "GET",
            "path": "/api/users/list/" if is_list else "/api/users/",
            "parameters": self._query.parameters(1, self._vendor.environment),
        }

    def iter_pages(self) -> Iterator[JsonPage]:
        """
        Yield the pages in order.

        :raises IncompleteSnapshotError: the pages do not come to an end.
        """
        query, vendor = self._query, self._vendor
        fetch = partial(vendor.fetch_page, query)
        page, number, before = fetch(1), 1, None
        records, size = 0, 0
        self._is_one_page = True
        traffic = vendor.connection.traffic
        with PagesAhead(
            fetch, limit=query.pages_in_flight, has_room=vendor.http.has_room, count_retry=traffic.count_retry
        ) as ahead:
            while page is not None and (before is None or page.records or page.envelope.get("next")):
                if before is not None and not before.records:
                    if not page.records:
                        return
                    self._refuse(f"Page {number} has users, page {number - 1} has none")
                likely_last = _guess_last_page(page, query.page_size)
                records += len(page.records)
                size += sum(map(len, page.records))
                self._tell_page(number, likely_last, records, size)
                yield page
                if not self._has_next(page, number) or not (page.records or page.envelope.get("next")):
                    return
                if number >= MAX_PAGES:
                    self._refuse(f"The listing does not end within {MAX_PAGES} pages")
                number, before = number + 1, page
                self._is_one_page = False
                page = ahead.take(number, likely_last=likely_last)

    def read(self) -> Generator[bytes, None, StreamFacts]:
        """
        Yield the users, return the facts.

        :raises ListingChangedError: users moved between pages; reading again may find the listing at rest.
        :raises IncompleteSnapshotError: the pages do not come to an end, or repeat.
        """
        reading = Reading()
        envelope: dict[str, Any] = {}
        rested = True
        for page in self.iter_pages():
            fresh = self._take_page(reading, page)
            if reading.pages == 1:
                envelope = dict(page.envelope)
            rested = rested and page.envelope.get("aggregation_data") == envelope.get("aggregation_data")
            if self._query.verify_pages and page.records and _total_users(page.envelope) != _total_users(envelope):
                self._refuse_moved("their number changed")
            if fresh:
                yield b"\n".join([*fresh, b""])
        is_vouched_for = rested and _total_users(envelope) == reading.rows and not reading.duplicates
        if self._query.verify_pages and not self._is_one_page and not is_vouched_for:
            self._verify(reading)
        for link in ("next", "previous"):  # addresses of the vendor's that say nothing of the records
            envelope.pop(link, None)
        return StreamFacts(
            rows=reading.rows,
            pages=reading.pages,
            duplicates=reading.duplicates,
            columns=reading.columns,
            envelope=envelope,
        )

    def _tell_page(self, number: int, likely_last: int | None, records: int, size: int) -> None:
        level = logging.INFO if self._vendor.connection.traffic.is_progress_due() else logging.DEBUG
        day, of = self._query.window.usage_date, "" if likely_last is None else f" of about {likely_last}"
        _log.log(level, "%s of %s: page %d%s, %d records, %d bytes so far", self.name, day, number, of, records, size)

    def _take_page(self, reading: Reading, page: JsonPage) -> list[bytes]:
        fresh = reading.add_page(page)
        if fresh is None:
            self._refuse(f"Page {reading.pages + 1} repeats an earlier page")
        return fresh

    def _verify(self, reading: Reading) -> None:
        """Compare with the reading before, or with a second one."""
        known, self._known_reading = self._known_reading, reading
        if known is None:
            day = self._query.window.usage_date
            _log.info("%s of %s: reading %d pages again, in case users moved", self.name, day, reading.pages)
            known = Reading()
            for page in self.iter_pages():
                self._take_page(known, page)
            self._known_reading = known
        if not known.agrees_with(reading):
            self._refuse_moved("two readings of the listing disagree")

    def _refuse_moved(self, how: str) -> NoReturn:
        raise self._vendor.http.error(
            ListingChangedError,
            f"Users were created or deleted while the pages were read: {how}",
            stream=self._query.stream,
            next_step="Run again when the listing rests.",
        )

    def _has_next(self, page: JsonPage, number: int) -> bool:
        following = page.envelope.get("next", "")
        if following is None:
            return False
        claimed = _page_parameter(str(following))
        if claimed.isdecimal() and len(claimed) < 20 and int(claimed) <= number:
            self._refuse(f"Page {number} says that page {claimed} is next")
        return True

    def _refuse(self, message: str) -> NoReturn:
        raise self._vendor.http.error(
            IncompleteSnapshotError,
            message,
            stream=self._query.stream,
            next_step="Nothing was archived; try again later.",
        )


def _guess_last_page(page: JsonPage, page_size: int) -> int | None:
    """Return which page may be the last; a guess that only saves requests behind the end."""
    total = _total_users(page.envelope)
    return -(-total // page_size) if isinstance(total, int) else None


def _page_parameter(link: str) -> str:
    try:
        return parse_qs(urlsplit(link).query).get("page", [""])[-1]
    except ValueError:
        return ""  # no address that can be read, but a flag all the same


def _total_users(envelope: Mapping[str, Any]) -> Any:
    """Return how many users the vendor says it has, on each page; None where it does not say."""
    totals = envelope.get("aggregation_data")
    return totals.get("total_users") if isinstance(totals, dict) else None
