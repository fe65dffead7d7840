"""Streams the body behind a signed URL, without credentials and within a deadline.

A signed URL is a secret: it is requested and forgotten, and no message holds its path or query. Its host, and the host
of each redirect, must be https and public unless the connection allows otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urljoin, urlsplit

from airflow_usage_provider.exceptions import (
    ConfigurationError,
    DownloadExpiredError,
    IncompleteSnapshotError,
    InvalidBodyError,
)
from airflow_usage_provider.http.addresses import ALLOW_STEP, is_public_address
from airflow_usage_provider.http.answers import ApiResponse, status_error
from airflow_usage_provider.http.exchange import Exchange
from airflow_usage_provider.http.session import Request, Session

if TYPE_CHECKING:
    from airflow_usage_provider.http.answers import ErrorBuilder
    from airflow_usage_provider.http.connection import VendorConnection

MAX_REDIRECTS = 3
_PASSING = {408, 425, 429}


@dataclass(frozen=True, slots=True)
class SignedUrl:
    """
    A URL that is a secret: as text it stands in no local of a frame that may raise, for tracebacks that show locals.

    :param text: the URL; in no repr.
    """

    text: str = field(repr=False)

    @property
    def parts(self) -> SplitResult | None:
        """Its parts; None if it is nothing that can be downloaded."""
        try:
            parts = urlsplit(self.text)
            _ = parts.port, (parts.hostname or "").encode("idna")
        except ValueError:
            return None
        is_askable = parts.scheme in {"http", "https"} and parts.hostname and parts.username is None
        return parts if is_askable else None

    @property
    def origin(self) -> str:
        """Scheme and host: all that may be shown, as the path may hold a token too."""
        return f"{self.parts.scheme}://{self.parts.hostname}" if self.parts else ""

    @property
    def is_private(self) -> bool:
        """Whether its host is an address that not everybody reaches; a name is none."""
        try:
            return self.parts is not None and not is_public_address(self.parts.hostname or "")
        except ValueError:
            return False

    def join(self, target: str) -> SignedUrl:
        """Return where a redirect leads."""
        try:
            return SignedUrl(urljoin(self.text, target))
        except ValueError:
            return SignedUrl("")


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
        self._session = Session(ca_bundle=connection.ca_bundle)

    def close(self) -> None:
        """Close the kept connections."""
        self._session.close()

    def probe(self, url: SignedUrl, *, stream: str) -> None:
        """
        See that the URL serves: ask for one byte and read no body.

        :raises DownloadExpiredError: it does not.
        """
        self._open(url, stream=stream, is_probe=True, seconds=60.0 + self._timeout).close()

    def open(self, url: SignedUrl, *, stream: str) -> Exchange:
        """
        Return the answer of a URL that serves; the caller closes it. The body has ``download_timeout`` seconds.

        :raises DownloadExpiredError: the URL does not serve: not yet, or no more.
        :raises InvalidBodyError: the vendor gave no URL that can be downloaded.
        :raises ConfigurationError: the URL, or one it redirects to, leads where the connection does not allow.
        """
        return self._open(url, stream=stream, is_probe=False, seconds=self._connection.download_timeout)

    def _open(self, url: SignedUrl, *, stream: str, is_probe: bool, seconds: float) -> Exchange:
        for _ in range(MAX_REDIRECTS + 1):
            error = partial(self._error, stream=stream, url=url.origin)
            self._check_url(url, error)
            exchange = Exchange(
                self._session,
                Request("GET", url.text, headers={"Range": "bytes=0-0"} if is_probe else None),
                timeout=(self._connection.connect_timeout, self._timeout),
                seconds=seconds,
                error=error,
                public_only=not self._connection.allow_private_download,
                unaskable=InvalidBodyError,
            )
            if exchange.redirect_target is None:
                _check_status(exchange, is_probe=is_probe)
                return exchange
            exchange.close()
            url = url.join(exchange.redirect_target)
        said = f"The download redirects more than {MAX_REDIRECTS} times"
        raise error(DownloadExpiredError, said, next_step="Try again later.")

    def _check_url(self, url: SignedUrl, error: ErrorBuilder) -> None:
        if url.parts is None:
            raise error(InvalidBodyError, "The download URL cannot be read", next_step="Try again later.")
        if url.parts.scheme == "http" and not self._connection.allow_insecure_download:
            raise error(
                ConfigurationError,
                "The download URL is http, not https",
                next_step="If that is your deployment, set allow_insecure_download to true in the connection's extra.",
            )
        if url.is_private and not self._connection.allow_private_download:
            said = "The download URL is at a loopback, private or link-local address"
            raise error(ConfigurationError, said, next_step=ALLOW_STEP)


def _check_status(exchange: Exchange, *, is_probe: bool) -> None:
    """Raise unless the URL serves: a whole body, or a probe's."""
    status, error = exchange.status, exchange.error
    if is_probe and status in {200, 206, 416}:  # 416: it is there, and empty
        return
    is_partial = status == 206 or "Content-Range" in exchange.headers
    if status in {200, 203} and not is_partial:
        return
    if is_probe:
        exchange.read_error()  # so that the next poll finds the connection open
    exchange.close()
    if status in {200, 203, 206}:
        raise error(IncompleteSnapshotError, "The download's host sends a part of the file", next_step="Try again.")
    if 400 <= status < 500 and status not in _PASSING:  # whatever it dislikes, another URL may have it no more
        said = "The download URL does not serve, not yet or no more"
        raise error(DownloadExpiredError, said, status=status, next_step="Try again later.")
    raise status_error(ApiResponse(status, exchange.headers, b"", error))
