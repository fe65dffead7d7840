"""One HTTP request and its answer, for API and downloads alike: deadlines, sessions, and what failures are called.

Texts of requests, urllib3 and sockets are never passed on: they hold URLs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

import requests
import urllib3
from requests.cookies import RequestsCookieJar

from airflow_usage_provider import __version__
from airflow_usage_provider.exceptions import (
    ConfigurationError,
    IncompleteSnapshotError,
    InvalidBodyError,
    UsageProviderError,
    VendorUnavailableError,
)
from airflow_usage_provider.vendors.transport import Deadline, WatchedAdapter

if TYPE_CHECKING:
    from types import TracebackType

CHUNK = 1024 * 1024
_FAILURES = (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError)

ErrorBuilder = Callable[..., UsageProviderError]


def no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Send no credentials, not even those of a .netrc file."""
    return request


def new_session(adapter: WatchedAdapter, *, ca_bundle: str | None = None) -> requests.Session:
    """Return a session that keeps no cookies and verifies TLS, against the given CAs if there are any."""
    session = requests.Session()
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    session.cookies = _NoCookies()
    session.headers["User-Agent"] = f"airflow-usage-provider/{__version__}"
    session.headers["Accept-Encoding"] = "identity"
    if ca_bundle:
        session.verify = ca_bundle
    return session


class _NoCookies(RequestsCookieJar):
    def set_cookie(self, *_: Any, **__: Any) -> None:
        """Forget it: an API key is all the state there is."""


class Exchange:
    """
    A request that was sent and an answer whose headers are there; close it.

    :param timeout: seconds to connect, and seconds without a byte.
    :param seconds: for the whole, headers and body.
    :param error: builds an error that names vendor, stream and what may be shown of the URL.
    :raises VendorUnavailableError: no answer came.
    :raises ConfigurationError: none can come: TLS trust, an impossible URL.
    """

    def __init__(
        self,
        session: requests.Session,
        method: str,
        url: str,
        *,
        auth: Callable[[requests.PreparedRequest], requests.PreparedRequest],
        timeout: tuple[float, float],
        seconds: float,
        error: ErrorBuilder,
        params: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._error = error
        self._deadline = Deadline(seconds)
        self._deadline.start()
        try:
            with self._deadline.watching():
                self._response = session.request(
                    method,
                    url,
                    params=params,
                    json=body,
                    headers=headers,
                    auth=auth,
                    timeout=timeout,
                    verify=session.verify if isinstance(session.verify, str) else None,  # else REQUESTS_CA_BUNDLE wins
                    allow_redirects=False,
                    stream=True,
                )
        except _FAILURES as failure:
            raise self._translate(failure) from None
        except UsageProviderError as refusal:  # of the address that the socket was connected to
            self._deadline.cancel()
            raise error(type(refusal), refusal.message, next_step=refusal.next_step) from None
        except BaseException:
            self._deadline.cancel()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def status(self) -> int:
        """HTTP status."""
        return self._response.status_code

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers of the answer; names in any case."""
        return self._response.headers

    @property
    def redirect_target(self) -> str | None:
        """Where the answer redirects to, if it does."""
        return self.headers.get("Location") if self._response.is_redirect else None

    @property
    def has_end(self) -> bool:
        """
        Whether the body's end is proven by a length or a chunk end; else it ends when the connection does.

        Of a compressed body they prove nothing: it may have been cut before it was compressed, or its end left out.
        """
        if self.headers.get("Content-Encoding", "identity").lower() != "identity":
            return False
        return "Content-Length" in self.headers or bool(self._response.raw.chunked)

    def iter_chunks(self) -> Iterator[bytes]:
        """
        Yield the body without transfer and content encoding.

        :raises IncompleteSnapshotError: it ended early.
        :raises VendorUnavailableError: the network failed, or time is up.
        """
        try:
            while chunk := self._response.raw.read(CHUNK, decode_content=True):
                yield chunk
            if self._deadline.has_passed:  # a body that ends with its connection looks whole when it is cut off
                raise TimeoutError
        except _FAILURES as failure:
            raise self._translate(failure) from None

    def read(self, limit: int) -> bytes:
        """
        Return a body that must be small, and close.

        :raises InvalidBodyError: it is longer than ``limit`` bytes.
        """
        body = bytearray()
        for chunk in self.iter_chunks():
            body += chunk
            if len(body) > limit:
                self.close()
                raise self._error(InvalidBodyError, f"The answer is longer than {limit} bytes")
        self.close()
        return bytes(body)

    def close(self) -> None:
        """Give the connection back if its body was read, else close it."""
        self._deadline.cancel()
        self._response.close()

    def _translate(self, failure: Exception) -> UsageProviderError:
        self._deadline.cancel()
        cause = _root_cause(failure)
        if self._deadline.has_passed:
            return self._error(
                VendorUnavailableError,
                f"The answer took longer than {self._deadline.seconds:.0f} s",
                next_step="Try again; raise timeout or download_timeout in the connection's extra if it happens often.",
            )
        if "CERTIFICATE_VERIFY_FAILED" in str(cause):
            return self._error(
                ConfigurationError,
                "The server's TLS certificate is not trusted",
                next_step="If a private CA signed it, name its PEM file as ca_bundle in the connection's extra.",
            )
        if isinstance(failure, OSError) and "TLS CA certificate bundle" in str(failure):
            return self._error(
                ConfigurationError,
                "The ca_bundle file does not exist",
                next_step="Correct ca_bundle in the connection's extra.",
            )
        if isinstance(failure, urllib3.exceptions.ProtocolError) and not isinstance(cause, OSError):
            return self._error(
                IncompleteSnapshotError, "The body ended before its announced end", next_step="Try again."
            )
        if isinstance(failure, urllib3.exceptions.DecodeError):
            return self._error(InvalidBodyError, "The body's content encoding is broken", next_step="Try again.")
        if isinstance(failure, ValueError):
            return self._error(
                ConfigurationError, "The URL cannot be requested", next_step="Check the connection's host."
            )
        return self._error(
            VendorUnavailableError,
            f"The request failed: {type(cause).__name__}",
            next_step="Check that the host is right and that the worker reaches it.",
        )


def _root_cause(error: BaseException) -> BaseException:
    for _ in range(10):
        candidates = (getattr(error, "reason", None), *error.args)
        inner = next((item for item in candidates if isinstance(item, BaseException)), None)
        if inner is None or inner is error:
            break
        error = inner
    return error
