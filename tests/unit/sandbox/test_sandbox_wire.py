"""What arrives on the wire, byte for byte, when a body is cut, closed, chunked, packed or endless."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
import requests

from sandbox.server import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

DAY = (datetime.now(UTC) - timedelta(days=3)).date()


def sign(sandbox: Sandbox, key: str) -> str:
    ends = {"from": ("00:00:00.000Z", "UTC"), "to": ("23:59:59.999Z", "UTC")}
    body = {name: {"date": f"{DAY}T{clock}", "timezone": zone} for name, (clock, zone) in ends.items()}
    headers = {"Authorization": f"Bearer {key}"}
    answer = requests.post(f"{sandbox.url}/export/users", json=body, headers=headers, timeout=10)
    return str(answer.json()["data"]["downloadUrl"])


def talk(url: str, *, key: str | None = None, most: int = 1 << 30, close: bool = True) -> tuple[bytes, bytes]:
    """Ask by hand and read until the other side closes, or ``most`` bytes."""
    parts = urlsplit(url)
    lines = [f"GET {parts.path}?{parts.query} HTTP/1.1", f"Host: {parts.netloc}"]
    lines += [f"Authorization: Bearer {key}"] if key else []
    lines += ["Connection: close"] if close else []
    received = b""
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        while len(received) < most and (block := connection.recv(1 << 16)):
            received += block
    head, _, body = received.partition(b"\r\n\r\n")
    return head.lower(), body


@pytest.fixture
def whole(sandbox: Sandbox) -> bytes:
    return requests.get(sign(sandbox, "sk-acme"), timeout=10).content


def length_of(head: bytes) -> int:
    return int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])


def test_a_cut_body_is_shorter_than_its_content_length(sandbox: Sandbox, whole: bytes) -> None:
    head, body = talk(sign(sandbox, "sk-acme;download=cut"), close=False)
    assert length_of(head) == len(whole)
    assert body == whole[: len(whole) // 2]


def test_a_cut_chunked_body_has_no_last_chunk(sandbox: Sandbox) -> None:
    head, body = talk(sign(sandbox, "sk-acme;download=cut_chunked"), close=False)
    assert b"transfer-encoding: chunked" in head
    assert not body.endswith(b"0\r\n\r\n")
    _, body = talk(sign(sandbox, "sk-acme;download=chunked"))
    assert body.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("framing", ["close", "cut_close"])
def test_a_close_delimited_body_tells_no_length(sandbox: Sandbox, whole: bytes, framing: str) -> None:
    head, body = talk(sign(sandbox, f"sk-acme;download={framing}"), close=False)
    assert b"content-length" not in head
    assert b"transfer-encoding" not in head
    assert body == (whole if framing == "close" else whole[: len(whole) // 2])


def test_a_cut_page_is_shorter_than_its_content_length(sandbox: Sandbox) -> None:
    head, body = talk(f"{sandbox.url}/api/users/?page=1", key="sk-acme;body=cut", close=False)
    assert 0 < len(body) < length_of(head)


def test_a_close_delimited_page_is_cut_too(sandbox: Sandbox) -> None:
    head, body = talk(f"{sandbox.url}/api/users/?page=1", key="sk-acme;body=cut_close", close=False)
    assert b"content-length" not in head
    assert not body.endswith(b"}")


def test_gzip_comes_without_being_asked_for(sandbox: Sandbox, whole: bytes) -> None:
    url = sign(sandbox, "sk-acme;download=gzip")
    with requests.get(url, headers={"Accept-Encoding": "identity"}, stream=True, timeout=10) as answer:
        assert answer.headers["content-encoding"] == "gzip"
        assert gzip.decompress(answer.raw.read(decode_content=False)) == whole


def test_a_gzip_bomb_is_small_on_the_wire(sandbox: Sandbox) -> None:
    head, body = talk(f"{sandbox.url}/api/users/?page=1", key="sk-acme;gzip_bomb=1", most=20_000)
    assert b"content-encoding: gzip" in head
    assert b"\x1f\x8b" in body[:20]


def test_an_endless_body_does_not_end_and_does_not_keep_the_sandbox_busy(sandbox: Sandbox) -> None:
    _, body = talk(f"{sandbox.url}/api/users/?page=1", key="sk-acme;endless=1", most=5_000_000)
    assert len(body) > 4_000_000
    assert requests.get(f"{sandbox.url}/healthz", timeout=2).text == "ok"


def test_big_headers_are_big(sandbox: Sandbox) -> None:
    head, _ = talk(f"{sandbox.url}/api/users/?page=1", key="sk-acme;big_headers=1")
    assert len(head) > 128 * 1024


@pytest.mark.parametrize("kind", ["redirect", "redirect_loop", "redirect_private"])
def test_redirects_lead_where_they_should(sandbox: Sandbox, kind: str) -> None:
    url = sign(sandbox, f"sk-acme;download={kind}")
    first = requests.get(url, allow_redirects=False, timeout=10)
    assert first.status_code == 302
    if kind == "redirect_private":
        assert first.headers["location"].startswith("http://10.")
    else:
        second = requests.get(first.headers["location"], allow_redirects=False, timeout=10)
        assert second.status_code == (200 if kind == "redirect" else 302)


def test_html_and_statuses_replace_the_file(sandbox: Sandbox) -> None:
    answer = requests.get(sign(sandbox, "sk-acme;download=html"), timeout=10)
    assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, "text/html")
    assert requests.get(sign(sandbox, "sk-acme;download=410"), timeout=10).status_code == 410


@pytest.fixture
def hanging_requests() -> Iterator[tuple[Sandbox, threading.Thread]]:
    sandbox = Sandbox(seed=7)
    sandbox.start()
    url = sign(sandbox, "sk-acme;download=trickle")
    thread = threading.Thread(target=lambda: talk(url))
    thread.start()
    yield sandbox, thread
    thread.join(5)


def test_the_sandbox_stops_at_once_with_a_download_under_way(
    hanging_requests: tuple[Sandbox, threading.Thread],
) -> None:
    sandbox, thread = hanging_requests
    while len(sandbox.requests) < 2:
        pass
    begun = time.monotonic()
    sandbox.stop()
    assert time.monotonic() - begun < 2
    thread.join(5)
    assert not thread.is_alive()
