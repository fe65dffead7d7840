"""Keywords AI (now Respan): users and their cost, as paged JSON.

Page N is built from our own parameters on the configured base; ``next`` is a flag and no address, ``count`` proves
nothing. A listing is complete when its pages ended on an end sign and, beyond one page, a second reading of it agreed.
"""

from __future__ import annotations

import hashlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from airflow_usage_provider.exceptions import (
    ConfigurationError,
    IncompleteSnapshotError,
    InvalidBodyError,
    ListingChangedError,
)
from airflow_usage_provider.models import FileFormat, StreamFacts, UsageWindow, load_zone
from airflow_usage_provider.vendors.http import HttpClient
from airflow_usage_provider.vendors.json_records import JsonPage, read_members, split_page

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

    from airflow_usage_provider.vendors.base import VendorConnection

VENDOR = "keywordsai"
STREAMS = ("users", "users_list")
SUMMARY_TYPES = ("daily", "weekly", "monthly", "yearly", "all")
MAX_PAGE_SIZE = 1000
MAX_PAGES = 100_000
_PAST_END = (400, 404)  # what some versions answer behind the last page


@dataclass(frozen=True, slots=True, kw_only=True)
class UsersQuery:
    """
    What to list.

    :param stream: ``users`` (figures of a day) or ``users_list`` (cumulative figures, as of the request).
    :param summary_type: ``daily``, ``weekly``, ``monthly``, ``yearly`` or ``all``: the span around the usage date.
    :param environment: ``prod`` or ``test`` where it is not the key's own.
    :param page_size: records a page, 1 to 1000.
    :param pages_in_flight: pages asked for at the same time.
    :param verify_pages: read a listing of several pages a second time, to prove that nothing moved.
    :raises ConfigurationError: one of them cannot be.
    """

    window: UsageWindow
    stream: str = "users"
    summary_type: str = "daily"
    environment: str | None = None
    page_size: int = MAX_PAGE_SIZE
    pages_in_flight: int = 4
    verify_pages: bool = True

    def __post_init__(self) -> None:
        _check(self.stream in STREAMS, "stream", self.stream, f"one of {', '.join(STREAMS)}")
        _check(
            self.summary_type in SUMMARY_TYPES, "summary_type", self.summary_type, f"one of {', '.join(SUMMARY_TYPES)}"
        )
        _check(self.page_size in range(1, MAX_PAGE_SIZE + 1), "page_size", self.page_size, f"1 to {MAX_PAGE_SIZE}")
        _check(self.pages_in_flight in range(1, 33), "pages_in_flight", self.pages_in_flight, "1 to 32")

    @property
    def archive_stream(self) -> str:
        """Name in the archive: ``users``, ``users_weekly``, ``users_test``, ``users_list``."""
        is_default = self.stream != "users" or self.summary_type == "daily"
        return "_".join([self.stream, *([] if is_default else [self.summary_type]), *filter(None, [self.environment])])

    def parameters(self, page: int, environment: str | None) -> dict[str, Any]:
        """Query of one page, without anything secret."""
        parameters: dict[str, Any] = {"page": page, "page_size": self.page_size}
        if self.stream == "users":
            parameters["summary_type"] = self.summary_type
            parameters |= date_parameters(self.window)
        else:
            parameters["sort_by"] = "customer_identifier"  # keeps pages from shifting while users are created
        if environment := self.environment or environment:
            parameters["environment"] = environment
        return parameters


class KeywordsAI:
    """
    The API at one connection.

    :param environment: the key's own environment, from the connection; the vendor's default where None.
    """

    def __init__(self, connection: VendorConnection, *, environment: str | None = None, **client_options: Any) -> None:
        # A base that ends in /api is what the vendor's own client takes too.
        self.connection = connection = replace(connection, base_url=connection.base_url.removesuffix("/api"))
        self.environment = environment
        self.http = HttpClient(VENDOR, connection, timeout=60.0, **client_options)

    def close(self) -> None:
        """Close the kept connections."""
        self.http.close()

    def open_users(self, query: UsersQuery) -> KeywordsAIUsers:
        """Return the stream of a listing."""
        return KeywordsAIUsers(self, query)

    def check(self) -> None:
        """Ask for one user, to see that host and key are right."""
        yesterday = datetime.now(load_zone("UTC")).date() - timedelta(days=1)
        self.fetch_page(UsersQuery(window=UsageWindow(yesterday), page_size=1), 1)

    def fetch_page(self, query: UsersQuery, page: int) -> JsonPage | None:
        """
        Ask for a page; None behind the end.

        :raises InvalidBodyError: it is not JSON, or JSON of another shape.
        """
        is_list = query.stream == "users_list"
        path = "/api/users/list/" if is_list else "/api/users/"
        answer = self.http.request(
            "POST" if is_list else "GET",
            path,
            stream=query.stream,
            params=query.parameters(page, self.environment),
            body={"filters": {}} if is_list else None,
            expected=_PAST_END if page > 1 else (),
        )
        if answer.status in _PAST_END:
            return None
        try:
            return split_page(answer.body, "results")
        except InvalidBodyError as error:
            raise self.http.error(
                InvalidBodyError,
                error.message,
                stream=query.stream,
                url=self.http.url(path),
                next_step="Check the host of the connection; if it is right, the vendor answered something broken.",
            ) from None


