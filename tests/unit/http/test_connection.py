"""Settings that cannot be right are refused before the first request, without showing the key."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_usage_provider.exceptions import ConfigurationError
from airflow_usage_provider.http.connection import VendorConnection


def build(**settings: Any) -> VendorConnection:
    settings = {
        "conn_id": "langdock_eu",
        "api_key": "sk-CANARY",
        "base_url": "https://api.example.com",
        "account": "a",
    } | settings
    return VendorConnection(**settings)


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example.com",
        "https://api.example.com:8443/api/public",
        "http://localhost:8090",
        "http://sandbox.localhost",
        "http://127.0.0.2",
        "http://[::1]:8090",
        "https://[2001:db8::1]",
    ],
)
def test_a_base_url_with_tls_or_on_this_machine_is_taken(url: str) -> None:
    assert build(base_url=url).base_url == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.example.com",
        "ftp://api.example.com",
        "https://",
        "https:///path",
        "https://user:CANARY@api.example.com",
        "https://@api.example.com",
        "https://api.example.com?key=CANARY",
        "https://api.example.com#CANARY",
        "https://api.example.com:port",
        "https://[::1",
        "https://api.example.com\\@evil.example",
        "https://api.exa mple.com",
        "https://api.example.com\n",
        "https://api.example.com\tx",
    ],
)
def test_a_base_url_that_cannot_be_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^Connection 'langdock_eu' has .*https://api.example.com") as caught:
        build(base_url=url)
    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://api.example.com", "http://10.0.0.1", "http://localhost.example.com"])
def test_http_beyond_this_machine_needs_to_be_allowed(url: str) -> None:
    with pytest.raises(ConfigurationError, match="allow_http"):
        build(base_url=url)
    assert build(base_url=url, allow_http=True).base_url == url


@pytest.mark.parametrize("key", ["", "sk-CANARY\n", " sk-CANARY", "sk CANARY", "sk-CANARYé", "sk-CANARY\x00"])
def test_a_key_that_cannot_be_sent_is_refused_without_repeating_it(key: str) -> None:
    with pytest.raises(ConfigurationError, match="password") as caught:
        build(api_key=key)
    assert "CANARY" not in str(caught.value)


def test_an_account_without_a_name_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="empty account"):
        build(account=" ")


def test_no_repr_holds_the_key() -> None:
    assert "CANARY" not in repr(build())
    assert "langdock_eu" in repr(build())


def test_the_origin_is_where_credentials_may_go() -> None:
    assert build(base_url="https://llm.example.com:8443/api/public").origin == "https://llm.example.com:8443"
