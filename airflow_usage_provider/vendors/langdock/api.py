"""Langdock's usage export: an answer that names a CSV behind a signed URL, or JSON at once.

The request names a day by its wall-clock time in its zone. What an error status means is in the body's words, in either
of the vendor's two shapes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeGuard

from airflow_usage_provider.exceptions import (
    ConfigurationError,
    ExportTooLargeError,
    IncompleteSnapshotError,
    InvalidBodyError,
    RequestRejectedError,
    UsageProviderError,
)
from airflow_usage_provider.http.answers import request_id, status_error
from airflow_usage_provider.http.client import HttpClient
from airflow_usage_provider.http.download import Downloader, SignedUrl
from airflow_usage_provider.models import UsageWindow, load_zone
from airflow_usage_provider.vendors.langdock.query import VENDOR, ExportQuery
from airflow_usage_provider.vendors.langdock.ranges import find_oldest_date, is_of_another_day

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_usage_provider.http.answers import ApiResponse
    from airflow_usage_provider.http.connection import VendorConnection
    from airflow_usage_provider.http.exchange import Exchange

__all__ = ["Export", "ExportQuery", "Langdock", "is_count"]
TIMEOUT = 180.0  # an export of a large workspace answers after half a minute and more
_EXPLAINED = (400, 404)
_PATH_STEP = (
    "Check the connection's host (a dedicated deployment's is https://<host>/api/public); "
    "if it is right, the workspace lacks this stream."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """
    An export the vendor made.

    :param record_count: data records in the file; 0 for a period without data.
    :param download_url: the signed URL, a secret; None where there is nothing to download.
    :param date_range: the range the vendor said it covers.
    :param request_id: the vendor's id of the request, for its support.
    """

    record_count: int
    download_url: str | None = field(default=None, repr=False)
    date_range: Mapping[str, Any] | None = None
    data_type: str | None = None
    request_id: str | None = None


class Langdock:
    """The API at one connection."""

    def __init__(self, connection: VendorConnection, **client_options: Any) -> None:
        self.connection = connection
        self.http = HttpClient(VENDOR, connection, timeout=TIMEOUT, **client_options)
        self.downloader = Downloader(connection, self.http.error, timeout=60.0)

    def close(self) -> None:
        """Close the kept connections."""
        self.http.close()
        self.downloader.close()

    def check(self) -> None:
        """Ask for an export, to see that host, key and scope are right."""
        yesterday = datetime.now(load_zone("UTC")).date() - timedelta(days=1)
        self.create_export(ExportQuery(window=UsageWindow(yesterday), stream="api_keys"))

    def create_export(self, query: ExportQuery, *, attempts: int | None = None, waits: bool = True) -> Export:
        """
        Ask for an export by the CSV route.

        :param attempts: how often to try; default: as often as the client does.
        :param waits: wait for a turn under the connection's rate.
        :raises ExportTooLargeError: it would be longer than the vendor exports.
        :raises IncompleteSnapshotError: the vendor says it covers another day.
        :raises InvalidBodyError: the answer is not the documented envelope.
        """
        answer = self.http.request(
            "POST",
            query.path,
            stream=query.stream,
            body=query.body,
            expected=_EXPLAINED,
            attempts=attempts,
            waits=waits,
        )
        if not answer.is_success:
            self._explain(answer, query)
            return Export(record_count=0, request_id=request_id(answer.headers))
        export = _read_export(answer)
        if export is None:
            raise self._error(InvalidBodyError, "The answer is not the envelope of an export", query)
        self.check_range(export.date_range, query)
        return export

    def check_range(self, said: Mapping[str, Any] | None, query: ExportQuery) -> None:
        """
        See that the range an export says it covers is the one asked for.

        :raises IncompleteSnapshotError: it is of another day, so the answer is not the one to this request.
        """
        if is_of_another_day(said, query.window):
            self.http.close()  # whoever mixed up the answers, no connection they came on is used again
            raise self._error(
                IncompleteSnapshotError,
                f"The vendor answers with a range of another day than {query.window.usage_date}",
                query,
                next_step="Nothing was archived; try again later.",
            )

    @staticmethod
    def oldest_date(today: date) -> date | None:
        """Return the oldest day that the vendor exports."""
        return find_oldest_date(today)

    def is_ready(self, query: ExportQuery, *, waits: bool = True) -> bool | None:
        """
        Whether the export's signed URL serves; None for a period without data. Asks once.

        :param waits: wait for a turn under the connection's rate.
        :raises RateLimitedError: there is no turn now, or the vendor says so; ``retry_after`` says when.
        :raises DownloadExpiredError: it does not serve yet.
        """
        export = self.create_export(query, attempts=1, waits=waits)
        if export.record_count == 0:
            return None
        if export.download_url is None:
            return False
        self.downloader.probe(SignedUrl(export.download_url), stream=query.stream)
        return True

    def open_json(self, query: ExportQuery) -> Exchange | None:
        """Ask for an export by the JSON route; None for a period without data. The caller closes it."""
        exchange = self.http.stream("POST", query.path, stream=query.stream, body=query.body, expected=_EXPLAINED)
        if exchange.status == 200:
            return exchange
        self._explain(exchange.read_answer(), query)
        return None

    def _explain(self, answer: ApiResponse, query: ExportQuery) -> None:
        """Return if the answer says that there is no data, raise what else it says."""
        if not isinstance(answer.json(), dict):
            raise status_error(answer)
        if answer.status == 404:
            if "no data found" in _error_text(answer):
                return
            raise self._error(ConfigurationError, "The API has no such export", query, status=404, next_step=_PATH_STEP)
        if "too large" in _error_text(answer):
            raise self._error(
                ExportTooLargeError,
                "One day holds more than the 1,000,000 rows that the vendor exports at once",
                query,
                status=400,
                next_step="Leave out group_by, or ask the vendor; totals of parts of a day would not add up.",
            )
        raise self._error(
            RequestRejectedError,
            "The vendor rejected the export",
            query,
            status=400,
            next_step="Check usage_date (at most 12 months back), timezone and group_by.",
        )

    def _error(
        self, kind: type[UsageProviderError], message: str, query: ExportQuery, **details: Any
    ) -> UsageProviderError:
        details.setdefault(
            "next_step", "Check the host of the connection; if it is right, the vendor answered something broken."
        )
        return self.http.error(kind, message, stream=query.stream, url=self.http.url(query.path), **details)


def _read_export(answer: ApiResponse) -> Export | None:
    """Read the envelope; None if it is none. Raises nothing: the signed URL is among its locals."""
    document = answer.json()
    data = document.get("data") if isinstance(document, dict) and document.get("success") is not False else None
    count = data.get("recordCount") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not is_count(count):
        return None
    url, date_range = data.get("downloadUrl"), data.get("dateRange")
    return Export(
        record_count=count,
        download_url=url if isinstance(url, str) and url else None,
        date_range=date_range if isinstance(date_range, dict) else None,
        data_type=str(data["dataType"]) if "dataType" in data else None,
        request_id=request_id(answer.headers),
    )


def is_count(value: object) -> TypeGuard[int]:
    """Whether a vendor's value is a number of records."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _error_text(answer: ApiResponse) -> str:
    """Return the words of an error body in lower case, whichever of the vendor's two shapes it has."""
    document = answer.json()
    if not isinstance(document, dict):
        return ""
    error = document.get("error")
    words = [error.get("type"), error.get("message")] if isinstance(error, dict) else [error, document.get("message")]
    return " ".join(str(word) for word in words if word).lower().replace("_", " ")
