"""Streams the body behind a signed URL, without credentials and within a deadline.

A signed URL is a secret: it is requested and forgotten, and no message holds its path or query. Its host, and the host
of each redirect, must be https and public unless the connection allows otherwise.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from airflow_usage_provider.exceptions import (
    ConfigurationError,
    DownloadExpiredError,
    IncompleteSnapshotError,
)
from airflow_usage_provider.http.addresses import is_public_address
from airflow_usage_provider.http.answers import ApiResponse, status_error
from airflow_usage_provider.http.exchange import Exchange, Request, new_session
from airflow_usage_provider.http.transport import WatchedAdapter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_usage_provider.http.answers import ErrorBuilder
    from airflow_usage_provider.http.connection import VendorConnection

MAX_REDIRECTS = 3
_GONE = (401, 403, 404, 410)
_ALLOW_STEP = "If that is your deployment, set {} to true in the connection's extra."


class Downloader:
    """
    Downloads for one connection.

    :param error: builds an error that names vendor and connection.
    :param timeout: seconds without a byte where the connection says nothing.
    """

    def __init__(self, connection: VendorConnection, error: ErrorBuilder, *, timeout: float) -> None:
        self._connection = connection
        self._error = error
        self._timeout = connection.timeout or timeout
        self._session = new_session(WatchedAdapter(), ca_bundle=connection.ca_bundle)

    def close(self) -> None:
        """Close the kept connections."""
        self._session.close()

    def probe(self, url: str, *, stream: str) -> None:
        """
        See that the URL serves: ask for one byte and read no body.

        :raises DownloadExpiredError: it does not.
        """
        self._open(url, stream=stream, headers={"Range": "bytes=0-0"}, seconds=60.0 + self._timeout).close()

    def open(self, url: str, *, stream: str) -> Exchange:
        """
        Return the answer of a URL that serves; the caller closes it. The body has ``download_timeout`` seconds.

        :raises DownloadExpiredError: the URL does not serve: not yet, or no more.
        :raises ConfigurationError: the URL, or one it redirects to, leads where the connection does not allow.
        """
        return self._open(url, stream=stream, headers={}, seconds=self._connection.download_timeout)

    def _open(self, url: str, *, stream: str, headers: dict[str, str], seconds: float) -> Exchange:
        for _ in range(MAX_REDIRECTS + 1):
            self._check_url(url, stream)
            exchange = Exchange(
                self._session,
                Request("GET", url, headers=headers),
                timeout=(self._connection.connect_timeout, self._timeout),
                seconds=seconds,
                error=partial(self._error, stream=stream, url=_host(url)),
                public_only=not self._connection.allow_private_download,
            )
            target = exchange.redirect_target
            if target is None and self._check_status(exchange, is_probe=bool(headers), url=url, stream=stream):
                return exchange
            exchange.close()
            with self._readable_urls(stream):
                url = urljoin(url, target or "")
        raise self._error(
            ConfigurationError, f"The download redirects more than {MAX_REDIRECTS} times", stream=stream, url=_host(url)
        )

    def _check_status(self, exchange: Exchange, *, is_probe: bool, url: str, stream: str) -> bool:
        """Return True for an answer that serves, a whole body unless it is a probe's."""
        error = partial(self._error, stream=stream, url=_host(url))
        is_partial = exchange.status == 206 or "Content-Range" in exchange.headers
        if exchange.status in {200, 206} and (is_probe or not is_partial):
            return True
        exchange.close()
        if is_partial:
            raise error(IncompleteSnapshotError, "The download's host sends a part of the file", next_step="Try again.")
        if exchange.status in _GONE:
            said = "The download URL does not serve, not yet or no more"
            raise error(DownloadExpiredError, said, status=exchange.status, next_step="Try again later.")
        raise status_error(ApiResponse(exchange.status, exchange.headers, b"", error))

    @contextmanager
    def _readable_urls(self, stream: str) -> Iterator[None]:
        try:
            yield
        except ValueError:
            raise self._error(ConfigurationError, "The download URL cannot be read", stream=stream) from None

    def _check_url(self, url: str, stream: str) -> None:
        with self._readable_urls(stream):
            parts = urlsplit(url)
        if parts.scheme != "https" and not (parts.scheme == "http" and self._connection.allow_insecure_download):
            raise self._error(
                ConfigurationError,
                f"The download URL is {parts.scheme or 'without a scheme'}, not https",
                stream=stream,
                url=_host(url),
                next_step=_ALLOW_STEP.format("allow_insecure_download"),
            )
        if not parts.hostname or parts.username is not None:
            raise self._error(ConfigurationError, "The download URL cannot be read", stream=stream)
        try:
            is_private = not is_public_address(parts.hostname)
        except ValueError:
            return  # a name: its address is checked on the socket that is connected to it
        if is_private and not self._connection.allow_private_download:
            raise self._error(
                ConfigurationError,
                "The download URL is at a loopback, private or link-local address",
                stream=stream,
                url=_host(url),
                next_step=_ALLOW_STEP.format("allow_private_download"),
            )


def _host(url: str) -> str:
    """Scheme and host: all of a signed URL that may be shown, as its path may hold a token too."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}"
