"""Every answer has an end: in bytes, in seconds and in memory. Every failure has a name and shows no secret."""

from __future__ import annotations

import gzip
import pickle
import socket
import ssl
import threading
import time
import traceback
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_usage_provider.exceptions import (
    ConfigurationError,
    IncompleteSnapshotError,
    InvalidBodyError,
    UsageProviderError,
    VendorUnavailableError,
)
from airflow_usage_provider.http.auth import BearerAuth
from airflow_usage_provider.http.exchange import Exchange
from airflow_usage_provider.http.session import Session

Ask = Callable[..., Exchange]
ServerMaker = Callable[..., Any]


def bearer(key: str) -> dict[str, str]:
    return BearerAuth().headers(key)


def test_an_answer_has_status_headers_and_body(ask: Ask, canned_server: ServerMaker, canned: Any) -> None:
    server = canned_server([canned(202, b"abc", {"X-Thing": "t"})])
    with ask(server.url, params={"page": 1}, headers={"Range": "bytes=0-0"}) as exchange:
        assert (exchange.status, exchange.headers["x-thing"], exchange.redirect_target) == (202, "t", None)
        assert exchange.has_end
        assert exchange.read(3) == b"abc"
    path, headers = server.requests[0]
    assert path == "/?page=1"
    assert headers["range"] == "bytes=0-0"
    assert headers["accept-encoding"] == "identity"
    assert headers["user-agent"].startswith("airflow-usage-provider/")


def test_a_body_that_ends_with_its_connection_has_no_proven_end(
    ask: Ask, canned_server: ServerMaker, canned: Any
) -> None:
    server = canned_server([canned(body=b"abc", has_length=False)])
    with ask(server.url) as exchange:
        assert not exchange.has_end
        assert b"".join(exchange.iter_chunks()) == b"abc"
    chunked = canned(body=b"3\r\nabc\r\n0\r\n\r\n", headers={"Transfer-Encoding": "chunked"}, has_length=False)
    with ask(canned_server([chunked]).url) as exchange:
        assert exchange.has_end
        assert exchange.read(10) == b"abc"


@pytest.mark.parametrize(
    "headers", [{"Content-Length": "10"}, {"Transfer-Encoding": "chunked"}], ids=["length", "chunks"]
)
def test_a_body_that_is_cut_is_incomplete(
    ask: Ask, canned_server: ServerMaker, canned: Any, headers: dict[str, str]
) -> None:
    server = canned_server(
        [canned(body=b"5\r\nabcde\r\n", headers={**headers, "Connection": "close"}, has_length=False)]
    )
    if "Content-Length" in headers:
        server.answers = [canned(body=b"abc", headers={**headers, "Connection": "close"}, has_length=False)]
    with ask(server.url) as exchange, pytest.raises(IncompleteSnapshotError, match="ended before its announced end"):
        exchange.read(100)


def test_an_answer_that_is_longer_than_it_may_be_is_refused(ask: Ask, canned_server: ServerMaker, canned: Any) -> None:
    server = canned_server([canned(body=bytes(1001))])
    with ask(server.url) as exchange:
        assert len(exchange.read(1001)) == 1001
    with ask(server.url) as exchange, pytest.raises(InvalidBodyError, match="longer than 1000 bytes"):
        exchange.read(1000)


def test_a_gzip_bomb_is_refused_in_bounded_memory(ask: Ask, canned_server: ServerMaker, canned: Any) -> None:
    bomb = gzip.compress(bytes(200_000_000), 1)
    server = canned_server([canned(body=bomb, headers={"Content-Encoding": "gzip"})])
    tracemalloc.start()
    try:
        with (
            ask(server.url) as exchange,
            pytest.raises(InvalidBodyError, match="longer than 4000000 bytes"),
        ):
            exchange.read(4_000_000)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_a_body_that_never_ends_is_refused(ask: Ask, sandbox: Any) -> None:
    with (
        ask(f"{sandbox.url}/api/users/", headers=bearer("sk-acme;endless=1")) as exchange,
        pytest.raises(InvalidBodyError, match="longer than 4000000 bytes"),
    ):
        exchange.read(4_000_000)


