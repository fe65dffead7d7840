"""Langdock's usage export: an answer that names a CSV behind a signed URL, or JSON at once.

``recordCount`` is the vendor's word on how many records the file has; a file with another number is incomplete. A
signed URL never leaves the object that asked for it: it is used at once, and asked for anew when it does not serve.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain
from typing import TYPE_CHECKING, Any, NoReturn, TypeGuard

from airflow_usage_provider.exceptions import (
    ConfigurationError,
    DownloadExpiredError,
    ExportTooLargeError,
    IncompleteSnapshotError,
    InvalidBodyError,
    RateLimitedError,
    RequestRejectedError,
    UsageProviderError,
    VendorUnavailableError,
)
from airflow_usage_provider.models import FileFormat, StreamFacts, UsageWindow, load_zone
from airflow_usage_provider.vendors.answers import ApiResponse
from airflow_usage_provider.vendors.csv_records import CsvRecordCounter
from airflow_usage_provider.vendors.download import Downloader
from airflow_usage_provider.vendors.http import MAX_BODY_BYTES, HttpClient
from airflow_usage_provider.vendors.json_records import iter_records, read_members

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

    from airflow_usage_provider.vendors.base import VendorConnection
    from airflow_usage_provider.vendors.exchange import Exchange

VENDOR = "langdock"
TIMEOUT = 180.0  # an export of a large workspace answers after half a minute and more
_EXPLAINED = (400, 404)
_PATH_STEP = (
    "Check the connection's host (a dedicated deployment's is https://<host>/api/public); "
    "if it is right, the workspace lacks this stream."
)

#: Path and groupings of each stream.
STREAMS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "api_keys": ("/export/api-keys", ("model",)),
    "users": ("/export/users", ("model",)),
    "agents": ("/export/agents", ("model",)),
    "projects": ("/export/projects", ()),
    "models": ("/export/models", ("source", "deployment")),
    "workflows": ("/export/workflows", ()),
}
OUTPUT_FORMATS = ("csv", "json")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportQuery:
    """
    What to export.

    :param stream: ``api_keys``, ``users``, ``agents``, ``projects``, ``models`` or ``workflows``.
    :param group_by: ``model`` (api_keys, users, agents), ``source`` or ``deployment`` (models), or None.
    :param output_format: ``csv``, or ``json`` for the JSON route.
    :raises ConfigurationError: one of them cannot be.
    """

    window: UsageWindow
    stream: str
    group_by: str | None = None
    output_format: str = "csv"

    def __post_init__(self) -> None:
        if self.stream not in STREAMS:
            raise ConfigurationError(
                f"{VENDOR}: unknown stream {self.stream!r}", next_step=f"Give one of {', '.join(STREAMS)}."
            )
        groupings = STREAMS[self.stream][1]
        if self.group_by and self.group_by not in groupings:
            allowed = f"{' or '.join(groupings)}, or nothing" if groupings else "nothing"
            raise ConfigurationError(
                f"{VENDOR}: stream {self.stream!r} has no group_by {self.group_by!r}", next_step=f"Give {allowed}."
            )
        if self.output_format not in OUTPUT_FORMATS:
            raise ConfigurationError(
                f"{VENDOR}: unknown output_format {self.output_format!r}", next_step="Give csv or json."
            )

    @property
    def archive_stream(self) -> str:
        """Name in the archive: ``api_keys``, ``api_keys_by_model``."""
        return f"{self.stream}_by_{self.group_by}" if self.group_by else self.stream

    @property
    def path(self) -> str:
        """Path of the export: the bare one answers the CSV route."""
        return STREAMS[self.stream][0] + ("/json" if self.output_format == "json" else "")

    @property
    def body(self) -> dict[str, Any]:
        """Body of the request: wall-clock time in the zone, to the last millisecond of the day."""
        day, zone = self.window.usage_date.isoformat(), self.window.timezone
        body: dict[str, Any] = {
            "from": {"date": f"{day}T00:00:00.000Z", "timezone": zone},
            "to": {"date": f"{day}T23:59:59.999Z", "timezone": zone},
        }
        return body | ({"group_by": self.group_by} if self.group_by else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """
    An export the vendor made.

    :param record_count: data records in the file; 0 for a period without data.
    :param download_url: the signed URL, a secret; None where there is nothing to download.
    :param date_range: the range the vendor said it covers.
    """

    record_count: int
    download_url: str | None = field(default=None, repr=False)
    date_range: Mapping[str, Any] | None = None
    data_type: str | None = None


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

    def open_export(self, query: ExportQuery) -> LangdockExport:
        """Return the stream of an export."""
        return LangdockExport(self, query)

    def check(self) -> None:
        """Ask for an export, to see that host, key and scope are right."""
        yesterday = datetime.now(load_zone("UTC")).date() - timedelta(days=1)
        self.create_export(ExportQuery(window=UsageWindow(yesterday), stream="api_keys"))

    def create_export(self, query: ExportQuery) -> Export:
        """
        Ask for an export by the CSV route.

        :raises ExportTooLargeError: it would be longer than the vendor exports.
        :raises InvalidBodyError: the answer is not the documented envelope.
        """
        answer = self.http.request("POST", query.path, stream=query.stream, body=query.body, expected=_EXPLAINED)
        if answer.status != 200:
            self._explain(answer, query)
            return Export(record_count=0)
        document = answer.json()
        data = document.get("data") if isinstance(document, dict) and document.get("success") is not False else None
        count = data.get("recordCount") if isinstance(data, dict) else None
        if not isinstance(data, dict) or not _is_count(count):
            raise self._error(InvalidBodyError, "The answer is not the envelope of an export", query)
        url = data.get("downloadUrl")
        date_range = data.get("dateRange")
        return Export(
            record_count=count,
            download_url=url if isinstance(url, str) and url else None,
            date_range=date_range if isinstance(date_range, dict) else None,
            data_type=str(data["dataType"]) if "dataType" in data else None,
        )

    def is_ready(self, query: ExportQuery) -> bool | None:
        """
        Whether the export's signed URL serves; None for a period without data.

        :raises DownloadExpiredError: it does not serve yet.
        """
        export = self.create_export(query)
        if export.record_count == 0:
            return None
        if export.download_url is None:
            return False
        self.downloader.probe(export.download_url, stream=query.stream)
        return True

    def open_json(self, query: ExportQuery) -> Exchange | None:
        """Ask for an export by the JSON route; None for a period without data. The caller closes it."""
        exchange = self.http.stream("POST", query.path, stream=query.stream, body=query.body, expected=_EXPLAINED)
        if exchange.status == 200:
            return exchange
        self._explain(ApiResponse(exchange.status, exchange.headers, exchange.read(MAX_BODY_BYTES)), query)
        return None

    def _explain(self, answer: ApiResponse, query: ExportQuery) -> None:
        """Return if the answer says that there is no data, raise what else it says."""
        if answer.status == 404:
            if "no data found" in _error_text(answer):
                return
            raise self._error(
                ConfigurationError,
                "The API has no such export",
                query,
                status=404,
                next_step=_PATH_STEP,
            )
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


class LangdockExport:
    """An export as it was sent: CSV from the signed URL, or the JSON route's records as JSON Lines."""

    def __init__(self, vendor: Langdock, query: ExportQuery) -> None:
        self._vendor = vendor
        self._query = query

    @property
    def name(self) -> str:
        """Name of the stream in the archive."""
        return self._query.archive_stream

    @property
    def file_format(self) -> FileFormat:
        """CSV or JSON Lines."""
        return FileFormat.JSON_LINES if self._query.output_format == "json" else FileFormat.CSV

    @property
    def request(self) -> Mapping[str, Any]:
        """Method, path and body."""
        return {"method": "POST", "path": self._query.path, "parameters": self._query.body}

    def read(self) -> Generator[bytes, None, StreamFacts]:
        """
        Yield the export's bytes, return the facts.

        :raises IncompleteSnapshotError: the body was cut, or has another number of records than the vendor said.
        """
        return (yield from self._read_json() if self._query.output_format == "json" else self._read_csv())

    def _read_csv(self) -> Generator[bytes, None, StreamFacts]:
        export, download = self._open_download()
        if download is None:
            return StreamFacts(rows=0, vendor_rows=0, window_returned=export.date_range)
        counter = CsvRecordCounter()
        with download, self._named_errors():
            for chunk in download.iter_chunks():
                counter.feed(chunk)
                yield chunk
            counter.finish()
        self._check_count(counter.rows, export.record_count)
        if not download.has_end and not counter.is_terminated:
            self._refuse("The download has neither a length nor a final line end, so nothing proves that it is whole")
        return StreamFacts(
            rows=counter.rows,
            vendor_rows=export.record_count,
            columns=counter.columns,
            envelope={"dataType": export.data_type} if export.data_type else {},
            window_returned=export.date_range,
        )

    def _open_download(self) -> tuple[Export, Exchange | None]:
        """Ask for an export, and for another one while its signed URL does not serve."""
        http, stream = self._vendor.http, self._query.stream

        def ask() -> tuple[Export, Exchange | None]:
            export = self._vendor.create_export(self._query)
            if export.download_url is None:
                if export.record_count:
                    self._refuse(f"The vendor announces {export.record_count} records and no download URL")
                return export, None
            download = http.retrying(VendorUnavailableError, RateLimitedError)(
                self._vendor.downloader.open, export.download_url, stream=stream
            )
            return export, download

        return http.retrying(DownloadExpiredError)(ask)

    def _read_json(self) -> Generator[bytes, None, StreamFacts]:
        exchange = self._vendor.open_json(self._query)
        if exchange is None:
            return StreamFacts(rows=0, vendor_rows=0)
        rows, columns = 0, dict[str, None]()
        with exchange, self._named_errors():
            chunks = exchange.iter_chunks()
            head = next(chunks, b"")
            self._vendor.http.refuse_markup(head, exchange.status, self._query.path, stream=self._query.stream)
            records = iter_records(chain([head], chunks), "data")
            while True:
                try:
                    record = next(records)
                except StopIteration as end:
                    envelope: dict[str, Any] = end.value
                    break
                rows += 1
                columns.update(dict.fromkeys(read_members(record)))
                yield record + b"\n"
        metadata = envelope.get("metadata")
        metadata = metadata if isinstance(metadata, dict) and envelope.get("success") is not False else {}
        announced = metadata.get("recordCount")
        if not _is_count(announced):
            self._refuse("The answer is not the envelope of an export", InvalidBodyError)
        self._check_count(rows, announced)
        return StreamFacts(
            rows=rows,
            vendor_rows=announced,
            columns=tuple(columns),
            envelope={name: metadata[name] for name in ("dataType",) if name in metadata},  # no other: URLs are secret
            window_returned=metadata.get("dateRange"),
        )

    def _check_count(self, rows: int, announced: int) -> None:
        if rows != announced:
            self._refuse(f"The export has {rows} records, the vendor announced {announced}")

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        """Add vendor, connection and stream to what the record readers raise."""
        try:
            yield
        except (IncompleteSnapshotError, InvalidBodyError) as error:
            if error.vendor:
                raise
            self._refuse(error.message, type(error))

    def _refuse(self, message: str, kind: type[UsageProviderError] = IncompleteSnapshotError) -> NoReturn:
        raise self._vendor.http.error(
            kind, message, stream=self._query.stream, next_step="Nothing was archived; try again later."
        ) from None


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _error_text(answer: ApiResponse) -> str:
    """Return the words of an error body in lower case, whichever of the vendor's two shapes it has."""
    document = answer.json()
    if not isinstance(document, dict):
        return ""
    error = document.get("error")
    words = [error.get("type"), error.get("message")] if isinstance(error, dict) else [error, document.get("message")]
    return " ".join(str(word) for word in words if word).lower().replace("_", " ")
