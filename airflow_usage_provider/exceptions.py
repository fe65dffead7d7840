"""The errors of this package, grouped by what the caller should do.

::

    UsageProviderError
    ├── FatalError                    change something first, a retry cannot help
    │   ├── ConfigurationError        connection, base URL, parameter, bucket name
    │   ├── AuthenticationError       the key was refused or lacks a scope
    │   ├── RequestRejectedError      the vendor refuses this very request
    │   │   └── ExportTooLargeError   more rows than the vendor exports at once
    │   ├── UnreadableValueError      money that cannot be read as money; nothing is guessed
    │   ├── UnreconciledError         a month that is not whole, or whose figures do not agree, is not closed
    │   └── ArchiveAccessError        no such bucket, or S3 refuses the credentials
    └── TransientError                try again later
        ├── ConnectionLookupError     Airflow has no such connection, or its secrets backend did not answer
        ├── RateLimitedError          too many requests; ``retry_after`` says how long
        ├── VendorUnavailableError    network, timeout, 5xx, or something that answers in the vendor's place
        ├── InvalidBodyError          the body is not what its contract says
        ├── DownloadExpiredError      the signed URL is not there, not yet or no more
        ├── IncompleteSnapshotError   what came is not all there is; nothing was committed
        │   └── ListingChangedError   records moved between pages while they were read
        ├── SnapshotConflictError     another run archived the same day in the meantime
        ├── TableConflictError        another run has replaced the same table in the meantime
        ├── ArchiveUnavailableError   S3 does not answer, or answers 5xx
        ├── ArchiveCorruptError       an object of the archive is not what its manifest says
        └── UnforeseenError           none of these: only its type and place are told

Messages name the connection, vendor, stream, status and a URL without its query, and the next step. They never hold
a body, a query, a header or a key.
"""

from __future__ import annotations

from functools import partial
from typing import Any


class UsageProviderError(Exception):
    """
    Base of all errors of this package.

    :param message: what went wrong, as a sentence without the fields below.
    :param connection: Airflow connection id, or what the caller named the connection.
    :param vendor: ``keywordsai``, ``langdock`` or a vendor of one's own.
    :param stream: stream of that vendor.
    :param status: HTTP status.
    :param url: scheme, host and path only.
    :param request_id: the vendor's own id of the request, for its support.
    :param next_step: what to do about it, as a sentence.
    """

    def __init__(
        self,
        message: str,
        *,
        connection: str | None = None,
        vendor: str | None = None,
        stream: str | None = None,
        status: int | None = None,
        url: str | None = None,
        request_id: str | None = None,
        next_step: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.connection = connection
        self.vendor = vendor
        self.stream = stream
        self.status = status
        self.url = url
        self.request_id = request_id
        self.next_step = next_step

    @property
    def details(self) -> dict[str, Any]:
        """Every field but the message that has a value."""
        names = ("connection", "vendor", "stream", "status", "url", "request_id", "next_step")
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    def __str__(self) -> str:
        details = self.details
        next_step = details.pop("next_step", None)
        texts = {name: f"{value:.3g} s" if isinstance(value, float) else value for name, value in details.items()}
        facts = ", ".join(f"{name.replace('_', ' ')} {text}" for name, text in texts.items())
        sentence = self.message.rstrip(".") + (f" ({facts})." if facts else ".")
        return f"{sentence} {next_step}" if next_step else sentence

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), **self.details), (self.message,)


class FatalError(UsageProviderError):
    """Something must be changed first; a retry cannot help."""


class ConfigurationError(FatalError):
    """The connection, the base URL or a parameter is wrong."""


class AuthenticationError(FatalError):
    """The vendor refused the API key, or the key lacks a scope."""


class RequestRejectedError(FatalError):
    """The vendor refuses this very request."""


class ExportTooLargeError(RequestRejectedError):
    """The window holds more rows than the vendor exports at once."""


class UnreadableValueError(FatalError):
    """Money cannot be read as money, and a sum without it would be wrong."""


class UnreconciledError(FatalError):
    """A month is not whole, or its figures do not agree; it is not closed."""


class ArchiveAccessError(FatalError):
    """The bucket does not exist, or S3 refuses the credentials."""


class TransientError(UsageProviderError):
    """It may work later."""


class ConnectionLookupError(TransientError):
    """
    Airflow did not give the connection.

    It says the same of one that does not exist and of a secrets backend that failed, so this may pass.
    """


class RateLimitedError(TransientError):
    """
    The vendor asks for fewer requests.

    :param retry_after: seconds to wait, as the vendor said; None if it did not.
    """

    def __init__(self, message: str, *, retry_after: float | None = None, **details: Any) -> None:
        super().__init__(message, **details)
        self.retry_after = retry_after

    @property
    def details(self) -> dict[str, Any]:
        """Every field but the message that has a value."""
        own = {} if self.retry_after is None else {"retry_after": self.retry_after}
        return {**super().details, **own}


class VendorUnavailableError(TransientError):
    """The network failed, time ran out, the vendor answered 5xx, or something in its place did."""


class InvalidBodyError(TransientError):
    """The body is not what its contract says."""


class DownloadExpiredError(TransientError):
    """The signed URL does not serve: not yet, or no more."""


class IncompleteSnapshotError(TransientError):
    """What came is not all there is. Nothing was committed."""


class ListingChangedError(IncompleteSnapshotError):
    """Records moved between pages while they were read."""


class SnapshotConflictError(TransientError):
    """Another run archived the same day in the meantime."""


class TableConflictError(TransientError):
    """Another run has replaced the same table in the meantime."""


class ArchiveUnavailableError(TransientError):
    """S3 does not answer, or answers 5xx."""


class ArchiveCorruptError(TransientError):
    """An object of the archive is not what its manifest says."""


class UnforeseenError(TransientError):
    """An error that nobody foresaw, as far as it can be told: its text may hold anything, a signed URL too."""

    @classmethod
    def of(cls, error: BaseException) -> UnforeseenError:
        """Say what kind of error it was, and in which line; nothing else of it is kept."""
        place, trace = "", error.__traceback__
        while trace is not None:
            code = trace.tb_frame.f_code
            place = f" at line {trace.tb_lineno} of {code.co_qualname} in {code.co_filename.rpartition('/')[2]}"
            trace = trace.tb_next
        return cls(
            f"{type(error).__name__}{place}, which nobody foresaw",
            next_step="Airflow tries again where retries are left; if it stays, report this line.",
        )