def test_gzip_is_unpacked_though_nobody_asked_for_it(ask: Ask, canned_server: ServerMaker, canned: Any) -> None:
    server = canned_server([canned(body=gzip.compress(b"abc"), headers={"Content-Encoding": "gzip"})])
    with ask(server.url) as exchange:
        assert exchange.read(10) == b"abc"


@pytest.mark.parametrize("encoding", ["aws-chunked", "identity", "AWS-Chunked, identity", ""])
def test_an_encoding_that_changes_nothing_is_none(
    ask: Ask, canned_server: ServerMaker, canned: Any, encoding: str
) -> None:
    server = canned_server([canned(body=b"a,b\n1,2\n", headers={"Content-Encoding": encoding})])
    with ask(server.url) as exchange:
        assert exchange.read(100) == b"a,b\n1,2\n"
    server.answers = [canned(body=gzip.compress(b"abc"), headers={"Content-Encoding": f"gzip,{encoding}"})]
    with ask(server.url) as exchange:
        assert exchange.read(100) == b"abc"


def test_gzip_may_have_several_members(ask: Ask, canned_server: ServerMaker, canned: Any) -> None:
    pieces = [b"a,b\n", b"", b"1,2\n" * 100_000, b"3,4\n"]
    body = b"".join(map(gzip.compress, pieces))
    server = canned_server([canned(body=body, headers={"Content-Encoding": "gzip"})])
    with ask(server.url) as exchange:
        assert exchange.read(1_000_000) == b"".join(pieces)
    for broken, kind in (
        (body + b"junk", InvalidBodyError),
        (body + bytes(512), InvalidBodyError),
        (body[:-9], IncompleteSnapshotError),
        (body + b"\x1f\x8b", IncompleteSnapshotError),
    ):
        server.answers = [canned(body=broken, headers={"Content-Encoding": "gzip"})]
        with ask(server.url) as exchange, pytest.raises(kind):
            exchange.read(1_000_000)


def test_many_small_members_take_no_more_than_their_time(ask: Ask, canned_server: ServerMaker, canned: Any) -> None:
    server = canned_server([canned(body=gzip.compress(b"") * 100_000, headers={"Content-Encoding": "gzip"})])
    with ask(server.url) as exchange:
        assert exchange.read(10) == b""


@pytest.mark.parametrize("encoding", ["br", "zstd", "deflate", "gzip, gzip", "aws-chunked, br"])
def test_a_content_encoding_nobody_knows_is_an_invalid_body(
    ask: Ask, canned_server: ServerMaker, canned: Any, encoding: str
) -> None:
    server = canned_server([canned(body=b"abc", headers={"Content-Encoding": encoding})])
    with ask(server.url) as exchange, pytest.raises(InvalidBodyError, match="unknown content encoding"):
        exchange.read(100)


def test_a_broken_content_encoding_is_an_invalid_body(ask: Ask, canned_server: ServerMaker, canned: Any) -> None:
    server = canned_server([canned(body=b"no gzip at all", headers={"Content-Encoding": "gzip"})])
    with ask(server.url) as exchange, pytest.raises(InvalidBodyError, match="content encoding is broken"):
        exchange.read(100)


def test_a_gzip_stream_that_stops_early_is_incomplete_though_its_length_is_right(
    ask: Ask, canned_server: ServerMaker, canned: Any
) -> None:
    packer = zlib.compressobj(wbits=31)
    cut = packer.compress(b"a,b\n1,2\n") + packer.flush(zlib.Z_SYNC_FLUSH)
    server = canned_server([canned(body=cut, headers={"Content-Encoding": "gzip"})])
    with ask(server.url) as exchange, pytest.raises(IncompleteSnapshotError, match="gzip stream ended early"):
        exchange.read(100)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("framing", ["trickle=1", "trickle=1;body=cut_close"])
