"""The one way a vendor's API is asked: bounded, polite, and with the key kept at home.

The key goes to the connection's own origin only. Redirects are not followed. Every request has a connect, a read and a
total deadline; every retry a count and a cap. Errors name scheme, host and path, never a query, a header or a body.
"""

from __future__ import annotations

import logging
import random
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import tenacity

from airflow_usage_provider.exceptions import (
    IncompleteSnapshotError,
    RateLimitedError,
    TransientError,
    UsageProviderError,
)
from airflow_usage_provider.http.answers import ApiResponse, refuse_markup, request_id, status_error
from airflow_usage_provider.http.auth import BearerAuth, HeaderAuth
from airflow_usage_provider.http.clock import SYSTEM_CLOCK
from airflow_usage_provider.http.exchange import Exchange
from airflow_usage_provider.http.limiter import RateLimiter, shared_limiter
from airflow_usage_provider.http.session import Request, Session

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_usage_provider.http.connection import VendorConnection

MAX_ATTEMPTS = 5
MAX_RETRY_AFTER = 600.0  # seconds; asked for more, the task fails and says when to try again
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
_LEAST_WAIT = 1.0  # seconds, after a vendor has said that it is asked too often
_TOLD_WAIT = 10.0  # seconds; a request that waited less for its turn is no news
_BEARER = BearerAuth()
_log = logging.getLogger(__name__)


