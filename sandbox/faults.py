"""The faults both vendors share: error statuses, the rate limit, latency, and a redirect to elsewhere."""

from __future__ import annotations

import asyncio
import math
import time
from email.utils import formatdate
from typing import TYPE_CHECKING

from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response

from sandbox.refusal import RefusalError

if TYPE_CHECKING:
    from starlette.requests import Request

    from sandbox.keys import Key
    from sandbox.state import State
    from sandbox.switches import Switches

BAD_GATEWAY = (
    "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n"
    "<body><center><h1>502 Bad Gateway</h1></center></body>\r\n</html>\r\n"
)


def fault_shows(state: State, key: Key[Switches], *, here: bool = True) -> bool:
    """Count a request and say whether a fault that is limited in number (or to a page) shows on it."""
    if not here:
        return False
    counters = state.of(key.text)
    counters.faults += 1
    return not key.switches.error_times or counters.faults <= key.switches.error_times


def refuse_over_limit(state: State, key: Key[Switches]) -> None:
    """Count a request against the account's rate limit.

    :raises RefusalError: 429 when it is over the limit.
    """
    limit = key.switches.rate_limit
    wait = state.seconds_to_wait(key.account, limit) if limit else 0.0
    if wait > 0:
        raise wait_refusal(429, "Rate limit exceeded", key.switches, math.ceil(wait))


def wait_refusal(status: int, message: str, switches: Switches, default: float = 1) -> RefusalError:
    """A 429 or 503 that says how long to wait, where the switches say it says so."""
    seconds = default if switches.retry_after is None else switches.retry_after
    seconds = int(seconds) if seconds == int(seconds) else seconds
    place = switches.retry_after_in
    headers = {"retry-after": str(seconds)} if place in ("header", "both") else {}
    if place == "date":
        headers = {"retry-after": formatdate(math.ceil(time.time() + seconds), usegmt=True)}
    extra: dict[str, object] = {"retry_after": seconds} if place in ("body", "both") else {}
    return RefusalError(status, "Too many requests", message, headers=headers, extra=extra)


async def delay(switches: Switches) -> None:
    """Wait as long as the switches say the vendor takes."""
    if switches.latency:
        await asyncio.sleep(switches.latency)


def redirect_elsewhere(request: Request, switches: Switches, download_url: str) -> Response:
    """307 to the same path on another origin, or to a login page."""
    path = "/login" if switches.redirect == "login" else request.url.path
    return RedirectResponse(download_url + path, status_code=307)


def answer_in_its_place(error: str) -> Response | None:
    """What a gateway in front of the vendor answers, if the error is one of a gateway."""
    if error == "502-html":
        return HTMLResponse(BAD_GATEWAY, status_code=502)
    if error == "404-text":
        return PlainTextResponse("404 page not found\n", status_code=404)
    return None
