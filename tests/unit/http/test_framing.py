"""Where an answer begins and ends is not for the peer to blur; a connection that was blurred is not used again."""

from __future__ import annotations

import http.client
import ssl
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_usage_provider.exceptions import IncompleteSnapshotError, InvalidBodyError, UsageProviderError
from airflow_usage_provider.http.exchange import Exchange
from airflow_usage_provider.http.framing import MAX_INTERIM
from airflow_usage_provider.http.session import Session

Ask = Callable[..., Exchange]
Start = Callable[..., Any]
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def whole(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def interim(status: int) -> bytes:
    return b"HTTP/1.1 %d X\r\nLink: </style.css>\r\n\r\n" % status


@pytest.mark.parametrize("statuses", [[100], [102], [103], [103, 103, 102, 100], [199], [101], [102] * MAX_INTERIM])
def test_interim_answers_are_no_answer_and_the_next_request_gets_its_own(
    ask: Ask, peer: Start, statuses: list[int]
) -> None:
    server = peer([*map(interim, statuses), whole(b"first")], [whole(b"second")])
    assert ask(f"{server.url}/1").read(10) == b"first"
    assert ask(f"{server.url}/2").read(10) == b"second"
    assert server.requests == [(1, "/1"), (1, "/2")]


def test_interim_answers_have_an_end(ask: Ask, peer: Start) -> None:
    server = peer([interim(102) * (MAX_INTERIM + 1) + whole(b"first")], [whole(b"second")])
    with pytest.raises(InvalidBodyError, match="breaks the rules of HTTP: more than 64 interim answers"):
        ask(f"{server.url}/1")
    assert ask(f"{server.url}/2").read(10) == b"second"
    assert server.requests == [(1, "/1"), (2, "/2")]


@pytest.mark.parametrize(
    "size", [b"-1", b"+5", b"0x5", b"1_0", b" 5", b"", b"zz", b"5 5", b"5.0", b"f" * 16, b"-0", b"\xb2", b"5\r"]
)
def test_a_chunk_size_is_hexadecimal_digits_and_nothing_else(ask: Ask, peer: Start, size: bytes) -> None:
    server = peer([CHUNKED + size + b"\r\n" + b"a" * 5 + b"\r\n0\r\n\r\n"], [whole(b"second")])
    with pytest.raises(InvalidBodyError, match="a chunk whose size is no number"):
        ask(f"{server.url}/1").read(100)
    assert ask(f"{server.url}/2").read(10) == b"second"
    assert server.requests == [(1, "/1"), (2, "/2")]


@pytest.mark.parametrize("size", [b"-1", b"fffffffffffffff", b"8000000000"])
def test_a_size_that_lies_takes_no_memory(ask: Ask, peer: Start, size: bytes) -> None:
    server = peer([CHUNKED + size + b"\r\n", *[bytes(1_000_000)] * 60, None])
    tracemalloc.start()
    try:
        with pytest.raises(UsageProviderError):
            for _ in ask(server.url).iter_chunks():
                pass
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "body",
    [
        b"5\r\nabcde\r\n0\r\n\r\n",
        b"2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n",
        b"0005;name=value;other\r\nabcde\r\n000\r\n\r\n",
        b"5 \t\r\nabcde\r\n0\r\nX-Checksum: 1\r\nX-Other: 2\r\n\r\n",
    ],
)
def test_chunks_are_read_with_extensions_and_trailers_and_prove_the_end(ask: Ask, peer: Start, body: bytes) -> None:
    server = peer([CHUNKED + body], [whole(b"second")])
    with ask(f"{server.url}/1") as exchange:
        assert exchange.has_end
        assert exchange.read(10) == b"abcde"
    assert ask(f"{server.url}/2").read(10) == b"second"
    assert server.connections == 1


@pytest.mark.parametrize("end", [b"XX", b"\n", b"f\r\n"])
def test_a_chunk_is_as_long_as_its_size(ask: Ask, peer: Start, end: bytes) -> None:
    with pytest.raises(InvalidBodyError, match="not as long as its size"):
        ask(peer([CHUNKED + b"5\r\nabcde" + end + b"0\r\n\r\n", None]).url).read(100)


def test_trailers_have_an_end(ask: Ask, peer: Start) -> None:
    server = peer([CHUNKED + b"0\r\n" + b"X-More: 1\r\n" * 10_000 + b"\r\n"])
    with pytest.raises(InvalidBodyError, match="trailers of more than"):
        ask(server.url).read(10)


@pytest.mark.parametrize("sent", [b"", b"5", b"5\r\nab", b"5\r\nabcde", b"5\r\nabcde\r\n", b"5\r\nabcde\r\n0"])
def test_chunks_that_are_cut_are_incomplete(ask: Ask, peer: Start, sent: bytes) -> None:
    server = peer([CHUNKED + sent, None], [whole(b"second")])
    with pytest.raises(IncompleteSnapshotError, match="before its announced end"):
        ask(server.url).read(100)
    assert ask(server.url).read(10) == b"second"


@pytest.mark.parametrize(
    "coding", ["gzip, chunked", "chunked, gzip", "chunked, chunked", "br", "x", "chunked;q=1", ","]
)
def test_a_transfer_coding_that_nobody_asked_for_is_refused(ask: Ask, peer: Start, coding: str) -> None:
    head = f"HTTP/1.1 200 OK\r\nTransfer-Encoding: {coding}\r\n\r\n".encode()
    server = peer([head + b"5\r\nabcde\r\n0\r\n\r\n"], [whole(b"second")])
    with pytest.raises(InvalidBodyError, match="a transfer coding that nobody asked for"):
        ask(f"{server.url}/1")
    assert ask(f"{server.url}/2").read(10) == b"second"
    assert server.requests == [(1, "/1"), (2, "/2")]


