"""One HTTP request and its answer, for API and downloads alike: when it must end, and how its body is read."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Self, cast

from airflow_usage_provider.exceptions import ConfigurationError, InvalidBodyError, UsageProviderError
from airflow_usage_provider.http.answers import BROKEN_STEP, ApiResponse, is_success, naming
from airflow_usage_provider.http.deadline import Deadline
from airflow_usage_provider.http.encodings import decode
from airflow_usage_provider.http.failures import FAILURES, name_failure

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager
    from types import TracebackType

    from airflow_usage_provider.http.answers import ErrorBuilder
    from airflow_usage_provider.http.framing import FramedResponse
    from airflow_usage_provider.http.session import Request, Session

CHUNK = 1024 * 1024
MAX_BODY_BYTES = 256 * 1024 * 1024
MAX_ERROR_BYTES = 64 * 1024


class Exchange:
    """
    A request that was sent and an answer whose headers are there; close it.

    :param session: keeps the connections.
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
        session: Session,
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
                self._response = session.send(request, timeout=timeout)
        except UsageProviderError as error_of_transport:  # of the address that the socket was connected to
            refusal = error(
                type(error_of_transport), error_of_transport.message, next_step=error_of_transport.next_step
            )
        except FAILURES as failure:
            refusal = self._name(failure)
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
            yield from decode(self._iter_raw(), self.headers.get("Content-Encoding", ""), self.error, most=CHUNK)
        except FAILURES as failure:
            failed = self._name(failure)
        if failed is not None:  # raised here, it has no context: what it came from holds the URL
            raise failed

    def _iter_raw(self) -> Iterator[bytes]:
        while chunk := self._response.raw.read(CHUNK, decode_content=False):
            yield chunk
        if self._deadline.has_passed:  # a body that ends with its connection looks whole when it is cut off
            raise TimeoutError

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

    def _name(self, failure: Exception) -> UsageProviderError:
        self._deadline.cancel()
        return name_failure(failure, self.error, self._deadline, self._unaskable)
