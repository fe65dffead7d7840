"""A signed URL is asked without credentials, only where the connection allows, and is never shown."""

from __future__ import annotations

import logging
import pickle
import socket
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_usage_provider.exceptions import (
    ConfigurationError,
    DownloadExpiredError,
    IncompleteSnapshotError,
    InvalidBodyError,
    RateLimitedError,
    UsageProviderError,
    VendorUnavailableError,
)
from airflow_usage_provider.http.download import MAX_REDIRECTS, Downloader, SignedUrl

Maker = Callable[..., Downloader]


@pytest.fixture
def secret(canary: str) -> str:
    """Path and query of a signed URL."""
    return f"/{canary}/file.csv?X-Signature={canary}"


@pytest.fixture
def downloader(connect: Any) -> Iterator[Maker]:
    made: list[Downloader] = []

    def make(**settings: Any) -> Downloader:
        def error(kind: type[UsageProviderError], message: str, **details: Any) -> UsageProviderError:
            return kind(message, connection="under_test", vendor="langdock", **details)

        made.append(Downloader(connect("sk-acme", **settings), error, timeout=5.0))
        return made[-1]

    yield make
    for each in made:
        each.close()


def fetch(downloader: Downloader, url: str) -> bytes:
    with downloader.open(SignedUrl(url), stream="users") as exchange:
        return b"".join(exchange.iter_chunks())


def test_a_download_sends_no_credentials(secret: str, downloader: Maker, canned_server: Any, canned: Any) -> None:
    server = canned_server([canned(body=b"a\n1\n")])
    assert fetch(downloader(), server.url + secret) == b"a\n1\n"
    path, headers = server.requests[0]
    assert path == secret
    assert not {"authorization", "cookie", "referer", "origin", "range"} & set(headers)


