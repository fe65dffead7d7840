"""What is asked, and the session that asks: no cookies, no credentials but those of the request, no redirects."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import requests
from requests.utils import resolve_proxies

from airflow_usage_provider import __version__
from airflow_usage_provider.http.transport import WatchedAdapter

if TYPE_CHECKING:
    from collections.abc import Mapping

_HEADERS = {
    "User-Agent": f"airflow-usage-provider/{__version__}",
    "Accept": "*/*",
    "Accept-Encoding": "identity",
}


@dataclass(frozen=True, slots=True)
class Request:
    """
    What is asked. Its repr tells none of it: an error's traceback may show locals, and here are signed URL and key.

    :param params: of the query; a value that is a list is sent repeatedly.
    :param body: sent as JSON.
    :param headers: beside those of the session; credentials too.
    """

    method: str = field(repr=False)
    url: str = field(repr=False)
    params: Mapping[str, Any] | None = field(default=None, repr=False)
    body: Mapping[str, Any] | None = field(default=None, repr=False)
    headers: Mapping[str, str] | None = field(default=None, repr=False)


class Session:
    """
    Kept connections to any hosts, and what goes with every request.

    requests' own session is left out: it reads .netrc and the bodies of redirects, keeps cookies, and costs a fifth
    of a request, which counts where thousands of sensors wait. Its rules for proxies and CAs of the environment hold;
    the environment is read once for each host, which is a third of a request.

    :param ca_bundle: path of a PEM file with the CAs to trust, before those of the environment.
    """

    def __init__(self, *, ca_bundle: str | None = None) -> None:
        self._adapter = WatchedAdapter()
        self._ca_bundle = ca_bundle
        self._proxies: dict[tuple[str, ...], dict[str, str]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, request: Request, *, timeout: tuple[float, float]) -> requests.Response:
        """
        Send a request and return the answer before its body is read.

        :param timeout: seconds to connect, and seconds without a byte.
        """
        prepared = requests.PreparedRequest()
        prepared.prepare(
            request.method,
            request.url,
            {**_HEADERS, **(request.headers or {})},
            params=request.params,
            json=request.body,
        )
        environment = (os.environ.get(name) for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"))
        return self._adapter.send(
            prepared,
            stream=True,
            timeout=timeout,
            verify=self._ca_bundle or next(filter(None, environment), True),
            proxies=self._find_proxies(prepared),
        )

    def _find_proxies(self, prepared: requests.PreparedRequest) -> dict[str, str]:
        origin = urlsplit(prepared.url or "")[:2]  # no more of a URL stands in a local here
        if origin not in self._proxies:
            self._proxies[origin] = resolve_proxies(prepared, {})
        return self._proxies[origin]

    def close(self) -> None:
        """Close the kept connections."""
        self._adapter.close()
