"""What is asked, and the session that asks: no cookies, no credentials but those of the request, no redirects."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import requests
from requests.cookies import RequestsCookieJar

from airflow_usage_provider import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_usage_provider.http.transport import WatchedAdapter


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


def no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Add no credentials: a .netrc file is not asked."""
    return request


def new_session(adapter: WatchedAdapter, *, ca_bundle: str | None = None) -> requests.Session:
    """Return a session that keeps no cookies and verifies TLS, against the given CAs if there are any."""
    session = _Session()
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    session.cookies = _NoCookies()
    session.headers["User-Agent"] = f"airflow-usage-provider/{__version__}"
    session.headers["Accept-Encoding"] = "identity"
    if ca_bundle:
        session.verify = ca_bundle
    return session


class _Session(requests.Session):
    def resolve_redirects(self, *_: Any, **__: Any) -> Iterator[requests.Response]:
        """Look at none: requests would read the body of a redirect into memory even where it must not follow."""
        return iter(())


class _NoCookies(RequestsCookieJar):
    def set_cookie(self, *_: Any, **__: Any) -> None:
        """Forget it: an API key is all the state there is."""
