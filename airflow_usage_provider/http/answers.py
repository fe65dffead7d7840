"""What an answer of a vendor's API says: its body, how long to wait, and what an error status means."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from json import JSONDecodeError
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_usage_provider.exceptions import (
    AuthenticationError,
    ConfigurationError,
    InvalidBodyError,
    RateLimitedError,
    RequestRejectedError,
    UsageProviderError,
    VendorUnavailableError,
)
from airflow_usage_provider.http.waits import read_reset, read_wait
from airflow_usage_provider.records.json import read_envelope, split_page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from airflow_usage_provider.records.json import JsonPage

    ErrorBuilder = Callable[..., UsageProviderError]

URL_STEP = "Check the host of the connection."
BROKEN_STEP = "Check the host of the connection; if it is right, the vendor answered something broken."
_KEY_STEP = "Check the connection's password, and that the key has the scope this stream needs."
_PLACE_STEP = "Try again later; if it lasts, check the host of the connection and what is in front of it."
_OVERLOADED = {503, 529}
_PASSING = {408, 409, 421, 423, 424, 425}


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """
    One answer, read whole: ``body`` holds the bytes without transfer or content encoding.

    :param error: builds an error that names vendor, connection, stream and URL.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    error: ErrorBuilder = field(repr=False, compare=False)

    @property
    def is_success(self) -> bool:
        """Whether it is what was asked for: 200, 201 and their like."""
        return is_success(self.status)

    def json(self) -> Any:
        """Parse the body, decimals as strings; None if it is not JSON, or nested deeper than an answer ever is."""
        try:
            return read_envelope(self.body)
        except (ValueError, RecursionError):
            return None

    def read_json(self) -> Any:
        """
        Parse the body, decimals as strings.

        :raises InvalidBodyError: it is not JSON, or nested deeper than an answer ever is.
        """
        try:
            return read_envelope(self.body)
        except UnicodeDecodeError as broken:
            why = f"not UTF-8, at byte {broken.start}"
        except JSONDecodeError as broken:
            why = f"{broken.msg}, at character {broken.pos}"
        except (ValueError, RecursionError):
            why = "nested too deeply, of too many values, with a member twice or a number that is none"
        raise self.error(InvalidBodyError, f"The answer is not the JSON it should be: {why}", next_step=BROKEN_STEP)

    def split_page(self, field: str) -> JsonPage:
        """
        Take the list ``field`` apart into records, each as the bytes that were sent.

        :raises InvalidBodyError: the body is not a JSON object with such a list of objects.
        """
        with naming(self.error):
            return split_page(self.body, field)


def is_success(status: int) -> bool:
    """Whether a status comes with all that was asked for; 206 comes with a part."""
    return 200 <= status < 300 and status != 206


@contextmanager
def naming(error: ErrorBuilder, next_step: str = BROKEN_STEP) -> Iterator[None]:
    """Give an error that has no names, as those that read records have none, the names that ``error`` knows."""
    try:
        yield
    except UsageProviderError as nameless:
        if nameless.vendor:
            raise
        named = error(type(nameless), nameless.message, next_step=nameless.next_step or next_step)
        raise named from None


def status_error(answer: ApiResponse) -> UsageProviderError:
    """
    Return what an error status means.

    Fatal is only what the API itself says, in JSON: a gateway, a proxy or a maintenance page in its place passes.
    """
    status, error = answer.status, answer.error
    details = {"status": status, "request_id": request_id(answer.headers)}
    if status == 429 or (status in _OVERLOADED and read_retry_after(answer) is not None):
        return _rate_limit_error(answer, details)
    if 300 <= status < 400:
        return _redirect_error(answer, details)
    if status in {401, 403} and not is_markup(answer.body):
        said = "The API key was refused" if status == 401 else "The API key was refused or lacks a scope"
        return error(AuthenticationError, said, next_step=_KEY_STEP, **details)
    if status >= 500 or status in _PASSING:
        return error(VendorUnavailableError, "The vendor could not answer", next_step="Try again later.", **details)
    if not isinstance(answer.json(), dict):
        return error(VendorUnavailableError, "Something answers in the API's place", next_step=_PLACE_STEP, **details)
    if status in {404, 410}:
        step = f"{URL_STEP} If it is right, the account lacks this stream."
        return error(ConfigurationError, "The API has no such path", next_step=step, **details)
    step = "Check the parameters of the task against the vendor's documentation."
    return error(RequestRejectedError, "The vendor rejected the request", next_step=step, **details)


def _redirect_error(answer: ApiResponse, details: dict[str, Any]) -> UsageProviderError:
    """Tell an API that has moved, whose base URL must be changed, from a login or maintenance page."""
    target = answer.headers.get("Location", "")
    said = f"The API redirects to {_origin(target)}, which is not followed"
    moved = answer.error(ConfigurationError, said, next_step=URL_STEP, **details)
    if _path(target) == _path(moved.url or ""):
        return moved
    return answer.error(VendorUnavailableError, said, next_step=_PLACE_STEP, **details)


def refuse_markup(body: bytes, status: int, error: ErrorBuilder) -> None:
    """
    Refuse an answer that begins as HTML or XML.

    :raises InvalidBodyError: it does: something other than the API is at the base URL, for now or for ever.
    """
    if is_markup(body):
        step = f"{URL_STEP} If it is right, try again later."
        raise error(InvalidBodyError, "The host answers HTML or XML, not JSON", status=status, next_step=step)


def is_markup(body: bytes) -> bool:
    """Whether a body begins as HTML or XML: a page for people, not the API's word."""
    return body.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<"


def _rate_limit_error(answer: ApiResponse, details: dict[str, Any]) -> UsageProviderError:
    seconds, error = read_retry_after(answer), answer.error
    if seconds is None and answer.status == 429:
        seconds = read_reset(answer.headers)
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
    """Return the seconds the vendor asks to wait, None if it does not say."""
    return read_wait(answer.headers, answer.json())


def _origin(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return "an address that cannot be read"
    return f"{parts.scheme}://{parts.hostname}" if parts.hostname else "another path"


def _path(url: str) -> str:
    try:
        return urlsplit(url).path.rstrip("/") or url
    except ValueError:
        return url
