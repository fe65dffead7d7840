"""Keywords AI over HTTP: ``GET /api/users/``, and ``POST`` or ``GET /api/users/list/``.

Errors have the shapes of Django REST framework. What the documentation leaves open, a switch decides.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from sandbox.faults import answer_in_its_place, delay, fault_shows, redirect_elsewhere, refuse_over_limit, wait_refusal
from sandbox.keys import Key, parse_key
from sandbox.listing import Filters, Listing, Page, read_page
from sandbox.refusal import RefusalError
from sandbox.switches import KeywordsAISwitches
from sandbox.userrows import ROW_MAKERS, Frame, aggregate
from sandbox.users import Users
from sandbox.wire import send_body

if TYPE_CHECKING:
    from sandbox.state import State

SUMMARY_TYPES = ("all", "daily", "weekly", "monthly", "yearly")
OPERATORS = ("", "eq", "gt", "gte", "lt", "lte", "in", "contains")
ERRORS: dict[str, tuple[int, str, dict[str, object]]] = {
    "400": (400, "Bad request.", {}),
    "401": (401, "Your API key is invalid or expired.", {}),
    "403": (403, "You do not have permission to perform this action.", {}),
    "404": (404, "Not found.", {}),
    "413": (413, "Request body exceeds the maximum size.", {}),
    "422": (422, "Validation failed.", {"errors": {"page_size": ["A valid integer is required."]}}),
    "500": (500, "Internal server error.", {"error_code": "internal_error"}),
}


def build_router(seed: int, state: State, download_url: str) -> APIRouter:
    """The routes of one Keywords AI.

    :param download_url: the origin that ``redirect=other`` and ``next=http`` point to.
    """
    router = APIRouter()

    async def users(request: Request) -> Response:
        return await answer(request, "users", seed, state, download_url)

    async def users_list(request: Request) -> Response:
        return await answer(request, "users_list", seed, state, download_url)

    router.add_api_route("/api/users/", users, methods=["GET"], response_model=None)
    router.add_api_route("/api/users/list/", users_list, methods=["GET", "POST"], response_model=None)
    return router


async def answer(request: Request, stream: str, seed: int, state: State, download_url: str) -> Response:
    """Answer one request, with Django REST framework's shape for what is refused."""
    try:
        key = parse_key(request.headers.get("authorization"), KeywordsAISwitches)
        refuse_over_limit(state, key)
        await delay(key.switches)
        page_number = _read_number(request, "page", 1)
        if page_number == key.switches.gateway_page:
            return PlainTextResponse("404 page not found\n", 404)
        here = not key.switches.error_page or page_number == key.switches.error_page
        fault = fault_shows(state, key, here=here)
        if fault and key.switches.redirect:
            return redirect_elsewhere(request, key.switches, download_url)
        if fault and (stand_in := answer_in_its_place(key.switches.error)):
            return stand_in
        if fault and key.switches.error:
            raise _error_refusal(key.switches)
        size = min(_read_number(request, "page_size", 100 if stream == "users" else 50), 1000)
        listing = await _read_listing(request, stream, seed, key)
        page = read_page(listing, page_number, size, key, state.of(key.text))
        body = _write_envelope(request, listing, page, key.switches, download_url, fault=fault)
        return send_body(body, key.switches, fault=fault)
    except RefusalError as refusal:
        content = {"detail": refusal.message, **refusal.extra}
        return JSONResponse(content, refusal.status, refusal.headers)


def _error_refusal(switches: KeywordsAISwitches) -> RefusalError:
    if switches.error == "429":
        return wait_refusal(429, "Rate limit exceeded", switches)
    if switches.error == "503":
        return wait_refusal(503, "Service temporarily unavailable, try again later.", switches)
    status, detail, extra = ERRORS[switches.error]
    return RefusalError(status, "error", detail, extra=extra)


