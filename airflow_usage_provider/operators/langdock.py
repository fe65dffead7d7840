"""Langdock: archives its usage exports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_usage_provider.hooks.langdock import LangdockHook
from airflow_usage_provider.operators.snapshot import UsageSnapshotToS3Operator

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from airflow_usage_provider.models import UsageWindow, VendorStream


class LangdockExportToS3Operator(UsageSnapshotToS3Operator):
    """
    Asks for an export, downloads it from its signed URL and archives the CSV as it was sent.

    Beside the parameters of
    :class:`~airflow_usage_provider.operators.snapshot.UsageSnapshotToS3Operator`:

    :param langdock_conn_id: Airflow connection to the vendor. (templated)
    :param stream: ``api_keys``, ``users``, ``agents``, ``projects``, ``models`` or ``workflows``. (templated)
    :param group_by: ``model`` (api_keys, users, agents), ``source`` or ``deployment`` (models). (templated)
    :param output_format: ``csv``, or ``json`` for the JSON route, archived as JSON Lines. (templated)
    """

    vendor = "langdock"
    hook_class = LangdockHook
    template_fields: Sequence[str] = (
        *UsageSnapshotToS3Operator.template_fields,
        "langdock_conn_id",
        "stream",
        "group_by",
        "output_format",
    )

    def __init__(
        self,
        *,
        langdock_conn_id: str = LangdockHook.default_conn_name,
        stream: str = "api_keys",
        group_by: str | None = None,
        output_format: str = "csv",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.langdock_conn_id = langdock_conn_id
        self.stream = stream
        self.group_by = group_by
        self.output_format = output_format

    def open_stream(self, hook: LangdockHook, window: UsageWindow) -> VendorStream:
        """Return the export of a day."""
        return hook.open_stream(self.stream, window, group_by=self.group_by, output_format=self.output_format)

    @classmethod
    def oldest_day(cls, today: date) -> date | None:
        """Return the oldest day that the vendor exports, 12 months back."""
        from airflow_usage_provider.vendors.langdock.ranges import find_oldest_date

        return find_oldest_date(today)

    @classmethod
    def check_stream(cls, window: UsageWindow, **stream: Any) -> None:
        """Refuse a stream or a grouping that the vendor does not export."""
        from airflow_usage_provider.vendors.langdock.api import ExportQuery

        ExportQuery(window=window, **stream)
