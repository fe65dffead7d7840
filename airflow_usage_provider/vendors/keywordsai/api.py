"""Keywords AI (now Respan): users and their cost, as paged JSON.

Page N is built from our own parameters on the configured base, never from a link of the vendor's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from airflow_usage_provider.exceptions import (
    ConfigurationError,
    IncompleteSnapshotError,
)
from airflow_usage_provider.http.client import HttpClient
from airflow_usage_provider.models import UsageWindow, load_zone
from airflow_usage_provider.records.listing import Page, read_page

if TYPE_CHECKING:
    from airflow_usage_provider.http.connection import VendorConnection

VENDOR = "keywordsai"
STREAMS = ("users", "users_list")
SUMMARY_TYPES = ("daily", "weekly", "monthly", "yearly", "all")
MAX_PAGE_SIZE = 1000
_PAST_END = (400, 404)  # what some versions answer behind the last page
_NO_SUCH_PAGE = re.compile(r"invalid page( number)?\.?", re.ASCII | re.IGNORECASE)  # and how they say so


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

    @property
    def method(self) -> str:
        """Of the request."""
        return "POST" if self.stream == "users_list" else "GET"

    @property
    def path(self) -> str:
        """Of the request."""
        return "/api/users/list/" if self.stream == "users_list" else "/api/users/"

    def parameters(self, page: int) -> dict[str, Any]:
        """Query of one page, without anything secret."""
        parameters: dict[str, Any] = {"page": page, "page_size": self.page_size}
        if self.stream == "users":
            parameters["summary_type"] = self.summary_type
            parameters |= date_parameters(self.window)
        else:
            parameters["sort_by"] = "customer_identifier"  # keeps pages from shifting while users are created
        if self.environment:
            parameters["environment"] = self.environment
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

    def check(self) -> None:
        """Ask for one user, to see that host and key are right."""
        yesterday = datetime.now(load_zone("UTC")).date() - timedelta(days=1)
        self.fetch_page(UsersQuery(window=UsageWindow(yesterday), environment=self.environment, page_size=1), 1)

    def fetch_page(self, query: UsersQuery, page: int, *, attempts: int | None = None) -> Page | None:
        """
        Ask for a page; None if the vendor says that there is no such page.

        :param attempts: how often to try; default: as often as the client does.
        :raises InvalidBodyError: it is not JSON, or JSON of another shape.
        :raises IncompleteSnapshotError: something else says that there is no such page, as gateways do.
        """
        answer = self.http.request(
            query.method,
            query.path,
            stream=query.stream,
            params=query.parameters(page),
            body={"filters": {}} if query.method == "POST" else None,
            expected=_PAST_END if page > 1 else (),
            attempts=attempts,
        )
        if answer.status not in _PAST_END:
            return _read_users(answer.body)
        document = answer.json()
        if isinstance(document, dict) and _NO_SUCH_PAGE.fullmatch(str(document.get("detail"))):
            return None
        raise IncompleteSnapshotError(
            f"Page {page} was refused, and not as the vendor refuses a page behind the last",
            status=answer.status,
            next_step="Nothing was archived; try again later.",
        )


def _read_users(body: bytes) -> Page:
    """Take a page apart. ``next`` is a flag, and where its address names a page, that page's number."""
    page = read_page(body, "results", following="next")
    envelope = dict(page.envelope)
    envelope.pop("previous", None)  # an address of the vendor's that says nothing of the records
    totals = envelope.get("aggregation_data")
    return replace(
        page,
        next=_page_number(page.next) if isinstance(page.next, str) else page.next,
        envelope=envelope,
        total=totals.get("total_users") if isinstance(totals, dict) else None,
        summary=totals,
    )


def _page_number(link: str) -> int | str:
    try:
        number = parse_qs(urlsplit(link).query).get("page", [""])[-1]
    except ValueError:  # no address that can be read, but a flag all the same
        return link
    return int(number) if number.isdecimal() and len(number) < 20 else link


def date_parameters(window: UsageWindow) -> dict[str, Any]:
    """
    Return ``date`` and ``timezone_offset`` of a usage date.

    The vendor answers for the day that contains ``date``, and does not say in which zone it reads it: the hour is the
    first that lies within the day both as UTC and as local time. ``timezone_offset`` is UTC minus local, in hours; text
    where it is not whole, as decimals are everywhere.
    """
    noon = datetime.combine(window.usage_date, time(12), load_zone(window.timezone))
    offset = -(noon.utcoffset() or timedelta()).total_seconds() / 3600
    moment = datetime.combine(window.usage_date, time()) + timedelta(hours=max(0.0, offset))
    return {
        "date": moment.isoformat(sep=" ", timespec="seconds"),
        "timezone_offset": int(offset) if offset == int(offset) else str(offset),
    }


def _check(is_valid: bool, name: str, value: object, allowed: str) -> None:  # noqa: FBT001
    if not is_valid:
        raise ConfigurationError(f"{VENDOR}: {name} is {value!r}", next_step=f"Give {allowed}.")