class HttpClient:
    """
    A vendor's API at one connection.

    :param vendor: its name, for messages.
    :param auth: where the connection's key goes: ``BearerAuth()``, ``HeaderAuth("x-api-key")``.
    :param headers: sent with every request, such as the version of the API.
    :param timeout: seconds without a byte where the connection says nothing.
    :param max_attempts: how often one request is tried. A waiting sensor asks once and comes back.
    """

    def __init__(
        self,
        vendor: str,
        connection: VendorConnection,
        *,
        auth: HeaderAuth = _BEARER,
        headers: Mapping[str, str] | None = None,
        timeout: float = 60.0,
        max_attempts: int = MAX_ATTEMPTS,
        sleep: Callable[[float], None] | None = None,
        limiter: RateLimiter | None = None,
    ) -> None:
        self.vendor = vendor
        self.connection = connection
        self._timeout = connection.timeout or timeout
        self._max_attempts = max_attempts
        self.sleep = sleep or connection.clock.sleep
        self._limiter = limiter or _limiter_of(vendor, connection)
        self._seconds = connection.connect_timeout + 5 * self._timeout
        self._auth = auth
        self._headers = dict(headers or {})
        self._session = Session(ca_bundle=connection.ca_bundle)
        self.traffic = connection.traffic

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
        attempts: int | None = None,
        waits: bool = True,
    ) -> ApiResponse:
        """
        Ask, and try again while that may help.

        :param path: below the base URL, beginning with a slash.
        :param params: of the query; a value that is a list is sent repeatedly.
        :param body: sent as JSON.
        :param expected: statuses beside 200 and its like that the caller understands.
        :param attempts: how often to try; default: as often as the client does.
        :param waits: wait for a turn under the connection's rate; if not, and there is none, that is an error.
        :raises AuthenticationError: 401 or 403.
        :raises ConfigurationError: the API has moved, or says that it has no such path.
        :raises RequestRejectedError: the API says another 4xx.
        :raises TransientError: it still failed after the last try.
        """
        request = self._request(method, path, params, body)

        def ask() -> ApiResponse:
            with self._open(request, path, stream, expected, seconds=self._seconds, waits=waits) as exchange:
                return exchange.read_answer()

        answer = self.retrying(attempts=attempts)(ask)
        refuse_markup(answer.body, answer.status, answer.error)
        return answer

    def stream(
        self,
        method: str,
        path: str,
        *,
        stream: str,
        params: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        expected: tuple[int, ...] = (),
    ) -> Exchange:
        """
        Ask, and return the answer before its body is read; the caller closes it.

        Raises what :meth:`request` raises; the body has ``download_timeout`` seconds.
        """
        request, seconds = self._request(method, path, params, body), self.connection.download_timeout
        return self.retrying()(self._open, request, path, stream, expected, seconds=seconds)

    def retrying(self, *kinds: type[UsageProviderError], attempts: int | None = None) -> tenacity.Retrying:
        """
        Return what calls a function again while that may help: with back-off, or as long as the vendor asks to wait.

        :param kinds: errors to try again after; default: all that pass.
        """
        most = attempts or self._max_attempts
        return tenacity.Retrying(
            retry=tenacity.retry_if_exception(lambda error: _is_worth_retrying(error, kinds or (TransientError,))),
            stop=tenacity.stop_after_attempt(most),
            wait=self._choose_pause,
            before_sleep=partial(self._tell_retry, most),
            sleep=self.sleep,
            reraise=True,
        )

    def has_room(self) -> bool:
        """Whether a request could start now, without a wait."""
        return self._limiter.has_room()

    def _tell_retry(self, most: int, state: tenacity.RetryCallState) -> None:
        self.traffic.count_retry()
        error = state.outcome.exception() if state.outcome else None
        pause = state.next_action.sleep if state.next_action else 0.0
        _log.warning("Try %d of %d failed, the next is in %.1f s: %s", state.attempt_number, most, pause, error)

    def _choose_pause(self, state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        step = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** (state.attempt_number - 1))
        pause = random.uniform(step / 2, step)  # noqa: S311 - clients that failed together spread
        if not isinstance(error, RateLimitedError):
            return pause
        pause = max(pause if error.retry_after is None else error.retry_after, _LEAST_WAIT)
        self._limiter.pause(pause)  # for every other request of the connection too
        return pause

    def _request(
        self, method: str, path: str, params: Mapping[str, Any] | None, body: Mapping[str, Any] | None
    ) -> Request:
        headers = self._headers | self._auth.headers(self.connection.api_key)
        return Request(method, self.url(path), params, body, headers)

    def _take_turn(self, stream: str, *, waits: bool) -> None:
        if not waits:
            if (seconds := self._limiter.try_start()) > 0:
                said = "No request may start now: the connection's rate is used up, or the vendor asked to wait"
                raise self.error(RateLimitedError, said, stream=stream, retry_after=seconds)
            return
        waited = self._limiter.wait()
        if waited >= _TOLD_WAIT:
            conn_id, rate = self.connection.conn_id, self.connection.requests_per_minute
            _log.info("Waited %.0f s for a turn to ask (connection %s, requests_per_minute %d)", waited, conn_id, rate)

    def _open(
        self,
        request: Request,
        path: str,
        stream: str,
        expected: tuple[int, ...],
        *,
        seconds: float,
        waits: bool = True,
    ) -> Exchange:
        self._take_turn(stream, waits=waits)
        self.traffic.count_request()
        begun = time.monotonic()
        exchange = Exchange(
            self._session,
            request,
            timeout=(self.connection.connect_timeout, self._timeout),
            seconds=seconds,
            error=partial(self.error, stream=stream, url=self.url(path)),
        )
        _log.debug(
            "%s %s answered %d after %.1f s (stream %s, request id %s)",
            request.method,
            self.url(path),
            exchange.status,
            time.monotonic() - begun,
            stream,
            request_id(exchange.headers),
        )
        if exchange.status == 206 or (exchange.is_success and "Content-Range" in exchange.headers):
            exchange.close()
            raise exchange.error(
                IncompleteSnapshotError,
                "The host sends a part of the answer",
                status=exchange.status,
                next_step="Try again.",
            )
        if exchange.is_success or exchange.status in expected:
            return exchange
        raise status_error(ApiResponse(exchange.status, exchange.headers, exchange.read_error(), exchange.error))


def _limiter_of(vendor: str, connection: VendorConnection) -> RateLimiter:
    """Return the process's limiter of a connection; one of its own where the connection has its own clock."""
    rate, clock = connection.requests_per_minute, connection.clock
    if clock is SYSTEM_CLOCK:
        return shared_limiter(vendor, connection.conn_id, rate)
    return RateLimiter(rate, clock=clock.now, sleep=clock.sleep)


def _is_worth_retrying(error: BaseException, kinds: tuple[type[UsageProviderError], ...]) -> bool:
    if isinstance(error, RateLimitedError) and (error.retry_after or 0) > MAX_RETRY_AFTER:
        return False
    return isinstance(error, kinds)
