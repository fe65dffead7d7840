"""What failures of requests, urllib3, TLS and sockets are called. Their texts are never passed on: they hold URLs."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import requests
import urllib3

from airflow_usage_provider.exceptions import (
    ConfigurationError,
    IncompleteSnapshotError,
    InvalidBodyError,
    UsageProviderError,
    VendorUnavailableError,
)
from airflow_usage_provider.http.framing import FramingError

if TYPE_CHECKING:
    from airflow_usage_provider.http.answers import ErrorBuilder
    from airflow_usage_provider.http.deadline import Deadline

_UNASKABLE = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidHeader,
    urllib3.exceptions.LocationValueError,
    UnicodeError,  # of a host's name
)
FAILURES = (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError, zlib.error)


def name_failure(
    failure: Exception, error: ErrorBuilder, deadline: Deadline, unaskable: type[UsageProviderError]
) -> UsageProviderError:
    """
    Return the error that a failure is.

    :param unaskable: what a URL is called that cannot be requested.
    """
    cause = _root_cause(failure)
    if deadline.has_passed:
        return error(
            VendorUnavailableError,
            f"The answer took longer than {deadline.seconds:.0f} s",
            next_step="Try again; raise timeout or download_timeout in the connection's extra if it happens often.",
        )
    if "CERTIFICATE_VERIFY_FAILED" in str(cause) and "not yet valid" not in str(cause):
        return error(
            ConfigurationError,
            "The server's TLS certificate is not trusted",
            next_step="If a private CA signed it, name its PEM file as ca_bundle in the connection's extra.",
        )
    if isinstance(failure, OSError) and "TLS CA certificate bundle" in str(failure):
        return error(
            ConfigurationError,
            "The ca_bundle file does not exist",
            next_step="Correct ca_bundle in the connection's extra.",
        )
    if isinstance(cause, FramingError):
        return error(InvalidBodyError, f"The answer breaks the rules of HTTP: {cause}", next_step="Try again.")
    if isinstance(failure, urllib3.exceptions.ProtocolError) and not isinstance(cause, OSError):
        return error(IncompleteSnapshotError, "The body ended before its announced end", next_step="Try again.")
    if isinstance(failure, zlib.error):
        return error(InvalidBodyError, "The body's content encoding is broken", next_step="Try again.")
    if isinstance(failure, _UNASKABLE):
        said = "The URL cannot be requested"
        return error(unaskable, said, next_step="Check the connection's host.")
    return error(
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