def test_a_body_that_trickles_ends_at_the_deadline(ask: Ask, sandbox: Any, framing: str) -> None:
    begun = time.monotonic()
    with (
        ask(f"{sandbox.url}/api/users/", headers=bearer(f"sk-acme;{framing}"), seconds=0.3) as exchange,
        pytest.raises(VendorUnavailableError, match=r"longer than 0 s.*download_timeout"),
    ):
        exchange.read(100_000)
    assert time.monotonic() - begun < 2


def test_headers_that_do_not_come_end_at_the_deadline_too(ask: Ask, sandbox: Any) -> None:
    begun = time.monotonic()
    with pytest.raises(VendorUnavailableError, match="took longer"):
        ask(f"{sandbox.url}/api/users/", headers=bearer("sk-acme;latency=2"), seconds=0.2)
    assert time.monotonic() - begun < 1


def test_silence_ends_at_the_read_timeout(ask: Ask, sandbox: Any) -> None:
    with pytest.raises(VendorUnavailableError, match="request failed: "):
        ask(f"{sandbox.url}/api/users/", headers=bearer("sk-acme;latency=2"), timeout=(5.0, 0.1))


def test_a_kept_connection_is_not_cut_off_by_the_deadline_of_an_earlier_answer(
    ask: Ask, canned_server: ServerMaker, canned: Any
) -> None:
    server = canned_server([canned(body=b"abc")])
    with ask(server.url, seconds=0.1) as exchange:
        exchange.read(10)
    time.sleep(0.15)
    with ask(server.url) as exchange:
        assert exchange.read(10) == b"abc"


@pytest.mark.timeout(20)
def test_a_kept_connection_has_the_deadline_of_each_answer(ask: Ask, sandbox: Any) -> None:
    url = f"{sandbox.url}/api/users/"
    ask(url, headers=bearer("sk-acme;users=1")).read(100_000)
    begun = time.monotonic()
    with (
        ask(url, headers=bearer("sk-acme;trickle=1"), seconds=0.3) as exchange,
        pytest.raises(VendorUnavailableError, match="took longer"),
    ):
        exchange.read(100_000)
    assert time.monotonic() - begun < 2


@pytest.mark.timeout(20)
def test_a_tls_handshake_that_does_not_come_ends_at_the_deadline(ask: Ask) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        begun = time.monotonic()
        with pytest.raises(VendorUnavailableError, match="took longer"):
            ask(f"https://127.0.0.1:{silent.getsockname()[1]}", timeout=(20.0, 20.0), seconds=0.2)
        assert time.monotonic() - begun < 2


def test_nobody_there_is_unavailable(ask: Ask, dead_url: str) -> None:
    with pytest.raises(VendorUnavailableError, match="The request failed"):
        ask(dead_url)


def test_a_host_that_does_not_exist_is_unavailable(ask: Ask) -> None:
    with pytest.raises(VendorUnavailableError, match="Check that the host is right"):
        ask("http://nobody.invalid/")


def test_headers_of_absurd_size_are_unavailable(ask: Ask, sandbox: Any) -> None:
    with pytest.raises(UsageProviderError):
        ask(f"{sandbox.url}/api/users/", headers=bearer("sk-acme;big_headers=1"))


def test_an_impossible_url_is_a_configuration_error(ask: Ask) -> None:
    with pytest.raises(ConfigurationError, match="URL cannot be requested"):
        ask("http://")


def test_a_redirect_is_told_and_not_followed(ask: Ask, canned_server: ServerMaker, canned: Any) -> None:
    server = canned_server([canned(302, b"", {"Location": "/elsewhere"})])
    with ask(server.url) as exchange:
        assert exchange.redirect_target == "/elsewhere"
    assert len(server.requests) == 1


def test_the_body_of_a_redirect_is_not_read(ask: Ask, canned_server: ServerMaker, canned: Any) -> None:
    server = canned_server([canned(302, bytes(60_000_000), {"Location": "/elsewhere"})])
    tracemalloc.start()
    try:
        ask(server.url).close()
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_cookies_are_forgotten(ask: Ask, canned_server: ServerMaker, canned: Any) -> None:
    server = canned_server([canned(headers={"Set-Cookie": "session=abc; Path=/"})])
    for _ in range(2):
        ask(server.url).read(10)
    assert all("cookie" not in headers for _, headers in server.requests)


