"""One HTTP request and its answer, for API and downloads alike: deadlines, sessions, and what failures are called.

Texts of requests, urllib3 and sockets are never passed on: they hold URLs.
"""

from __future__ import annotations

import zlib
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self, cast

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
from airflow_usage_provider.http.answers import BROKEN_STEP, ApiResponse, is_success, naming
from airflow_usage_provider.http.deadline import Deadline
from airflow_usage_provider.http.framing import FramingError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager
    from types import TracebackType

    from airflow_usage_provider.http.answers import ErrorBuilder
    from airflow_usage_provider.http.framing import FramedResponse
    from airflow_usage_provider.http.transport import WatchedAdapter

CHUNK = 1024 * 1024
MAX_BODY_BYTES = 256 * 1024 * 1024
MAX_ERROR_BYTES = 64 * 1024
_GZIP_WBITS = 31  # zlib's number for gzip
_PACKED_PIECE = 64 * 1024
_NO_ENCODINGS = {"", "identity", "aws-chunked"}  # some stores leave the last one on objects that have it no more
_UNASKABLE = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidHeader,
    urllib3.exceptions.LocationValueError,
    UnicodeError,  # of a host's name
)
_FAILURES = (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError, zlib.error)


@dataclass(frozen=True, slots=True)
class Request:
    """
    What is asked. Its repr tells none of it: an error's traceback may show locals, and here are signed URL and key.

    :param params: of the query; a value that is a list is sent repeatedly.
    :param body: sent as JSON.
    :param headers: beside those of the session; credentials too.
    """

    method: str = field(repr=False)
    url: str = field(repr=False)
    params: Mapping[str, Any] | None = field(default=None, repr=False)
    body: Mapping[str, Any] | None = field(default=None, repr=False)
    headers: Mapping[str, str] | None = field(default=None, repr=False)


