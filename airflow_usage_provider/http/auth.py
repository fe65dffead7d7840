"""Where the API key goes in a request. An auth says the place, and never holds the key."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HeaderAuth:
    """
    The key in a header: ``HeaderAuth("x-api-key")``.

    :param name: of the header.
    :param prefix: what stands before the key.
    """

    name: str
    prefix: str = ""

    def headers(self, key: str) -> dict[str, str]:
        """Return the header with the key in it."""
        return {self.name: f"{self.prefix}{key}"}


class BearerAuth(HeaderAuth):
    """The key as ``Authorization: Bearer <key>``."""

    def __init__(self) -> None:
        super().__init__("Authorization", "Bearer ")
