"""What every vendor is built from: the settings of one account and the rules they obey.

A vendor class takes a :class:`VendorConnection`, speaks HTTP through
:class:`~airflow_usage_provider.http.client.HttpClient` and hands out
:class:`~airflow_usage_provider.models.VendorStream` objects. Settings are checked here, before the first request.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

from airflow_usage_provider.exceptions import ConfigurationError
from airflow_usage_provider.http.clock import SYSTEM_CLOCK, Clock
from airflow_usage_provider.http.traffic import Traffic

_KEY_STEP = "Copy the API key anew into the connection's password."
_HOST_STEP = "Correct the host of the connection: scheme and host, as https://api.example.com."


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorConnection:
    """
    One account of a vendor and how to reach it.

    :param conn_id: what the connection is called, for messages and the rate limiter.
    :param api_key: the secret; in no repr.
    :param base_url: scheme, host, port and where needed a path, without a slash at the end.
    :param account: name of the account in the archive.
    :param timeout: seconds without a byte before a request fails; None for the vendor's default.
    :param connect_timeout: seconds to connect.
    :param download_timeout: seconds for one whole download.
    :param requests_per_minute: what the client keeps under; 0 lifts the limit.
    :param ca_bundle: path of a PEM file with the CAs to trust; None for the usual ones.
    :param allow_http: allow an ``http://`` base URL that is not loopback.
    :param allow_insecure_download: allow ``http://`` signed URLs.
    :param allow_private_download: allow signed URLs on loopback, private and link-local addresses.
    :param traffic: counts what is asked through it.
    :param clock: paces the requests.
    :raises ConfigurationError: the key or the base URL cannot be right.
    """

    conn_id: str
    api_key: str = field(repr=False)
    base_url: str
    account: str
    timeout: float | None = None
    connect_timeout: float = 10.0
    download_timeout: float = 3600.0
    requests_per_minute: int = 0
    ca_bundle: str | None = None
    allow_http: bool = False
    allow_insecure_download: bool = False
    allow_private_download: bool = False
    traffic: Traffic = field(default_factory=Traffic, repr=False, compare=False)
    clock: Clock = field(default=SYSTEM_CLOCK, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.api_key:
            self._refuse("has no API key", "Put the API key into the connection's password.")
        if not self.api_key.isascii() or not self.api_key.isprintable() or " " in self.api_key:
            self._refuse("has an API key with white space or control characters", _KEY_STEP)
        if not self.account.strip():
            self._refuse("has an empty account", "Name the account in the connection's extra, or remove it there.")
        parts = self._parse_base_url()
        if parts.scheme == "http" and not self.allow_http and not _is_loopback(parts.hostname or ""):
            self._refuse(
                "has an http:// base URL, which would show the API key to the network",
                "Use https://, or set allow_http to true in the connection's extra.",
            )

    @property
    def origin(self) -> str:
        """Scheme, host and port: where credentials may go."""
        parts = urlsplit(self.base_url)
        return f"{parts.scheme}://{parts.netloc}"

    def _parse_base_url(self) -> SplitResult:
        if not self.base_url.isprintable() or " " in self.base_url or "\\" in self.base_url:
            self._refuse("has a base URL with white space or control characters", _HOST_STEP)
        try:
            parts = urlsplit(self.base_url)
            _ = parts.port
        except ValueError:
            self._refuse("has a base URL that cannot be read", _HOST_STEP)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            self._refuse("has a base URL without https:// or host", _HOST_STEP)
        if parts.username is not None or parts.password is not None:
            self._refuse("has credentials within its base URL", _HOST_STEP)
        if parts.query or parts.fragment:
            self._refuse("has a query or fragment in its base URL", _HOST_STEP)
        return parts

    def _refuse(self, what: str, next_step: str) -> None:
        raise ConfigurationError(f"Connection {self.conn_id!r} {what}", next_step=next_step)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
