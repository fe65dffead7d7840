"""The one way a vendor's API is asked: bounded, polite, and with the key kept at home.

The key goes to the connection's own origin only. Redirects are not followed. Every request has a connect, a read and a
total deadline; every retry a count and a cap. Errors name scheme, host and path, never a query, a header or a body.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

import requests
import tenacity

from airflow_usage_provider.exceptions import (
    AuthenticationError,
    ConfigurationError,
    RateLimitedError,
    RequestRejectedError,
    TransientError,
    UsageProviderError,
    VendorUnavailableError,
)
from airflow_usage_provider.vendors.exchange import Exchange, new_session
from airflow_usage_provider.vendors.limiter import RateLimiter, shared_limiter
from airflow_usage_provider.vendors.transport import WatchedAdapter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_usage_provider.vendors.base import VendorConnection

MAX_ATTEMPTS = 5
MAX_BODY_BYTES = 256 * 1024 * 1024
MAX_RETRY_AFTER = 600.0  # seconds; asked for more, the task fails and says when to try again
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
_URL_STEP = "Check the host of the connection."


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """One answer of a vendor's API, read whole: ``body`` holds the bytes without transfer or content encoding."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Parse the body; None if it is not JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


class _BearerAuth(requests.auth.AuthBase):
    """As an auth object, so that no .netrc entry takes its place."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._key}"
        return request


class HttpClient:
    """
    A vendor's API at one connection.

    :param vendor: its name, for messages.
    :param timeout: seconds without a byte where the connection says nothing.
    :param max_attempts: how often one request is tried. A waiting sensor asks once and comes back.
    """

    def __init__(
        self,
        vendor: str,
        connection: VendorConnection,
        *,
        timeout: float = 60.0,
        max_attempts: int = MAX_ATTEMPTS,
        sleep: Callable[[float], None] = time.sleep,
        limiter: RateLimiter | None = None,
    ) -> None:
        self.vendor = vendor
        self.connection = connection
        self._timeout = connection.timeout or timeout
        self._max_attempts = max_attempts
        self._sleep = sleep
        self._limiter = limiter or shared_limiter(vendor, connection.conn_id, connection.requests_per_minute)
        self._seconds = connection.connect_timeout + 5 * self._timeout
        self._auth = _BearerAuth(connection.api_key)
        self._session = new_session(WatchedAdapter(), ca_bundle=connection.ca_bundle)
        self.requests_sent = 0

    def close(self) -> None:
        """Close the kept connections."""
        self._session.close()

    def url(self, path: str) -> str:
        """Whole URL of a path of the API, which is also what error messages show."""
        return f"{self.connection.base_url}{path}"

    def error(self, kind: type[UsageProviderError], message: str, **details: Any) -> UsageProviderError:
        """Build an error that names this vendor and connection."""
        return kind(message, connection=self.connection.conn_id, vendor=self.vendor, **details)

    def request(
        self,
        method: str,
        path: str,
        *,
        stream: str,
        params: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        expected: tuple[int, ...] = (),
    ) -> ApiResponse:
        """
        Ask, and try again while that may help.

        :param path: below the base URL, beginning with a slash.
        :param expected: statuses beside 200 that the caller understands.
        :raises AuthenticationError: 401 or 403.
        :raises ConfigurationError: a redirect or a 404: the base URL is wrong.
        :raises RequestRejectedError: another 4xx.
        :raises TransientError: it still failed after the last try.
        """

        def ask() -> ApiResponse:
            with self._open(method, path, stream, params, body, expected, seconds=self._seconds) as exchange:
                return ApiResponse(exchange.status, exchange.headers, exchange.read(MAX_BODY_BYTES))

        answer = self._retrying()(ask)
        self.refuse_markup(answer.body, answer.status, path, stream=stream)
        return answer

    def refuse_markup(self, body: bytes, status: int, path: str, *, stream: str) -> None:
        """
        Refuse an answer that begins as HTML or XML.

        :raises ConfigurationError: it does: something other than the API is at the base URL.
        """
        if body.lstrip()[:1] == b"<":
            raise self.error(
                ConfigurationError,
                "The host answers HTML or XML, not JSON",
                stream=stream,
                status=status,
                url=self.url(path),
                next_step=_URL_STEP,
            )

    def stream(
        self,
        method: str,
        path: str,
        *,
        stream: str,
        body: Mapping[str, Any] | None = None,
        expected: tuple[int, ...] = (),
    ) -> Exchange:
        """
        Ask, and return the answer before its body is read; the caller closes it.

        Raises what :meth:`request` raises; the body has ``download_timeout`` seconds.
        """
        seconds = self.connection.download_timeout
        return self._retrying()(self._open, method, path, stream, None, body, expected, seconds=seconds)

    def _retrying(self) -> tenacity.Retrying:
        return tenacity.Retrying(
            retry=tenacity.retry_if_exception(_is_worth_retrying),
            stop=tenacity.stop_after_attempt(self._max_attempts),
            wait=self._choose_pause,
            sleep=self._sleep,
            reraise=True,
        )

    def _choose_pause(self, state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, RateLimitedError) and error.retry_after is not None:
            self._limiter.pause(error.retry_after)
            return 0.0  # the limiter holds back this and every other request of the connection
        backoff = tenacity.wait_random_exponential(multiplier=_FIRST_PAUSE, max=_LONGEST_PAUSE)
        return backoff(state)

    def _open(
        self,
        method: str,
        path: str,
        stream: str,
        params: Mapping[str, Any] | None,
        body: Mapping[str, Any] | None,
        expected: tuple[int, ...],
        *,
        seconds: float,
    ) -> Exchange:
        self._limiter.wait()
        self.requests_sent += 1
        exchange = Exchange(
            self._session,
            method,
            self.url(path),
            params=params,
            body=body,
            auth=self._auth,
            timeout=(self.connection.connect_timeout, self._timeout),
            seconds=seconds,
            error=partial(self.error, stream=stream, url=self.url(path)),
        )
        if exchange.status != 200 and exchange.status not in expected:
            with exchange:
                answer = ApiResponse(exchange.status, exchange.headers, exchange.read(MAX_BODY_BYTES))
            self._raise_status(answer, path, stream)
        return exchange

    def _raise_status(self, answer: ApiResponse, path: str, stream: str) -> NoReturn:
        details = {
            "stream": stream,
            "status": answer.status,
            "url": self.url(path),
            "request_id": request_id(answer.headers),
        }
        status = answer.status
        if status in {401, 403}:
            raise self.error(
                AuthenticationError,
                "The API key was refused" if status == 401 else "The API key was refused or lacks a scope",
                next_step="Check the connection's password, and that the key has the scope this stream needs.",
                **details,
            )
        if status == 429 or (status == 503 and read_retry_after(answer) is not None):
            raise self._rate_limited(answer, details)
        if 300 <= status < 400:
            target = urlsplit(answer.headers.get("Location", ""))
            where = f"{target.scheme}://{target.hostname}" if target.hostname else "another path"
            raise self.error(
                ConfigurationError,
                f"The API redirects to {where}, which is not followed",
                next_step=_URL_STEP,
                **details,
            )
        if status == 404:
            raise self.error(
                ConfigurationError,
                "The API has no such path",
                next_step=f"{_URL_STEP} If it is right, the account lacks this stream.",
                **details,
            )
        if status < 500 and status not in {408, 425}:
            raise self.error(
                RequestRejectedError,
                "The vendor rejected the request",
                next_step="Check the parameters of the task against the vendor's documentation.",
                **details,
            )
        raise self.error(VendorUnavailableError, "The vendor could not answer", next_step="Try again later.", **details)

    def _rate_limited(self, answer: ApiResponse, details: Mapping[str, Any]) -> UsageProviderError:
        seconds = read_retry_after(answer)
        reason = "Too many requests" if answer.status == 429 else "The vendor cannot answer now"
        if seconds is None:
            return self.error(RateLimitedError, reason, next_step="Try again later.", **details)
        message = f"{reason}; the vendor asks to wait {seconds:.0f} s"
        step = "Lower requests_per_minute in the connection's extra if the key is shared."
        return self.error(RateLimitedError, message, retry_after=seconds, next_step=step, **details)


def request_id(headers: Mapping[str, str]) -> str | None:
    """Return the vendor's id of a request, for its support; None if it sent none or an odd one."""
    for name in ("x-request-id", "request-id", "x-amzn-requestid", "cf-ray"):
        value = headers.get(name)
        if value and len(value) <= 100 and value.replace("-", "").replace("_", "").isalnum():
            return value
    return None


def read_retry_after(answer: ApiResponse) -> float | None:
    """Return the seconds the vendor asks to wait: the header's seconds or date, or ``retry_after`` of a JSON body."""
    header = answer.headers.get("Retry-After")
    candidates: list[Any] = []
    if header:
        try:
            moment = parsedate_to_datetime(header)
            candidates.append((moment - datetime.now(UTC if moment.tzinfo else None)).total_seconds())
        except (TypeError, ValueError):
            candidates.append(header)
    document = answer.json()
    if isinstance(document, dict):
        candidates.append(document.get("retry_after"))
    for candidate in candidates:
        try:
            seconds = float(candidate)
        except (TypeError, ValueError):
            continue
        if seconds == seconds and seconds < float("inf"):
            return max(seconds, 0.0)
    return None


def _is_worth_retrying(error: BaseException) -> bool:
    if isinstance(error, RateLimitedError):
        return error.retry_after is None or error.retry_after <= MAX_RETRY_AFTER
    return isinstance(error, TransientError)
