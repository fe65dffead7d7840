"""The one exception the sandbox raises on purpose: a request answered with an error status."""

from __future__ import annotations


class RefusalError(Exception):
    """A request the vendor refuses.

    :param status: HTTP status.
    :param code: short error name, the ``error`` of Langdock's flat error shape.
    :param message: sentence for people.
    :param headers: further response headers.
    :param extra: further members of the error body.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        headers: dict[str, str] | None = None,
        extra: dict[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers or {}
        self.extra = extra or {}