def test_identity_is_no_coding_and_proves_no_end(ask: Ask, peer: Start) -> None:
    both = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity, chunked\r\n\r\n"
    assert ask(peer([both + b"5\r\nabcde\r\n0\r\n\r\n"]).url).read(10) == b"abcde"
    with pytest.raises(InvalidBodyError):
        ask(peer([both + b"a,b\n1,2\n", None]).url).read(10)
    alone = both.replace(b", chunked", b"")
    with ask(peer([alone + b"abcde", None]).url) as exchange:
        assert not exchange.has_end
        assert exchange.read(10) == b"abcde"


@pytest.mark.parametrize("length", ["+5", "-1", "1_0", "0x5", "5, 6", "many", "5.0", "", "9" * 5000, "²"])
def test_a_length_is_digits_and_one_number(ask: Ask, peer: Start, length: str) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n".encode()
    server = peer([head + b"abcde"], [whole(b"second")])
    with pytest.raises(InvalidBodyError, match="a length that is no number"):
        ask(f"{server.url}/1")
    assert ask(f"{server.url}/2").read(10) == b"second"
    assert server.requests == [(1, "/1"), (2, "/2")]


def test_the_same_length_twice_is_one(ask: Ask, peer: Start) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\nContent-Length: 5\r\n\r\n"
    assert ask(peer([head + b"abcde"]).url).read(10) == b"abcde"


@pytest.mark.parametrize("line", ["Transfer-Encoding : chunked", "no header", ": x"])
def test_a_line_that_is_no_header_leaves_the_end_unproven(ask: Ask, peer: Start, line: str) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n{line}\r\n\r\n".encode()
    server = peer([head + b"abcde"], [whole(b"second")])
    with ask(f"{server.url}/1") as exchange:
        assert not exchange.has_end
        assert exchange.read(10) == b"abcde"
    assert ask(f"{server.url}/2").read(10) == b"second"
    assert server.requests == [(1, "/1"), (2, "/2")]


def test_chunks_go_before_a_length_and_their_connection_is_not_used_again(ask: Ask, peer: Start) -> None:
    both = CHUNKED.replace(b"\r\n\r\n", b"\r\nContent-Length: 3\r\n\r\n")
    server = peer([both + b"5\r\nabcde\r\n0\r\n\r\n"], [whole(b"second")])
    assert ask(f"{server.url}/1").read(10) == b"abcde"
    assert ask(f"{server.url}/2").read(10) == b"second"
    assert server.requests == [(1, "/1"), (2, "/2")]


@pytest.mark.parametrize("left", [b"x", b"\r\n", whole(b"unsolicited")])
@pytest.mark.parametrize(
    "first", [whole(b"first"), CHUNKED + b"5\r\nfirst\r\n0\r\n\r\n", b"HTTP/1.1 204 No Content\r\n\r\n"]
)
@pytest.mark.parametrize("is_tls", [False, True])
def test_a_connection_on_which_something_is_left_is_not_used_again(
    ask: Ask, peer: Start, certificate: Path, first: bytes, left: bytes, is_tls: bool
) -> None:
    server = peer([first + left], [whole(b"second")], tls=server_context(certificate) if is_tls else None)
    with Session(ca_bundle=str(certificate)) as session:
        assert ask(f"{server.url}/1", session=session).read(10) in {b"first", b""}
        assert ask(f"{server.url}/2", session=session).read(10) == b"second"
    assert server.requests == [(1, "/1"), (2, "/2")]


def server_context(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def test_a_connection_that_was_read_to_its_end_is_kept_over_tls_too(ask: Ask, peer: Start, certificate: Path) -> None:
    server = peer([whole(b"abcde")], tls=server_context(certificate))
    with Session(ca_bundle=str(certificate)) as session:
        for _ in range(3):
            assert ask(server.url, session=session).read(10) == b"abcde"
    assert server.connections == 1


@pytest.mark.parametrize(
    "first",
    [
        [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", None],
        [b"nonsense\r\n\r\n"],
        [b"HTTP/9.9 200 OK\r\nContent-Length: 0\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 200 + b"\r\n"],
        [None],
    ],
)
def test_after_an_error_the_next_request_has_a_connection_of_its_own(
    ask: Ask, peer: Start, first: list[bytes | None]
) -> None:
    server = peer(first, [whole(b"second")])
    with pytest.raises(UsageProviderError):
        ask(f"{server.url}/1").read(100)
    assert ask(f"{server.url}/2").read(10) == b"second"
    assert server.requests == [(1, "/1"), (2, "/2")]


def test_a_body_that_is_not_read_to_its_end_gives_its_connection_up(ask: Ask, peer: Start) -> None:
    server = peer([whole(b"first")], [whole(b"second")])
    ask(f"{server.url}/1").close()
    assert ask(f"{server.url}/2").read(10) == b"second"
    assert server.requests == [(1, "/1"), (2, "/2")]


def test_the_debug_level_of_other_connections_is_not_that_of_ours(
    ask: Ask, peer: Start, canary: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(http.client.HTTPConnection, "debuglevel", 1)
    ask(f"{peer([whole(b'abc')]).url}/{canary}?X-Signature={canary}", headers={"Authorization": canary}).read(10)
    assert capsys.readouterr().out == ""