def test_a_netrc_file_is_not_asked(
    ask: Ask, canned_server: ServerMaker, canned: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login canary password canary\n")
    monkeypatch.setenv("NETRC", str(netrc))
    server = canned_server()
    ask(server.url).read(10)
    ask(server.url, headers=bearer("sk-acme")).read(10)
    assert "authorization" not in server.requests[0][1]
    assert server.requests[1][1]["authorization"] == "Bearer sk-acme"


@pytest.fixture
def tls_server(certificate: Path, canned_server: ServerMaker, canned: Any) -> Any:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return canned_server([canned(body=b"abc")], tls=context)


def test_a_certificate_nobody_trusts_is_a_configuration_error(ask: Ask, tls_server: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"certificate is not trusted.*ca_bundle"):
        ask(tls_server.url)


@pytest.mark.parametrize("said", [b"HTTP/1.1 200 OK\r\n\r\n", b"", b"\x15\x03\x01\x00\x02\x02\x28"])
def test_tls_that_fails_for_anything_but_its_certificate_passes(ask: Ask, said: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(said)
                connection.recv(1000)

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(VendorUnavailableError):
            ask(f"https://127.0.0.1:{listener.getsockname()[1]}")
        thread.join()


def test_a_private_ca_can_be_trusted(ask: Ask, tls_server: Any, certificate: Path) -> None:
    with Session(ca_bundle=str(certificate)) as session:
        assert ask(tls_server.url, session=session).read(10) == b"abc"


def test_the_connections_ca_goes_before_the_environments(
    ask: Ask, tls_server: Any, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import certifi

    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certifi.where())
    with Session(ca_bundle=str(certificate)) as session:
        assert ask(tls_server.url, session=session).read(10) == b"abc"
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    assert ask(tls_server.url).read(10) == b"abc"


def test_a_ca_bundle_that_does_not_exist_is_named(ask: Ask, tls_server: Any, tmp_path: Path) -> None:
    with (
        Session(ca_bundle=str(tmp_path / "none.pem")) as session,
        pytest.raises(ConfigurationError, match="ca_bundle file does not exist"),
    ):
        ask(tls_server.url, session=session)


def test_a_tls_socket_to_a_private_address_is_refused_with_the_vendors_name(
    ask: Ask, tls_server: Any, certificate: Path
) -> None:
    with (
        Session(ca_bundle=str(certificate)) as session,
        pytest.raises(ConfigurationError, match=r"loopback.*vendor v.*allow_private_download"),
    ):
        ask(tls_server.url, session=session, public_only=True)
    assert tls_server.requests == []


def test_no_failure_shows_the_url_or_the_key(ask: Ask, sandbox: Any, dead_url: str, canary: str) -> None:
    secret = f"/{canary}/path?X-Signature={canary}"
    users = f"{sandbox.url}/api/users/?a={canary}"
    attempts: list[Callable[[], object]] = [
        lambda: ask(dead_url + secret, headers=bearer(canary)),
        lambda: ask(f"http://nobody.invalid{secret}", headers=bearer(canary)),
        lambda: ask(f"http://{canary}:{canary}@{secret}", headers=bearer(canary)),
        lambda: ask(f"http://{canary}:port{secret}", headers=bearer(canary)),
        lambda: ask(users, headers=bearer(f"sk-{canary};latency=2"), seconds=0.05),
        lambda: ask(users, headers=bearer(f"sk-{canary};latency=2"), timeout=(5.0, 0.05)),
        lambda: ask(users, headers=bearer(f"sk-{canary};body=cut")).read(100_000),
        lambda: ask(users, headers=bearer(f"sk-{canary};body=html")).read(1),
        lambda: ask(users, headers=bearer(f"{canary}\n{canary}")),
    ]
    for attempt in attempts:
        with pytest.raises(UsageProviderError) as caught:
            attempt()
        error = caught.value
        shown = [str(error), repr(error), str(pickle.dumps(error)), *traceback.format_exception(error)]
        assert canary not in "".join(shown)
