"""Signed download URLs and the port that honours them.

A URL is a bearer secret: its signature covers path and expiry, it dies after its lifetime, and a request for it that
carries ``Authorization`` is refused, so that a client which leaks its API key there fails at once.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response

from sandbox.exportfile import ExportFile, build_csv
from sandbox.faults import BAD_GATEWAY
from sandbox.wire import WireResponse, pack_blocks

if TYPE_CHECKING:
    from sandbox.exportrows import Question
    from sandbox.keys import Key
    from sandbox.state import State
    from sandbox.switches import LangdockSwitches

STATUSES = {
    "400": (400, "ExpiredToken", "The provided token has expired."),
    "403": (403, "AccessDenied", "Access Denied"),
    "404": (404, "NoSuchKey", "The specified key does not exist."),
    "410": (410, "Gone", "The file is gone."),
    "500": (500, "InternalError", "We encountered an internal error. Please try again."),
}
PRIVATE = "http://10.255.255.1/internal"


@dataclass(frozen=True, slots=True)
class Offer:
    """One file behind a signed URL; ``ready_at`` on the monotonic clock, infinite when it never comes."""

    key: Key[LangdockSwitches]
    question: Question
    ready_at: float


@dataclass
class Downloads:
    """The files on offer.

    :param origin: scheme, host and port of the URLs.
    :param secret: what URLs are signed with.
    """

    origin: str
    secret: bytes
    offers: dict[str, Offer] = field(default_factory=dict)

    def sign(self, path: str, expires: int) -> str:
        """The signature of a path that expires at ``expires``, in milliseconds since 1970."""
        return hmac.new(self.secret, f"{path}\n{expires}".encode(), hashlib.sha256).hexdigest()

    def offer(self, path: str, offer: Offer) -> str:
        """Put a file on offer.

        :return: its signed URL.
        """
        self.offers[path] = offer
        switches = offer.key.switches
        expires = int((time.time() + switches.url_lifetime) * 1000)
        scheme, _, netloc = self.origin.partition("://")
        if switches.download_host:
            netloc = switches.download_host + netloc[netloc.rfind(":") :]
        query = urlencode({"X-Sandbox-Expires": expires, "X-Sandbox-Signature": self.sign(path, expires)})
        return f"{scheme}://{netloc}{path}?{query}"


def build_router(downloads: Downloads, state: State) -> APIRouter:
    """The routes of the download port."""
    router = APIRouter()

    async def download(request: Request) -> Response:
        return answer(request, downloads, state)

    router.add_api_route("/{path:path}", download, methods=["GET", "HEAD"], response_model=None)
    router.add_api_route("/{path:path}", _refuse_method, methods=["POST", "PUT", "DELETE"], response_model=None)
    return router


async def _refuse_method(request: Request) -> Response:
    if "authorization" in request.headers:
        return _refuse_authorization()
    return _xml(405, "MethodNotAllowed", "The specified method is not allowed against this resource.")


def answer(request: Request, downloads: Downloads, state: State) -> Response:
    """Answer one download, probe or HEAD."""
    if "authorization" in request.headers:
        return _refuse_authorization()
    path, query = request.url.path, request.query_params
    expires = query.get("X-Sandbox-Expires", "")
    if not expires.isdecimal():
        return _xml(403, "AccessDenied", "Access Denied")
    if not hmac.compare_digest(downloads.sign(path, int(expires)), query.get("X-Sandbox-Signature", "")):
        return _xml(403, "SignatureDoesNotMatch", "The request signature we calculated does not match.")
    if int(expires) <= time.time() * 1000:
        return _xml(403, "AccessDenied", "Request has expired")
    offer = downloads.offers.get(path)
    if offer is None or offer.ready_at > time.monotonic():
        return _xml(*STATUSES["404"])
    file = build_csv(offer.question)
    start, stop = _read_range(request, file.size, offer.key.switches)
    if start >= stop and file.size:
        return _xml(416, "InvalidRange", "The requested range is not satisfiable")
    kind = _count_download(request, offer, state, probe=stop - start == 1)
    return _refuse(request, kind) or _send(file, kind, start, stop)


def _count_download(request: Request, offer: Offer, state: State, *, probe: bool) -> str:
    """The fault that shows on this request; only real downloads use up ``download_times``."""
    switches, counters = offer.key.switches, state.of(offer.key.text)
    if not switches.download_times:
        return switches.download
    used = counters.downloads
    if request.method == "GET" and not probe and "hop" not in request.query_params:
        counters.downloads += 1
    return switches.download if used < switches.download_times else "ok"


def _refuse(request: Request, kind: str) -> Response | None:
    if kind in STATUSES:
        return _xml(*STATUSES[kind])
    if kind == "html":
        return HTMLResponse(BAD_GATEWAY)
    if kind == "redirect_private":
        return RedirectResponse(PRIVATE, status_code=302)
    if kind == "redirect_loop" or (kind == "redirect" and "hop" not in request.query_params):
        return RedirectResponse(str(request.url.include_query_params(hop=1)), status_code=302)
    return None


def _send(file: ExportFile, kind: str, start: int, stop: int) -> Response:
    whole = (start, stop) == (0, file.size)
    headers = {"etag": f'"{file.size:x}"'} | (
        {} if whole else {"content-range": f"bytes {start}-{stop - 1}/{file.size}"}
    )
    if kind == "gzip":
        packed = pack_blocks(file.blocks(start, stop))
        return WireResponse(packed, None, media_type="text/csv", headers={"content-encoding": "gzip"})
    return WireResponse(
        file.blocks(start, stop),
        stop - start,
        status_code=200 if whole else 206,
        media_type="text/csv",
        headers={"accept-ranges": "bytes", **headers},
        framing={"cut_chunked": "chunked", "chunked": "chunked", "cut_close": "close", "close": "close"}.get(
            kind, "length"
        ),
        cut=kind.startswith("cut"),
        pace=1.0 if kind == "trickle" else 0.0,
    )


def _read_range(request: Request, size: int, switches: LangdockSwitches) -> tuple[int, int]:
    """The half-open range of bytes asked for; everything when there is none, or none that makes sense."""
    unit, _, text = request.headers.get("range", "").partition("=")
    first, dash, last = text.strip().partition("-")
    if switches.ignore_range or unit != "bytes" or not dash or not (first + last).isdecimal():
        return 0, size
    if not first:
        return max(0, size - int(last)), size
    return int(first), min(size, int(last) + 1) if last else size


def _refuse_authorization() -> Response:
    message = "Only one auth mechanism allowed: the signed URL must be requested without an Authorization header."
    return _xml(400, "InvalidArgument", message)


def _xml(status: int, code: str, message: str) -> Response:
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>'
    return PlainTextResponse(text, status, media_type="application/xml")