class KeywordsAIUsers:
    """A listing as JSON Lines: one user a line, each as the vendor sent it, in the vendor's order."""

    file_format = FileFormat.JSON_LINES

    def __init__(self, vendor: KeywordsAI, query: UsersQuery) -> None:
        self._vendor = vendor
        self._query = query
        self._known_listing: _Listing | None = None

    @property
    def name(self) -> str:
        """Name of the stream in the archive."""
        return self._query.archive_stream

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
        Yield the pages in order; several are asked for at once, but only where there may be one.

        :raises IncompleteSnapshotError: the pages do not come to an end.
        """
        query, vendor = self._query, self._vendor
        first = vendor.fetch_page(query, 1)
        if first is None:
            return
        yield first
        if not self._has_next(first, 1) or not (first.records or first.envelope.get("next")):
            return
        with ThreadPoolExecutor(query.pages_in_flight, thread_name_prefix="keywordsai-page") as executor:
            window: deque[Future[JsonPage | None]] = deque()
            number, asked, before = 1, 1, first
            try:
                while True:
                    while len(window) < query.pages_in_flight:
                        asked += 1
                        window.append(executor.submit(vendor.fetch_page, query, asked))
                    number += 1
                    page = window.popleft().result()
                    if page is None or not (page.records or (before.records and page.envelope.get("next"))):
                        return
                    if not before.records:
                        self._refuse(f"Page {number} has users, page {number - 1} has none")
                    if page.records == before.records:
                        self._refuse(f"Page {number} repeats page {number - 1}")
                    yield page
                    if not self._has_next(page, number):
                        return
                    if number >= MAX_PAGES:
                        self._refuse(f"The listing does not end within {MAX_PAGES} pages")
                    before = page
            finally:
                for future in window:
                    future.cancel()

    def read(self) -> Generator[bytes, None, StreamFacts]:
        """
        Yield the users, return the facts.

        :raises ListingChangedError: users moved between pages; reading again may find the listing at rest.
        :raises IncompleteSnapshotError: the pages do not come to an end, or repeat.
        """
        listing, rows, duplicates = _Listing(), 0, 0
        columns: dict[str, None] = {}
        envelope: dict[str, Any] = {}
        for page in self.iter_pages():
            fresh = [record for record in page.records if listing.add(record, columns)]
            duplicates += len(page.records) - len(fresh)
            rows += len(fresh)
            listing.pages += 1
            if listing.pages == 1:
                envelope = dict(page.envelope)
            if fresh:
                yield b"\n".join([*fresh, b""])
        self._verify(listing)
        envelope.pop("next", None)  # an address of the vendor's that says nothing of the records
        envelope.pop("previous", None)
        return StreamFacts(
            rows=rows, pages=listing.pages, duplicates=duplicates, columns=tuple(columns), envelope=envelope
        )

    def _verify(self, listing: _Listing) -> None:
        if not self._query.verify_pages or listing.pages < 2:
            return
        known, self._known_listing = self._known_listing, listing
        if known is None:
            known = _Listing()
            for page in self.iter_pages():
                known.pages += 1
                for record in page.records:
                    known.add(record, {})
            self._known_listing = known
        if known.users != listing.users:
            raise self._vendor.http.error(
                ListingChangedError,
                "Users were created or deleted while the pages were read: two readings of the listing disagree",
                stream=self._query.stream,
                next_step="Run again when the listing rests.",
            )

    def _has_next(self, page: JsonPage, number: int) -> bool:
        following = page.envelope.get("next", "")
        if following is None:
            return False
        claimed = parse_qs(urlsplit(str(following)).query).get("page", [""])[-1]
        if claimed.isdecimal() and int(claimed) <= number:
            self._refuse(f"Page {number} says that page {claimed} is next")
        return True

    def _refuse(self, message: str) -> None:
        raise self._vendor.http.error(
            IncompleteSnapshotError,
            message,
            stream=self._query.stream,
            next_step="Nothing was archived; try again later.",
        )


class _Listing:
    """Which users a reading of the listing held."""

    def __init__(self) -> None:
        self.pages = 0
        self.users: set[bytes] = set()

    def add(self, record: bytes, columns: dict[str, None]) -> bool:
        """Note a user and its columns; False if it was there already."""
        fields = read_members(record)
        columns.update(dict.fromkeys(fields))
        user = fields.get("customer_identifier", b"null")
        is_named = user not in (b"null", b'""')  # users without a name are as many as there are records of them
        key = b"\x00".join([user, fields.get("environment", b"")]) if is_named else record
        key = hashlib.blake2b(key, digest_size=8).digest()
        if key in self.users:
            return False
        self.users.add(key)
        return True


def date_parameters(window: UsageWindow) -> dict[str, Any]:
    """
    Return ``date`` and ``timezone_offset`` of a usage date.

    The vendor answers for the day that contains ``date``, and does not say in which zone it reads it: the hour is the
    first that lies within the day both as UTC and as local time. ``timezone_offset`` is UTC minus local, in hours.
    """
    noon = datetime.combine(window.usage_date, time(12), load_zone(window.timezone))
    offset = -(noon.utcoffset() or timedelta()).total_seconds() / 3600
    moment = datetime.combine(window.usage_date, time()) + timedelta(hours=max(0.0, offset))
    return {
        "date": moment.isoformat(sep=" ", timespec="seconds"),
        "timezone_offset": int(offset) if offset == int(offset) else offset,
    }


def _check(is_valid: bool, name: str, value: object, allowed: str) -> None:  # noqa: FBT001
    if not is_valid:
        raise ConfigurationError(f"{VENDOR}: {name} is {value!r}", next_step=f"Give {allowed}.")
