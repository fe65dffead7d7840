"""Keywords AI (now Respan): users and their cost, as paged JSON.

Page N is built from our own parameters on the configured base, never from a link of the vendor's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from airflow_usage_provider.exceptions import (
    ConfigurationError,
    InvalidBodyError,
)
from airflow_usage_provider.http.client import HttpClient
from airflow_usage_provider.models import UsageWindow, load_zone
from airflow_usage_provider.records.json import JsonPage, split_page

if TYPE_CHECKING:
    from airflow_usage_provider.http.connection import VendorConnection

VENDOR = "keywordsai"
STREAMS = ("users", "users_list")
SUMMARY_TYPES = ("daily", "weekly", "monthly", "yearly", "all")
MAX_PAGE_SIZE = 1000
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