def _no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Add no credentials: a .netrc file is not asked."""
    return request


def new_session(adapter: WatchedAdapter, *, ca_bundle: str | None = None) -> requests.Session:
    """Return a session that keeps no cookies and verifies TLS, against the given CAs if there are any."""
    session = _Session()
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    session.cookies = _NoCookies()
    session.headers["User-Agent"] = f"airflow-usage-provider/{__version__}"
    session.headers["Accept-Encoding"] = "identity"
    if ca_bundle:
        session.verify = ca_bundle
    return session


class _Session(requests.Session):
    def resolve_redirects(self, *_: Any, **__: Any) -> Iterator[requests.Response]:
        """Look at none: requests would read the body of a redirect into memory even where it must not follow."""
        return iter(())


class _NoCookies(RequestsCookieJar):
    def set_cookie(self, *_: Any, **__: Any) -> None:
        """Forget it: an API key is all the state there is."""


class Exchange:
    """
    A request that was sent and an answer whose headers are there; close it.

    :param session: from :func:`new_session`.
    :param timeout: seconds to connect, and seconds without a byte.
    :param seconds: for the whole, headers and body.
    :param error: builds an error that names vendor, stream and what may be shown of the URL.
    :param public_only: refuse to connect to private addresses.
    :param unaskable: what a URL is called that cannot be requested; who gave it must give another.
    :raises VendorUnavailableError: no answer came.
    :raises ConfigurationError: none can come: TLS trust, an impossible URL.
    """

    def __init__(
        self,
        session: requests.Session,
        request: Request,
        *,
        timeout: tuple[float, float],
        seconds: float,
        error: ErrorBuilder,
        public_only: bool = False,
        unaskable: type[UsageProviderError] = ConfigurationError,
    ) -> None:
        self.error = error
        self._unaskable = unaskable
        self._deadline = Deadline(seconds)
        self._deadline.start()
        refusal: UsageProviderError | None = None
        try:
            with self._deadline.watching(public_only=public_only):
                self._response = session.request(
                    request.method,
                    request.url,
                    params=request.params,
                    json=request.body,
                    headers=request.headers,
                    auth=_no_auth,
                    timeout=timeout,
                    verify=session.verify if isinstance(session.verify, str) else None,  # else REQUESTS_CA_BUNDLE wins
                    allow_redirects=False,
                    stream=True,
                )
        except UsageProviderError as error_of_transport:  # of the address that the socket was connected to
            refusal = error(
                type(error_of_transport), error_of_transport.message, next_step=error_of_transport.next_step
            )
        except _FAILURES as failure:
            refusal = self._translate(failure)
        except BaseException:
            self._deadline.cancel()
            raise
        if refusal is not None:  # raised here, it has no context: what it came from holds the URL
            self._deadline.cancel()
            raise refusal
        # Whether the body's end is proven by a length or a chunk end; else it ends when the connection does.
        self.has_end: bool = cast("FramedResponse", self._response.raw._original_response).has_end

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
    def is_success(self) -> bool:
        """Whether it comes with all that was asked for."""
        return is_success(self.status)

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers of the answer; names in any case."""
        return self._response.headers

    @property
    def redirect_target(self) -> str | None:
        """Where the answer redirects to, if it does."""
        return self.headers.get("Location") if self._response.is_redirect else None

    def iter_chunks(self) -> Iterator[bytes]:
        """
        Yield the body without transfer and content encoding.

        :raises IncompleteSnapshotError: it ended early.
        :raises InvalidBodyError: its content encoding is broken, or none that is known.
        :raises VendorUnavailableError: the network failed, or time is up.
        """
        failed: UsageProviderError | None = None
        try:
            yield from self._decode(self._iter_raw())
        except _FAILURES as failure:
            failed = self._translate(failure)
        if failed is not None:  # raised here, it has no context: what it came from holds the URL
            raise failed

    def _iter_raw(self) -> Iterator[bytes]:
        while chunk := self._response.raw.read(CHUNK, decode_content=False):
            yield chunk
        if self._deadline.has_passed:  # a body that ends with its connection looks whole when it is cut off
            raise TimeoutError

    def _decode(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Undo gzip, which was not asked for; nothing else is known. A stream must end where its body does."""
        encodings = [name.strip().lower() for name in self.headers.get("Content-Encoding", "").split(",")]
        encodings = [name for name in encodings if name not in _NO_ENCODINGS]
        if not encodings:
            yield from chunks
        elif encodings in (["gzip"], ["x-gzip"]):
            yield from self._inflate(chunks)
        else:
            raise self.error(InvalidBodyError, "The body has an unknown content encoding", next_step="Try again.")

    def _inflate(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Unpack members of gzip, of which there may be several (RFC 1952 2.2)."""
        inflate = zlib.decompressobj(_GZIP_WBITS)
        for chunk in chunks:
            for start in range(0, len(chunk), _PACKED_PIECE):  # what is behind a member is copied with each
                pending = chunk[start : start + _PACKED_PIECE]
                while pending:
                    if inflate.eof:
                        inflate = zlib.decompressobj(_GZIP_WBITS)
                    if piece := inflate.decompress(pending, CHUNK):
                        yield piece
                    pending = inflate.unconsumed_tail or inflate.unused_data
        if not inflate.eof:
            raise self.error(IncompleteSnapshotError, "The body's gzip stream ended early", next_step="Try again.")

    def naming(self, next_step: str = BROKEN_STEP) -> AbstractContextManager[None]:
        """Give errors of those who read the body in this block the names of the request."""
        return naming(self.error, next_step)

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
                raise self.error(InvalidBodyError, f"The answer is longer than {limit} bytes", next_step=BROKEN_STEP)
        self.close()
        return bytes(body)

    def read_answer(self) -> ApiResponse:
        """
        Return an answer that must be whole, and close.

        :raises InvalidBodyError: it is longer than an answer, or an error, ever is.
        """
        body = self.read(MAX_BODY_BYTES if self.is_success else MAX_ERROR_BYTES)
        return ApiResponse(self.status, self.headers, body, self.error)

    def read_error(self) -> bytes:
        """Return the beginning of a body that explains an error status, as far as it comes, and close."""
        body = bytearray()
        with suppress(UsageProviderError):  # the status says enough
            for chunk in self.iter_chunks():
                body += chunk
                if len(body) > MAX_ERROR_BYTES:
                    break
        self.close()
        return bytes(body[:MAX_ERROR_BYTES])

    def close(self) -> None:
        """Give the connection back if its body was read, else close it."""
        self._deadline.cancel()
        self._response.close()

    def _translate(self, failure: Exception) -> UsageProviderError:
        self._deadline.cancel()
        cause = _root_cause(failure)
        if self._deadline.has_passed:
            return self.error(
                VendorUnavailableError,
                f"The answer took longer than {self._deadline.seconds:.0f} s",
                next_step="Try again; raise timeout or download_timeout in the connection's extra if it happens often.",
            )
        if "CERTIFICATE_VERIFY_FAILED" in str(cause) and "not yet valid" not in str(cause):
            return self.error(
                ConfigurationError,
                "The server's TLS certificate is not trusted",
                next_step="If a private CA signed it, name its PEM file as ca_bundle in the connection's extra.",
            )
        if isinstance(failure, OSError) and "TLS CA certificate bundle" in str(failure):
            return self.error(
                ConfigurationError,
                "The ca_bundle file does not exist",
                next_step="Correct ca_bundle in the connection's extra.",
            )
        if isinstance(cause, FramingError):
            return self.error(InvalidBodyError, f"The answer breaks the rules of HTTP: {cause}", next_step="Try again.")
        if isinstance(failure, urllib3.exceptions.ProtocolError) and not isinstance(cause, OSError):
            return self.error(
                IncompleteSnapshotError, "The body ended before its announced end", next_step="Try again."
            )
        if isinstance(failure, zlib.error):
            return self.error(InvalidBodyError, "The body's content encoding is broken", next_step="Try again.")
        if isinstance(failure, _UNASKABLE):
            said = "The URL cannot be requested"
            return self.error(self._unaskable, said, next_step="Check the connection's host.")
        return self.error(
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
