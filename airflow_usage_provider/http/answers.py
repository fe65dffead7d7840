"""What an answer of a vendor's API says: its body, how long to wait, and what an error status means."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_usage_provider.exceptions import (
    AuthenticationError,
    ConfigurationError,
    RateLimitedError,
    RequestRejectedError,
    UsageProviderError,
    VendorUnavailableError,
)
from airflow_usage_provider.records.json import read_envelope

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    ErrorBuilder = Callable[..., UsageProviderError]

URL_STEP = "Check the host of the connection."
_KEY_STEP = "Check the connection's password, and that the key has the scope this stream needs."
_PASSING = {408, 425}


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """One answer, read whole: ``body`` holds the bytes without transfer or content encoding."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    def json(self) -> Any:
        """Parse the body, decimals as strings; None if it is not JSON, or nested deeper than an answer ever is."""
        try:
            return read_envelope(self.body)
        except (ValueError, RecursionError):
            return None


def status_error(answer: ApiResponse, error: ErrorBuilder) -> UsageProviderError:
    """
    Return what an error status means.

    :param error: builds an error that names vendor, connection, stream and URL.
    """
    status = answer.status
    details = {"status": status, "request_id": request_id(answer.headers)}
    if status in {401, 403}:
        said = "The API key was refused" if status == 401 else "The API key was refused or lacks a scope"
        return error(AuthenticationError, said, next_step=_KEY_STEP, **details)
    if status == 429 or (status == 503 and read_retry_after(answer) is not None):
        return _rate_limit_error(answer, error, details)
    if 300 <= status < 400:
        said = f"The API redirects to {_origin(answer.headers.get('Location', ''))}, which is not followed"
        return error(ConfigurationError, said, next_step=URL_STEP, **details)
    if status == 404:
        step = f"{URL_STEP} If it is right, the account lacks this stream."
        return error(ConfigurationError, "The API has no such path", next_step=step, **details)
    if status < 500 and status not in _PASSING:
        step = "Check the parameters of the task against the vendor's documentation."
        return error(RequestRejectedError, "The vendor rejected the request", next_step=step, **details)
    return error(VendorUnavailableError, "The vendor could not answer", next_step="Try again later.", **details)


def _rate_limit_error(answer: ApiResponse, error: ErrorBuilder, details: dict[str, Any]) -> UsageProviderError:
    seconds = read_retry_after(answer)
    reason = "Too many requests" if answer.status == 429 else "The vendor cannot answer now"
    if seconds is None:
        return error(RateLimitedError, reason, next_step="Try again later.", **details)
    message = f"{reason}; the vendor asks to wait {seconds:.0f} s"
    step = "Lower requests_per_minute in the connection's extra if the key is shared."
    return error(RateLimitedError, message, retry_after=seconds, next_step=step, **details)


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
        except (TypeError, ValueError, OverflowError):
            candidates.append(header)
    document = answer.json()
    if isinstance(document, dict):
        candidates.append(document.get("retry_after"))
    for candidate in candidates:
        try:
            seconds = float(candidate)
        except (TypeError, ValueError, OverflowError):
            continue
        if 0 <= abs(seconds) < float("inf"):
            return max(seconds, 0.0)
    return None


def _origin(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return "an address that cannot be read"
    return f"{parts.scheme}://{parts.hostname}" if parts.hostname else "another path"
