"""What a listing needs of the client through which its pages are asked for."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from airflow_usage_provider.exceptions import UsageProviderError


class Progress(Protocol):
    """Counts and tells; :class:`~airflow_usage_provider.http.traffic.Traffic` does."""

    def count_retry(self) -> None:
        """Count a page that is asked for again."""

    def is_progress_due(self) -> bool:
        """Whether to tell of progress now."""


class PageClient(Protocol):
    """A client of one vendor; :class:`~airflow_usage_provider.http.client.HttpClient` is one."""

    @property
    def traffic(self) -> Progress:
        """What is counted and told."""

    def error(self, kind: type[UsageProviderError], message: str, **details: Any) -> UsageProviderError:
        """Build an error that names vendor and connection."""

    def url(self, path: str) -> str:
        """Return the URL that errors show."""

    def has_room(self) -> bool:
        """Whether a request could start now, without a wait."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class _Alone:
    """Stands in where there is no client: names nothing, limits nothing, tells nothing."""

    @property
    def traffic(self) -> _Alone:
        return self

    def count_retry(self) -> None:
        pass

    def is_progress_due(self) -> bool:
        return False

    def error(self, kind: type[UsageProviderError], message: str, **details: Any) -> UsageProviderError:
        return kind(message, **details)

    def url(self, path: str) -> str:
        return path

    def has_room(self) -> bool:
        return True

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


ALONE = _Alone()
