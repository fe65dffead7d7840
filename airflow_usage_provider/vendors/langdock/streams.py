"""A Langdock export as a stream: CSV from the signed URL, or the JSON route's records.

``recordCount`` is the vendor's word on how many records there are; another number is an incomplete export. A signed URL
never leaves this object: it is used at once, and asked for anew when it does not serve.
"""

from __future__ import annotations

import logging
from itertools import chain
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_usage_provider.exceptions import (
    DownloadExpiredError,
    IncompleteSnapshotError,
    InvalidBodyError,
    RateLimitedError,
    UsageProviderError,
    VendorUnavailableError,
)
from airflow_usage_provider.http.answers import refuse_markup
from airflow_usage_provider.http.download import SignedUrl
from airflow_usage_provider.models import FileFormat, StreamFacts
from airflow_usage_provider.records.csv import CsvRecordCounter
from airflow_usage_provider.records.json import iter_records
from airflow_usage_provider.records.json_members import MemberReader
from airflow_usage_provider.vendors.langdock.schemas import export_schema

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from datetime import date

    from airflow_usage_provider.http.exchange import Exchange
    from airflow_usage_provider.schema import StreamSchema
    from airflow_usage_provider.vendors.langdock.api import Export, ExportQuery, Langdock

_LATER = "Nothing was archived; try again later."
_log = logging.getLogger(__name__)


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
    def schema(self) -> StreamSchema:
        """What the columns mean."""
        return export_schema(self._query.stream, self._query.group_by)

    @property
    def request(self) -> Mapping[str, Any]:
        """Method, path and body."""
        return {"method": "POST", "path": self._query.path, "parameters": self._query.body}

    @property
    def question(self) -> Mapping[str, Any]:
        """What is asked without its day: another question is another series."""
        return self._query.question

    def oldest_date(self, today: date) -> date | None:
        """Return the oldest day that the vendor exports."""
        return self._vendor.oldest_date(today)

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
        with download, download.naming(_LATER):
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
            day, records = self._query.window.usage_date, export.record_count
            request_id = f" (request id {export.request_id})" if export.request_id else ""
            _log.info("%s of %s: the vendor exports %d records%s", self.name, day, records, request_id)
            if export.download_url is None:
                if export.record_count:
                    self._refuse(f"The vendor announces {export.record_count} records and no download URL")
                return export, None
            download = http.retrying(VendorUnavailableError, RateLimitedError)(
                self._vendor.downloader.open, SignedUrl(export.download_url), stream=stream
            )
            length = download.headers.get("Content-Length", "")
            size = length if length.isdecimal() else "an unknown number of"
            _log.info("%s of %s: downloading %s bytes", self.name, day, size)
            return export, download

        return http.retrying(DownloadExpiredError)(ask)

    def _read_json(self) -> Generator[bytes, None, StreamFacts]:
        exchange = self._vendor.open_json(self._query)
        if exchange is None:
            return StreamFacts(rows=0, vendor_rows=0)
        rows, members = 0, MemberReader()
        with exchange, exchange.naming(_LATER):
            chunks = exchange.iter_chunks()
            head = next(chunks, b"")
            refuse_markup(head, exchange.status, exchange.error)
            records = iter_records(chain([head], chunks), "data")
            while True:
                try:
                    record = next(records)
                except StopIteration as end:
                    envelope: dict[str, Any] = end.value
                    break
                rows += 1
                members.read(record)
                yield record + b"\n"
        metadata = envelope.get("metadata")
        metadata = metadata if isinstance(metadata, dict) and envelope.get("success") is not False else {}
        announced = metadata.get("recordCount")
        if not isinstance(announced, int) or isinstance(announced, bool):
            self._refuse("The answer is not the envelope of an export", InvalidBodyError)
        self._check_count(rows, announced)
        covered = metadata.get("dateRange")
        self._vendor.check_range(covered, self._query)
        return StreamFacts(
            rows=rows,
            vendor_rows=announced,
            columns=tuple(members.names),
            envelope={name: metadata[name] for name in ("dataType",) if name in metadata},  # no other: URLs are secret
            window_returned=covered if isinstance(covered, dict) else None,
        )

    def _check_count(self, rows: int, announced: int) -> None:
        if rows != announced:
            self._refuse(f"The export has {rows} records, the vendor announced {announced}")

    def _refuse(self, message: str, kind: type[UsageProviderError] = IncompleteSnapshotError) -> NoReturn:
        raise self._vendor.http.error(kind, message, stream=self._query.stream, next_step=_LATER)
