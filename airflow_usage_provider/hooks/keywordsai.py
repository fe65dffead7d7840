"""Keywords AI (now Respan): the hook that holds its credentials."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from airflow_usage_provider.hooks.base import UsageHook
from airflow_usage_provider.models import FileFormat, UsageWindow

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    import pandas as pd

    from airflow_usage_provider.vendors.keywordsai.api import KeywordsAI
    from airflow_usage_provider.vendors.keywordsai.streams import KeywordsAIUsers


class KeywordsAIHook(UsageHook):
    """
    Lists the users of a Keywords AI organisation with their usage and cost.

    :param keywordsai_conn_id: connection with the API key in ``password`` and, where it is not the vendor's public
        one, the base URL in ``host``. Extras: ``account``, ``environment``, ``timeout``, ``connect_timeout``,
        ``requests_per_minute``, ``ca_bundle``, ``allow_http``.
    """

    conn_name_attr = "keywordsai_conn_id"
    default_conn_name = "keywordsai_default"
    conn_type = "keywordsai"
    hook_name = "Keywords AI"
    base_url = "https://api.keywordsai.co"
    default_requests_per_minute = 60

    def __init__(self, keywordsai_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(keywordsai_conn_id, **kwargs)
        self.keywordsai_conn_id = keywordsai_conn_id

    def get_conn(self) -> KeywordsAI:
        """Return the vendor's API at this connection; one for the life of the hook."""
        vendor: KeywordsAI = super().get_conn()
        return vendor

    def check(self) -> None:
        """Ask for one user of yesterday."""
        with closing(self.open_vendor(max_attempts=1)) as vendor:
            vendor.check()

    def iter_user_pages(
        self,
        *,
        usage_date: str | date,
        stream: str = "users",
        summary_type: str = "daily",
        timezone: str = "UTC",
        environment: str | None = None,
        page_size: int = 1000,
    ) -> Iterator[list[dict[str, Any]]]:
        """
        Yield the users page by page, as dicts with the vendor's field names; decimals are ``Decimal``.

        :param usage_date: the day, ``YYYY-MM-DD``.
        :param stream: ``users`` or ``users_list``.
        :param summary_type: ``daily``, ``weekly``, ``monthly``, ``yearly`` or ``all``: the span around the day.
        :param timezone: IANA name of the day's zone.
        :param environment: ``prod`` or ``test``; default: the connection's, else the vendor's.
        :param page_size: users a page, 1 to 1000.
        :raises UsageProviderError: see :mod:`airflow_usage_provider.exceptions`.
        """
        from airflow_usage_provider.records.rows import iter_rows

        options = {"summary_type": summary_type, "environment": environment, "page_size": page_size}
        users = self.open_stream(stream, UsageWindow.parse(usage_date, timezone), pages_in_flight=1, **options)
        for page in users.iter_pages():
            lines = (record + b"\n" for record in page.records)
            yield list(iter_rows(lines, FileFormat.JSON_LINES.content_type))

    def get_users_df(
        self,
        *,
        usage_date: str | date,
        stream: str = "users",
        summary_type: str = "daily",
        timezone: str = "UTC",
        environment: str | None = None,
        page_size: int = 1000,
    ) -> pd.DataFrame:
        """
        Return all users as a frame, one row a user, columns as the vendor names them.

        Identifiers are strings, times UTC datetimes, counts nullable integers, money ``Decimal``; a value that cannot
        be read as what it should be is an ``InvalidBodyError``. Parameters and other errors are those of
        :meth:`iter_user_pages`; as in the archive, the listing is proven complete.
        """
        options = {"summary_type": summary_type, "environment": environment, "page_size": page_size}
        return self.get_df(stream, usage_date=usage_date, timezone=timezone, **options)

    def open_stream(self, stream: str, window: UsageWindow, **options: Any) -> KeywordsAIUsers:
        """
        Return the listing of a day; nothing is asked of the vendor yet.

        :param options: of :class:`~airflow_usage_provider.vendors.keywordsai.api.UsersQuery`.
        :raises ConfigurationError: there is no such stream.
        """
        from airflow_usage_provider.vendors.keywordsai.api import UsersQuery
        from airflow_usage_provider.vendors.keywordsai.streams import KeywordsAIUsers

        return KeywordsAIUsers(self.get_conn(), UsersQuery(window=window, stream=stream, **options))

    def open_vendor(self, **client_options: Any) -> KeywordsAI:
        """Return the vendor's API, with options of its HTTP client."""
        from airflow_usage_provider.vendors.keywordsai.api import KeywordsAI

        return KeywordsAI(self.connection, environment=self.environment, **client_options)
