"""Both vendors on two ports: the API, and the downloads its signed URLs lead to.

Both listeners share one event loop in one thread, so the state they share needs no locks.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import threading
import time
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Self

import uvicorn
from fastapi import FastAPI
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from sandbox import downloads, keywordsai, langdock
from sandbox.recording import RequestRecord, record_requests
from sandbox.state import State
from sandbox.wire import watch_connection

if TYPE_CHECKING:
    from starlette.types import ASGIApp

try:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as HttpProtocol
except ImportError:
    from uvicorn.protocols.http.h11_impl import H11Protocol as HttpProtocol  # type: ignore[assignment]


class WatchedProtocol(HttpProtocol):
    """Uvicorn's HTTP protocol, known to the app it serves."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.app = watch_connection(self.app, self)


class Sandbox:
    """A running sandbox, as a context manager.

    :param seed: what all data are drawn from.
    :param host: address both ports listen on.
    :param port: the API's port, 0 for a free one.
    :param download_port: the downloads' port, 0 for a free one.
    :param public_host: host name in the URLs it hands out; the listening host when None.
    :param download_public_url: origin of the signed URLs, when it is another altogether.
    :param signing_secret: what URLs are signed with; random when None.
    """

    def __init__(
        self,
        *,
        seed: int = 7,
        host: str = "127.0.0.1",
        port: int = 0,
        download_port: int = 0,
        public_host: str | None = None,
        download_public_url: str | None = None,
        signing_secret: str | None = None,
    ) -> None:
        self.seed = seed
        self.requests: list[RequestRecord] = []
        self._host = host
        self._ports = port, download_port
        self._public_host = public_host or _name_host(host)
        self._download_public_url = download_public_url
        self._secret = (signing_secret or secrets.token_hex(32)).encode()
        self._states = State(), State()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen on both ports; returns once both answer."""
        sockets = [_listen(self._host, port) for port in self._ports]
        urls = [f"http://{self._public_host}:{sock.getsockname()[1]}" for sock in sockets]
        self.url = urls[0]
        self.download_url = (self._download_public_url or urls[1]).rstrip("/")
        self._downloads = downloads.Downloads(self.download_url, self._secret)
        apps = [self._build_api(), self._build_download_port()]
        self._servers = [uvicorn.Server(_configure(app)) for app in apps]
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(sockets)), daemon=True, name="sandbox")
        self._thread.start()
        deadline = time.monotonic() + 10
        while not all(server.started for server in self._servers):
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise RuntimeError("The sandbox did not start.")
            time.sleep(0.002)

    def stop(self) -> None:
        """Close both ports, and every connection with them."""
        self._loop.call_soon_threadsafe(self._shut)
        self._thread.join(10)

    def clear(self) -> None:
        """Forget the recorded requests, all per-key state, and the files on offer."""
        self.requests.clear()
        self._downloads.offers.clear()
        for state in self._states:
            state.clear()

    async def _serve(self, sockets: list[socket.socket]) -> None:
        self._loop = asyncio.get_running_loop()
        servings = zip(self._servers, sockets, strict=True)
        await asyncio.gather(*(server.serve(sockets=[sock]) for server, sock in servings))

    def _shut(self) -> None:
        for server in self._servers:
            server.should_exit = server.force_exit = True
            for connection in list(server.server_state.connections):
                if connection.transport is not None:
                    connection.transport.abort()

    def _build_api(self) -> ASGIApp:
        app = FastAPI(title="Sandbox", openapi_url=None)
        app.add_api_route("/_sandbox/requests", self._show_requests, methods=["GET"], response_model=None)
        app.add_api_route("/_sandbox/clear", self._clear_all, methods=["POST"], response_model=None)
        app.add_api_route("/healthz", _answer_health, methods=["GET"], response_model=None)
        app.include_router(keywordsai.build_router(self.seed, self._states[0], self.download_url))
        for prefix in ("", "/api/public"):  # the second is where a dedicated Langdock deployment has it
            app.include_router(langdock.build_router(self.seed, self._states[1], self._downloads), prefix=prefix)
        return record_requests(app, "api", self.requests)

    def _build_download_port(self) -> ASGIApp:
        app = FastAPI(title="Sandbox downloads", openapi_url=None)
        app.add_api_route("/healthz", _answer_health, methods=["GET"], response_model=None)
        app.include_router(downloads.build_router(self._downloads, self._states[1]))
        return record_requests(app, "download", self.requests)

    async def _show_requests(self) -> Response:
        return JSONResponse([record.to_dict() for record in self.requests])

    async def _clear_all(self) -> Response:
        self.clear()
        return JSONResponse({"cleared": True})


async def _answer_health() -> Response:
    return PlainTextResponse("ok")


def _name_host(host: str) -> str:
    """The host to put in URLs: loopback where the server listens everywhere."""
    try:
        return "127.0.0.1" if ip_address(host).is_unspecified else host
    except ValueError:
        return host


def _listen(host: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((host, port))
    sock.listen(256)
    return sock


def _configure(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=WatchedProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        timeout_graceful_shutdown=1,
    )
