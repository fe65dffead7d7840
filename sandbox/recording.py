"""What was asked of the sandbox: every request of both ports, in the order it arrived."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST = 100_000  # so that a sandbox left running does not grow for ever


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """One request.

    :param port_role: ``api`` or ``download``.
    :param headers: names in lower case.
    :param at: ``time.monotonic()`` of its arrival.
    """

    port_role: str
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    at: float

    def to_dict(self) -> dict[str, object]:
        """The record as JSON can carry it."""
        return {
            "port_role": self.port_role,
            "method": self.method,
            "path": self.path,
            "query": self.query,
            "headers": self.headers,
            "body": self.body.decode(errors="replace"),
            "at": self.at,
        }


def record_requests(app: ASGIApp, port_role: str, records: list[RequestRecord]) -> ASGIApp:
    """Wrap an app so that its requests are recorded, the sandbox's own control routes aside."""

    async def recorded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(("/_sandbox/", "/healthz")):
            await app(scope, receive, send)
            return
        at, body = time.monotonic(), b""
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        records.append(RequestRecord(port_role, scope["method"], scope["path"], query, headers, body, at))
        del records[:-MOST]
        first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return first.pop() if first else await receive()

        await app(scope, replay, send)

    return recorded