def _read_number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, str(default))
    if not text.isdecimal() or int(text) < 1:
        raise RefusalError(404 if name == "page" else 400, "parameter", f"Invalid {name}.")
    return int(text)


async def _read_listing(request: Request, stream: str, seed: int, key: Key[KeywordsAISwitches]) -> Listing:
    query = request.query_params
    users = Users(seed, key.account, query.get("environment", "prod"), everyone=bool(key.switches.users))
    sort_by = query.get("sort_by", "")
    frame = Frame("all", datetime.now(UTC).date())
    if stream == "users":
        frame = _read_frame(query.get("summary_type", "all"), query.get("date"), query.get("timezone_offset", "0"))
    sortable = {*ROW_MAKERS[stream](users, 0, frame, KeywordsAISwitches())} - {"top_models"}
    if sort_by and sort_by.removeprefix("-") not in sortable:
        raise RefusalError(400, "parameter", f"Invalid sort_by: {sort_by}.")
    return Listing(stream, users, frame, sort_by, _read_filters(await request.body()))


def _read_frame(summary_type: str, date_text: str | None, offset_text: str) -> Frame:
    if summary_type not in SUMMARY_TYPES:
        raise RefusalError(400, "parameter", f"Invalid summary_type: {summary_type}.")
    try:
        offset = float(offset_text)
        day = datetime.fromisoformat(date_text).date() if date_text else datetime.now(UTC).date()
    except ValueError:
        raise RefusalError(400, "parameter", "Invalid date or timezone_offset.") from None
    return Frame(summary_type, day, offset)


def _read_filters(body: bytes) -> Filters:
    if not body:
        return {}
    try:
        filters = json.loads(body).get("filters") or {}
        read = {name: (spec.get("operator", ""), list(spec.get("value", []))) for name, spec in filters.items()}
    except (ValueError, AttributeError, TypeError):
        raise RefusalError(400, "body", "JSON parse error.") from None
    if any(operator not in OPERATORS for operator, _ in read.values()):
        raise RefusalError(422, "body", "Validation failed.", extra={"errors": {"filters": ["Unknown operator."]}})
    return read


def _write_envelope(
    request: Request, listing: Listing, page: Page, switches: KeywordsAISwitches, download_url: str, *, fault: bool
) -> bytes:
    counts = {"page": len(page.rows), "total": len(page.members), "page_size_plus_one": page.size + 1}
    envelope: dict[str, Any] = {
        "results": page.rows,
        "count": counts[switches.count],
        "previous": _link(request, page.number - 1, "complete", download_url) if page.number > 1 else None,
        "next": _link(request, page.number + 1, switches.next, download_url) if page.number < page.last else None,
    }
    if switches.next == "loop":
        envelope["next"] = _link(request, page.number, "complete", download_url)
    elif switches.next == "missing":
        del envelope["next"]
    if switches.aggregation != "missing":
        full = switches.aggregation == "full" and listing.stream == "users"
        totals = aggregate(listing.users, page.frame, page.members) if full else {}
        if full:
            totals["total_users"] += switches.missing
        envelope["aggregation_data"] = totals
    if switches.extra_fields:
        envelope["sandbox_version"] = {"api": 2}
    if fault and switches.body == "invalid" and page.rows:
        page.rows[0]["id"] = "\ue000"
    layout: dict[str, Any] = {"indent": 4} if switches.whitespace else {"separators": (",", ":")}
    text = json.dumps(envelope, ensure_ascii=False, **layout)
    return text.replace('"\ue000"', "00001").encode()


def _link(request: Request, number: int, flavour: str, download_url: str) -> str:
    if flavour == "http":
        return f"{download_url}{request.url.path}?page={number}"
    base = f"{request.url.scheme}://{request.url.netloc}{request.url.path}"
    if flavour == "page_only":
        return f"{base}?page={number}"
    return f"{base}?{urlencode({**request.query_params, 'page': number})}"