def test_a_netrc_file_is_not_asked(
    downloader: Maker, canned_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login canary password canary\n")
    monkeypatch.setenv("NETRC", str(netrc))
    server = canned_server()
    fetch(downloader(), server.url)
    assert "authorization" not in server.requests[0][1]


@pytest.mark.parametrize(("status", "headers"), [(206, {}), (200, {"Content-Range": "bytes 0-1/9"})])
def test_a_part_of_the_file_is_not_taken_for_all_of_it(
    downloader: Maker, canned_server: Any, canned: Any, status: int, headers: dict[str, str]
) -> None:
    server = canned_server([canned(status, b"a\n", headers)])
    with pytest.raises(IncompleteSnapshotError, match="a part of the file"):
        downloader().open(SignedUrl(server.url), stream="users")


def test_no_log_of_the_libraries_holds_the_url(
    canary: str, secret: str, downloader: Maker, canned_server: Any, canned: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server = canned_server([canned(302, b"", {"Location": f"/next?X-Signature={canary}"}), canned(body=b"a\n")])
    fetch(downloader(), server.url + secret)
    assert canary not in caplog.text


def test_a_probe_asks_for_one_byte(downloader: Maker, canned_server: Any, canned: Any) -> None:
    server = canned_server([canned(206, b"a")])
    downloader().probe(SignedUrl(server.url), stream="users")
    assert server.requests[0][1]["range"] == "bytes=0-0"


def test_a_probe_does_not_read_a_body_that_ignores_the_range(
    downloader: Maker, canned_server: Any, canned: Any
) -> None:
    server = canned_server([canned(200, bytes(50_000_000))])
    begun = time.monotonic()
    downloader().probe(SignedUrl(server.url), stream="users")
    assert time.monotonic() - begun < 1


def test_a_url_that_does_not_serve_yet_keeps_its_connection_for_the_next_poll(downloader: Maker, peer: Any) -> None:
    server = peer([b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone"])
    polls = downloader()
    for _ in range(3):
        with pytest.raises(DownloadExpiredError):
            polls.probe(SignedUrl(server.url), stream="users")
    assert [connection for connection, _ in server.requests] == [1, 1, 1]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, DownloadExpiredError),
        (403, DownloadExpiredError),
        (404, DownloadExpiredError),
        (410, DownloadExpiredError),
        (429, RateLimitedError),
        (400, DownloadExpiredError),
        (413, DownloadExpiredError),
        (451, DownloadExpiredError),
        (408, VendorUnavailableError),
        (201, VendorUnavailableError),
        (204, VendorUnavailableError),
        (304, VendorUnavailableError),
        (500, VendorUnavailableError),
        (503, VendorUnavailableError),
    ],
)
def test_each_status_has_its_error(
    canary: str,
    secret: str,
    downloader: Maker,
    canned_server: Any,
    canned: Any,
    status: int,
    kind: type[UsageProviderError],
) -> None:
    server = canned_server([canned(status, f"<Error>{canary}</Error>".encode())])
    for ask in (downloader().open, downloader().probe):
        with pytest.raises(kind) as caught:
            ask(SignedUrl(server.url + secret), stream="users")
        error = caught.value
        assert type(error) is kind
        assert (error.status, error.stream, error.url) == (status, "users", "http://127.0.0.1")
        assert canary not in str(error) + repr(error) + str(pickle.dumps(error))
        assert canary not in "".join(traceback.format_exception(error))


@pytest.mark.parametrize(
    "code", ["ExpiredToken", "ExpiredRequest", "RequestTimeTooSkewed", "AuthorizationHeaderMalformed"]
)
def test_a_url_that_a_store_calls_expired_under_400_does_not_serve(
    downloader: Maker, canned_server: Any, canned: Any, code: str
) -> None:
    server = canned_server([canned(400, f"<Error><Code>{code}</Code></Error>".encode())])
    with pytest.raises(DownloadExpiredError):
        fetch(downloader(), server.url)


def test_an_empty_object_answers_a_probe_with_416_and_is_there(
    downloader: Maker, canned_server: Any, canned: Any
) -> None:
    downloader().probe(SignedUrl(canned_server([canned(416, b"")]).url), stream="users")


def test_redirects_are_followed_a_few_times(canary: str, downloader: Maker, canned_server: Any, canned: Any) -> None:
    hop = canned(302, b"", {"Location": f"/next?X-Signature={canary}"})
    server = canned_server([*[hop] * MAX_REDIRECTS, canned(body=b"a\n")])
    assert fetch(downloader(), server.url) == b"a\n"
    assert len(server.requests) == MAX_REDIRECTS + 1
    server.answers = [hop]
    with pytest.raises(DownloadExpiredError, match=f"more than {MAX_REDIRECTS} times") as caught:
        downloader().open(SignedUrl(server.url), stream="users")
    assert len(server.requests) == 2 * (MAX_REDIRECTS + 1)
    assert canary not in "".join(traceback.format_exception(caught.value))


def test_a_redirect_keeps_the_rules_of_the_first_url(
    downloader: Maker, canned_server: Any, canned: Any, dead_url: str
) -> None:
    for target in ("file:///etc/passwd", "ftp://files.example.com/x", "https:///x", "https://user@files.example.com/"):
        server = canned_server([canned(302, b"", {"Location": target})])
        with pytest.raises(InvalidBodyError, match="cannot be read"):
            downloader().open(SignedUrl(server.url), stream="users")


def test_a_url_without_tls_is_refused_unless_allowed(canary: str, downloader: Maker) -> None:
    with pytest.raises(ConfigurationError, match=r"not https.*allow_insecure_download") as caught:
        downloader(allow_insecure_download=False).open(SignedUrl(f"http://8.8.8.8/{canary}"), stream="users")
    assert canary not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["ftp://8.8.8.8", "//8.8.8.8", "8.8.8.8", "", "https:///x", "https://u@8.8.8.8", "https://a..b", "https://[::1"],
)
def test_what_is_no_url_is_the_vendors_fault_and_passes(canary: str, downloader: Maker, url: str) -> None:
    with pytest.raises(InvalidBodyError, match="cannot be read") as caught:
        downloader().open(SignedUrl(f"{url}/{canary}"), stream="users")
    assert canary not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "10.0.0.1",
        "169.254.169.254",
        "[fe80::1]",
        "0.0.0.0",
    ],
)
def test_a_private_address_is_refused_before_it_is_asked(
    canary: str, secret: str, downloader: Maker, host: str
) -> None:
    for scheme in ("http", "https"):
        with pytest.raises(
            ConfigurationError, match=r"loopback, private or link-local.*allow_private_download"
        ) as caught:
            downloader(allow_private_download=False).open(SignedUrl(f"{scheme}://{host}{secret}"), stream="users")
        assert canary not in str(caught.value)


@pytest.mark.parametrize("host", ["localhost", "127.1", "2130706433", "0x7f000001", "127.0.0.1."])
def test_a_name_of_a_private_address_is_refused(
    canary: str, secret: str, downloader: Maker, canned_server: Any, host: str
) -> None:
    server = canned_server()
    url = server.url.replace("127.0.0.1", host) + secret
    with pytest.raises(UsageProviderError) as caught:
        downloader(allow_private_download=False).open(SignedUrl(url), stream="users")
    assert server.requests == []
    assert canary not in "".join(traceback.format_exception(caught.value))
    if host == "localhost":
        assert isinstance(caught.value, ConfigurationError)
        assert (caught.value.connection, caught.value.stream) == ("under_test", "users")
        assert "allow_private_download" in str(caught.value)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A socket of this machine that hears of every connection, and of none if it was not knocked at."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        yield listening


