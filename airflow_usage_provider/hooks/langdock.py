"""Langdock: the hook that holds its credentials."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from airflow_usage_provider.hooks.base import UsageHook
from airflow_usage_provider.models import UsageWindow

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    import pandas as pd

    from airflow_usage_provider.vendors.langdock.api import Export, ExportQuery, Langdock
    from airflow_usage_provider.vendors.langdock.streams import LangdockExport


class LangdockHook(UsageHook):
    """
    Exports the usage of a Langdock workspace.

    :param langdock_conn_id: connection with the API key (scope ``USAGE_EXPORT_API``) in ``password`` and, for a
        dedicated deployment, its base URL with path in ``host``. Extras: ``account``, ``timeout``,
        ``connect_timeout``, ``download_timeout``, ``requests_per_minute``, ``ca_bundle``, ``allow_http``,
        ``allow_insecure_download``, ``allow_private_download``.
    """

    conn_name_attr = "langdock_conn_id"
    default_conn_name = "langdock_default"
    conn_type = "langdock"
    hook_name = "Langdock"
    base_url = "https://api.langdock.com"
    default_requests_per_minute = 500

    def __init__(self, langdock_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(langdock_conn_id, **kwargs)
        self.langdock_conn_id = langdock_conn_id

    def get_conn(self) -> Langdock:
        """Return the vendor's API at this connection; one for the life of the hook."""
        vendor: Langdock = super().get_conn()
        return vendor

    def check(self) -> None:
        """Ask for an export of yesterday, without downloading it."""
        with closing(self.open_vendor(max_attempts=1)) as vendor:
            vendor.check()

    def create_export(
        self, *, stream: str, usage_date: str | date, group_by: str | None = None, timezone: str = "UTC"
    ) -> Export:
        """
        Ask for an export.

        :param stream: ``api_keys``, ``users``, ``agents``, ``projects``, ``models`` or ``workflows``.
        :param usage_date: the day, ``YYYY-MM-DD``, at most 12 months back.
        :param group_by: ``model`` (api_keys, users, agents), ``source`` or ``deployment`` (models).
        :param timezone: IANA name of the day's zone.
        :return: record count and signed URL; its ``repr`` hides the URL, which is a secret.
        :raises UsageProviderError: see :mod:`airflow_usage_provider.exceptions`.
        """
        from airflow_usage_provider.vendors.langdock.api import ExportQuery

        window = UsageWindow.parse(usage_date, timezone)
        return self.get_conn().create_export(ExportQuery(window=window, stream=stream, group_by=group_by))

    def iter_export_chunks(
        self, *, stream: str, usage_date: str | date, group_by: str | None = None, timezone: str = "UTC"
    ) -> Iterator[bytes]:
        """
        Ask for an export and yield its CSV as bytes, in constant memory, checked as the archive checks it.

        Parameters are those of :meth:`create_export`.

        :raises IncompleteSnapshotError: at the end, if it was cut or has another number of records than announced.
        """
        yield from self.open_stream(stream, UsageWindow.parse(usage_date, timezone), group_by=group_by).read()

    def get_export_df(
        self, *, stream: str, usage_date: str | date, group_by: str | None = None, timezone: str = "UTC"
    ) -> pd.DataFrame:
        """
        Return an export as a frame, one row a record, columns as the vendor names them.

        Identifiers are strings, times UTC datetimes, counts nullable integers, money ``Decimal``; a period without
        data is a frame without rows, and a value that cannot be read as what it should be an ``InvalidBodyError``.
        Parameters and other errors are those of :meth:`iter_export_chunks`.
        """
        return self.get_df(stream, usage_date=usage_date, timezone=timezone, group_by=group_by)

    def open_stream(self, stream: str, window: UsageWindow, **options: Any) -> LangdockExport:
        """
        Return the export of a day; nothing is asked of the vendor yet.

        :param options: of :class:`~airflow_usage_provider.vendors.langdock.api.ExportQuery`.
        :raises ConfigurationError: there is no such stream.
        """
        from airflow_usage_provider.vendors.langdock.api import ExportQuery
        from airflow_usage_provider.vendors.langdock.streams import LangdockExport

        return LangdockExport(self.get_conn(), ExportQuery(window=window, stream=stream, **options))

    def is_export_ready(self, query: ExportQuery, *, waits: bool = True) -> bool | None:
        """
        Ask once whether the export's signed URL serves; None for a period without data.

        Never tries again by itself: who waits comes back later, over the same connection.

        :param waits: wait for a turn under the connection's rate; if not, and there is none, that is an error.
        :raises UsageProviderError: see :mod:`airflow_usage_provider.exceptions`.
        """
        return self.get_conn().is_ready(query, waits=waits)

    def open_vendor(self, **client_options: Any) -> Langdock:
        """Return the vendor's API, with options of its HTTP client."""
        from airflow_usage_provider.vendors.langdock.api import Langdock

        return Langdock(self.connection, **client_options)
