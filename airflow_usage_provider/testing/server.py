"""A vendor's API as a real HTTP server around a plain function, and the faults that APIs have.

The function answers as the vendor would; everything that goes wrong is put around it here, so that a vendor's tests
say nothing of faults.
"""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from inspect import signature
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

_STATUSES = {"400": 400, "401": 401, "403": 403, "404": 404, "429": 429, "500": 500, "502-html": 502, "503": 503}
_HTML = b"<!doctype html><html><title>Bad Gateway</title></html>"
#: What :class:`FaultServer` can do wrong.
FAULTS = (*_STATUSES, "html", "redirect", "gzip", "cut", "close", "trickle", "drift", "drift_alike", "repeat")
_TRICKLE_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Request:
    """
    A request as the vendor gets it.

    :param query: values by name; each is a list, as a name may be repeated.
    :param headers: names in lower case.
    :param origin: scheme, host and port it came to: for addresses in answers.
    """

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes
    origin: str

    def get(self, name: str, default: str = "") -> str:
        """Return the first value of a query parameter."""
        return self.query.get(name, [default])[0]

    def json(self) -> Any:
        """Return the body's JSON."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the vendor answers; a body that is no bytes is written as JSON."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Return the body as it is sent."""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


Answering = Callable[..., Any]


class FaultServer:
    """
    Serves what a function answers, on a free port of 127.0.0.1, as a context manager.

    :param answer: takes a :class:`Request` and, if it has a second parameter, the records the vendor has; returns an
        :class:`Answer`, bytes, or what is written as JSON.
    :param records: what the vendor has.
    :param fault: one of :data:`FAULTS`, or none. ``drift``: once the first request is answered, the first record is
        gone; ``drift_alike``: it is back for the next reading, and goes again; ``repeat``: the last record comes twice;
        ``cut`` and ``close``: half of the body, with its
        length or with none; ``trickle``: a tenth of a second for each byte.
    :param times: how many requests the fault shows on, from the first; 0 for all.
    """

    def __init__(self, answer: Answering, records: Sequence[Any] = (), *, fault: str = "", times: int = 0) -> None:
        if fault and fault not in FAULTS:
            raise ValueError(f"There is no fault {fault!r}. Give one of {', '.join(FAULTS)}.")
        self.requests: list[Request] = []
        self._answer = answer
        self._takes_records = len(signature(answer).parameters) > 1
        self._records = list(records)
        self._fault = fault
        self._times = times
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _handler_of(self))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def respond(self, request: Request) -> tuple[Answer, str]:
        """Return what is answered, and what goes wrong on the way."""
        with self._lock:
            self.requests.append(request)
            fault = self._fault if not self._times or len(self.requests) <= self._times else ""
            records = self._choose_records(request, fault)
        if fault in _STATUSES:
            return Answer(_HTML if fault == "502-html" else {"error": "no", "message": "no"}, _STATUSES[fault]), ""
        if fault == "html":
            return Answer(_HTML), ""
        if fault == "redirect":
            return Answer(b"", 307, {"Location": f"{request.origin}/elsewhere"}), ""
        answer = self._answer(request, records) if self._takes_records else self._answer(request)
        return answer if isinstance(answer, Answer) else Answer(answer), fault

    def _choose_records(self, request: Request, fault: str) -> list[Any]:
        if fault == "repeat":
            return [*self._records, *self._records[-1:]]
        is_first = _is_same(request, self.requests[0]) if fault == "drift_alike" else len(self.requests) == 1
        return self._records if is_first or not fault.startswith("drift") else self._records[1:]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *args: object) -> None:
        """Say nothing of a client that hangs up: some tests are about that."""


def _handler_of(server: FaultServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else a body waits 40 ms for the acknowledgement of its headers

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            request = Request(
                self.command,
                parts.path,
                parse_qs(parts.query, keep_blank_values=True),
                {name.lower(): value for name, value in self.headers.items()},
                self.rfile.read(int(self.headers.get("Content-Length", 0))),
                server.url,
            )
            answer, fault = server.respond(request)
            with suppress(OSError):  # the client hung up
                self._send(answer, fault)

        do_POST = do_PUT = do_DELETE = do_GET

        def _send(self, answer: Answer, fault: str) -> None:
            body = answer.to_bytes()
            headers = {"Content-Type": "application/json", **answer.headers}
            if fault == "gzip":
                body = gzip.compress(body)
                headers["Content-Encoding"] = "gzip"
            self.close_connection = fault in {"cut", "close"}
            headers |= {"Connection": "close"} if fault == "close" else {"Content-Length": str(len(body))}
            self.send_response(answer.status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            if fault == "trickle":
                for byte in body:
                    self.wfile.write(bytes([byte]))
                    threading.Event().wait(_TRICKLE_SECONDS)
            else:
                self.wfile.write(body[: len(body) // 2] if self.close_connection else body)

        def log_message(self, *args: object) -> None:
            """Say nothing of requests: tests look at ``requests``."""

    return Handler


def _is_same(request: Request, other: Request) -> bool:
    return (request.method, request.path, request.query, request.body) == (
        other.method,
        other.path,
        other.query,
        other.body,
    )
