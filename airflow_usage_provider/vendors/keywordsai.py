"""Keywords AI (now Respan): users and their cost, as paged JSON.

Page N is built from our own parameters on the configured base; ``next`` is a flag and no address, ``count`` proves
nothing. A listing is complete when its pages ended on an end sign and, beyond one page, a second reading of it agreed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import parse_qs, urlsplit

from airflow_usage_provider.exceptions import (
    ConfigurationError,
    IncompleteSnapshotError,
    InvalidBodyError,
    ListingChangedError,
)
from airflow_usage_provider.models import FileFormat, StreamFacts, UsageWindow, load_zone
from airflow_usage_provider.vendors.http import HttpClient
from airflow_usage_provider.vendors.json_records import JsonPage, split_page
from airflow_usage_provider.vendors.pages import PagesAhead, Reading

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

    def fetch_page(self, query: UsersQuery, page: int, *, attempts: int | None = None) -> JsonPage | None:
        """
        Ask for a page; None behind the end.

        :param attempts: how often to try; default: as often as the client does.
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
            attempts=attempts,
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
        self._known_reading: Reading | None = None
        self._is_one_page = True

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
        Yield the pages in order.

        :raises IncompleteSnapshotError: the pages do not come to an end.
        """
        query, vendor = self._query, self._vendor
        fetch = partial(vendor.fetch_page, query)
        page, number, before = fetch(1), 1, None
        self._is_one_page = True
        with PagesAhead(fetch, limit=query.pages_in_flight, has_room=vendor.http.has_room) as ahead:
            while page is not None and (before is None or page.records or page.envelope.get("next")):
                if before is not None and not before.records:
                    if not page.records:
                        return
                    self._refuse(f"Page {number} has users, page {number - 1} has none")
                yield page
                if not self._has_next(page, number) or not (page.records or page.envelope.get("next")):
                    return
                if number >= MAX_PAGES:
                    self._refuse(f"The listing does not end within {MAX_PAGES} pages")
                number, before = number + 1, page
                self._is_one_page = False
                page = ahead.take(number, likely_last=_guess_last_page(page, query.page_size))

    def read(self) -> Generator[bytes, None, StreamFacts]:
        """
        Yield the users, return the facts.

        :raises ListingChangedError: users moved between pages; reading again may find the listing at rest.
        :raises IncompleteSnapshotError: the pages do not come to an end, or repeat.
        """
        reading = Reading()
        envelope: dict[str, Any] = {}
        for page in self.iter_pages():
            fresh = self._take_page(reading, page)
            if reading.pages == 1:
                envelope = dict(page.envelope)
            elif self._query.verify_pages and page.records and _total_users(page.envelope) != _total_users(envelope):
                self._refuse_moved("their number changed")
            if fresh:
                yield b"\n".join([*fresh, b""])
        if self._query.verify_pages and not self._is_one_page:
            self._verify(reading)
        for link in ("next", "previous"):  # addresses of the vendor's that say nothing of the records
            envelope.pop(link, None)
        return StreamFacts(
            rows=reading.rows,
            pages=reading.pages,
            duplicates=reading.duplicates,
            columns=tuple(reading.columns),
            envelope=envelope,
        )

    def _take_page(self, reading: Reading, page: JsonPage) -> list[bytes]:
        fresh = reading.add_page(page)
        if fresh is None:
            self._refuse(f"Page {reading.pages + 1} repeats an earlier page")
        return fresh

    def _verify(self, reading: Reading) -> None:
        """Compare with the reading before, or with a second one."""
        known, self._known_reading = self._known_reading, reading
        if known is None:
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
        if claimed.isdecimal() and int(claimed) <= number:
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
