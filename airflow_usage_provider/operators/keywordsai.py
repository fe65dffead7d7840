"""Keywords AI (now Respan): archives its users with their usage and cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_usage_provider.exceptions import ConfigurationError
from airflow_usage_provider.hooks.keywordsai import KeywordsAIHook
from airflow_usage_provider.operators.snapshot import UsageSnapshotToS3Operator

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_usage_provider.models import UsageWindow, VendorStream


class KeywordsAIUsersToS3Operator(UsageSnapshotToS3Operator):
    """
    Pages through the users of an organisation and archives them as JSON Lines, each record as it was sent.

    Beside the parameters of
    :class:`~airflow_usage_provider.operators.snapshot.UsageSnapshotToS3Operator`:

    :param keywordsai_conn_id: Airflow connection to the vendor. (templated)
    :param stream: ``users``, or ``users_list``: cumulative figures as of the request. (templated)
    :param summary_type: ``daily``, ``weekly``, ``monthly``, ``yearly`` or ``all``: the span around the day. (templated)
    :param environment: ``prod`` or ``test``; appended to the stream's name in the archive. (templated)
    :param page_size: users a page, 1 to 1000.
    :param pages_in_flight: pages asked for at the same time, 1 to 32.
    :param verify_pages: prove that no user moved between pages: by the vendor's totals, or by a second reading.
    """

    vendor = "keywordsai"
    hook_class = KeywordsAIHook
    template_fields: Sequence[str] = (
        *UsageSnapshotToS3Operator.template_fields,
        "keywordsai_conn_id",
        "stream",
        "summary_type",
        "environment",
    )

    def __init__(
        self,
        *,
        keywordsai_conn_id: str = KeywordsAIHook.default_conn_name,
        stream: str = "users",
        summary_type: str = "daily",
        environment: str | None = None,
        page_size: int = 1000,
        pages_in_flight: int = 4,
        verify_pages: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.keywordsai_conn_id = keywordsai_conn_id
        self.stream = stream
        self.summary_type = summary_type
        self.environment = environment
        self.page_size = page_size
        self.pages_in_flight = pages_in_flight
        self.verify_pages = verify_pages

    def open_stream(self, hook: KeywordsAIHook, window: UsageWindow) -> VendorStream:
        """Return the listing of a day."""
        names = ("summary_type", "environment", "page_size", "pages_in_flight", "verify_pages")
        return hook.open_stream(self.stream, window, **{name: getattr(self, name) for name in names})

    def _windows(self, context: Mapping[str, Any], lookback_days: int) -> list[UsageWindow]:
        if self.stream == "users_list" and lookback_days:
            raise ConfigurationError(
                "keywordsai: stream 'users_list' has no past: its figures are as of the request",
                next_step="Leave lookback_days at 0 for it.",
            )
        return super()._windows(context, lookback_days)

    @classmethod
    def check_stream(cls, window: UsageWindow, **stream: Any) -> None:
        """Refuse a stream that the vendor does not have."""
        from airflow_usage_provider.vendors.keywordsai.api import UsersQuery

        UsersQuery(window=window, **stream)