@pytest.mark.parametrize("host", ["localhost", "127.1", "2130706433", "127.0.0.1"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_no_socket_is_opened_to_an_address_that_downloads_may_not_reach(
    downloader: Maker, listener: socket.socket, host: str, scheme: str
) -> None:
    with pytest.raises(ConfigurationError, match="allow_private_download"):
        downloader(allow_private_download=False).open(
            SignedUrl(f"{scheme}://{host}:{listener.getsockname()[1]}/"), stream="users"
        )
    with pytest.raises(BlockingIOError):
        listener.accept()


@pytest.mark.parametrize("others", [[], ["8.8.8.8"], ["2606:4700:4700::1111", "8.8.8.8"]])
def test_a_name_is_resolved_once_and_refused_for_any_of_its_addresses(
    downloader: Maker, listener: socket.socket, monkeypatch: pytest.MonkeyPatch, others: list[str]
) -> None:
    asked: list[object] = []

    def resolve(host: object, port: object, *_: object) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in [*others, "127.0.0.1"]]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    url = SignedUrl(f"http://files.example.com:{listener.getsockname()[1]}/f.csv")
    with pytest.raises(ConfigurationError, match=r"files\.example\.com is at a loopback"):
        downloader(allow_private_download=False).open(url, stream="users")
    assert asked == ["files.example.com"]
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_the_address_that_was_looked_at_is_the_one_that_is_connected_to(
    downloader: Maker, canned_server: Any, canned: Any, monkeypatch: pytest.MonkeyPatch, dead_url: str
) -> None:
    server = canned_server([canned(body=b"a\n1\n")])
    asked: list[object] = []
    ports = [int(url.rpartition(":")[2]) for url in (dead_url, server.url)]

    def resolve(host: object, *_: object) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in ports]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert fetch(downloader(), "http://files.example.com/f.csv") == b"a\n1\n"
    assert asked == ["files.example.com"]
    assert server.requests[0][1]["host"] == "files.example.com"


def test_a_redirect_to_a_private_address_is_refused(downloader: Maker, canned_server: Any, canned: Any) -> None:
    inner = canned_server()
    outer = canned_server([canned(302, b"", {"Location": inner.url.replace("127.0.0.1", "localhost")})])
    with pytest.raises(ConfigurationError, match="loopback"):
        downloader(allow_private_download=False).open(SignedUrl(outer.url), stream="users")
    assert inner.requests == outer.requests == []


def test_a_url_that_cannot_be_read_is_refused_in_one_sentence(canary: str, downloader: Maker) -> None:
    for url in (
        f"https://[::1{canary}",
        f"https://files.example.com:{canary}/",
        f"https://{'a' * 300}.example.com/{canary}",
    ):
        with pytest.raises(UsageProviderError) as caught:
            downloader().open(SignedUrl(url), stream="users")
        assert canary not in "".join(traceback.format_exception(caught.value))


@pytest.mark.timeout(20)
def test_a_download_that_trickles_ends_at_the_download_timeout(
    downloader: Maker, sandbox: Any, connect: Any, client_options: dict[str, Any]
) -> None:
    from datetime import date

    from airflow_usage_provider.models import UsageWindow
    from airflow_usage_provider.vendors.langdock.api import ExportQuery, Langdock

    langdock = Langdock(connect("sk-acme;download=trickle"), **client_options)
    export = langdock.create_export(ExportQuery(window=UsageWindow(date(2026, 11, 20)), stream="users"))
    langdock.close()
    begun = time.monotonic()
    with pytest.raises(VendorUnavailableError, match="download_timeout"):
        fetch(downloader(download_timeout=0.3), export.download_url or "")
    assert time.monotonic() - begun < 2


def test_a_proxy_of_the_environment_is_asked_in_place_of_the_host(
    downloader: Maker, canned_server: Any, canned: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = canned_server([canned(body=b"a\n1\n")])
    monkeypatch.setenv("http_proxy", proxy.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    # The proxy is at a private address and may be: it is the host behind it that must not, which only the proxy sees.
    with_rules = downloader(allow_private_download=False)
    assert fetch(with_rules, "http://files.example.com/f.csv?sig=1") == b"a\n1\n"
    assert [path for path, _ in proxy.requests] == ["http://files.example.com/f.csv?sig=1"]


def test_a_host_that_the_environment_excepts_from_the_proxy_is_asked_itself(
    downloader: Maker, canned_server: Any, canned: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = canned_server([canned(body=b"a\n1\n")])
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert fetch(downloader(), server.url + "/f.csv") == b"a\n1\n"
