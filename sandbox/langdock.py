"""Langdock's usage export over HTTP: ``POST /export/{type}``, with ``/csv`` and ``/json``.

The body is validated as strictly as the documentation words it; errors have the flat shape, or the nested one.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import time
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from sandbox.data import draw_uuid
from sandbox.downloads import Downloads, Offer
from sandbox.exportfile import build_json, count_rows
from sandbox.exportrows import Question
from sandbox.faults import answer_in_its_place, delay, fault_shows, redirect_elsewhere, refuse_over_limit, wait_refusal
from sandbox.keys import Key, parse_key
from sandbox.refusal import RefusalError
from sandbox.switches import LangdockSwitches
from sandbox.wire import WireResponse, send_body

if TYPE_CHECKING:
    from sandbox.state import State

STREAMS = {
    "users": ("users", ("model",)),
    "agents": ("agents", ("model",)),
    "assistants": ("agents", ("model",)),
    "api-keys": ("api_keys", ("model",)),
    "projects": ("projects", ()),
    "models": ("models", ("source", "deployment")),
    "workflows": ("workflows", ()),
}
DATE_FORM = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z")
CLAIM_FORM = re.compile(r"[+-]?\d+")
ERRORS = {
    "400": (400, "Bad Request", "The request is invalid."),
    "400-too-large": (400, "Export too large", "USAGE_EXPORT_TOO_LARGE: the export exceeds 1,000,000 rows."),
    "401": (401, "Unauthorized", "Invalid API key."),
    "403": (403, "Forbidden", "The API key lacks the scope USAGE_EXPORT_API."),
    "404-other": (404, "Not Found", "The requested resource does not exist."),
    "500": (500, "Internal Server Error", "An unexpected error occurred."),
}


@dataclass(frozen=True, slots=True)
class Window:
    """The period asked for: wall-clock times, both ends included."""

    first: datetime
    last: datetime


def build_router(seed: int, state: State, downloads: Downloads) -> APIRouter:
    """The routes of one Langdock."""
    router = APIRouter()

    async def export(request: Request, kind: str, form: str = "csv") -> Response:
        return await answer(request, kind, form, seed, state, downloads)

    router.add_api_route("/export/{kind}", export, methods=["POST"], response_model=None)
    router.add_api_route("/export/{kind}/{form}", export, methods=["POST"], response_model=None)
    return router


async def answer(request: Request, kind: str, form: str, seed: int, state: State, downloads: Downloads) -> Response:
    """Answer one export request."""
    key: Key[LangdockSwitches] | None = None
    try:
        _refuse_browsers(request)
        key = parse_key(request.headers.get("authorization"), LangdockSwitches)
        refuse_over_limit(state, key)
        await delay(key.switches)
        fault = fault_shows(state, key)
        if fault and key.switches.redirect:
            return redirect_elsewhere(request, key.switches, downloads.origin)
        if fault and (stand_in := answer_in_its_place(key.switches.error)):
            return stand_in
        if fault and key.switches.error:
            raise _error_refusal(key.switches)
        question = _read_question(kind, form, await request.body(), seed, key, state)
        if form == "json":
            return _send_rows(question, fault=fault)
        body = _write_envelope(question, key, state, downloads, fault=fault)
        return send_body(body, key.switches, fault=fault)
    except RefusalError as refusal:
        return _error_response(refusal, nested=key is not None and key.switches.nested_error)


def _refuse_browsers(request: Request) -> None:
    if any(name in ("origin", "referer") or name.startswith("sec-fetch-") for name in request.headers):
        raise RefusalError(403, "Forbidden", "Requests from browsers are not allowed.")


def _error_refusal(switches: LangdockSwitches) -> RefusalError:
    if switches.error == "429":
        return wait_refusal(429, "Rate limit of 500 requests a minute exceeded.", switches)
    return RefusalError(*ERRORS[switches.error])


def _error_response(refusal: RefusalError, *, nested: bool) -> Response:
    content: dict[str, object] = {"error": refusal.code, "message": refusal.message, **refusal.extra}
    if nested:
        inner = {"type": refusal.code.lower().replace(" ", "_"), "message": refusal.message, **refusal.extra}
        content = {"type": "error", "error": inner}
    return JSONResponse(content, refusal.status, refusal.headers)


def _read_question(kind: str, form: str, body: bytes, seed: int, key: Key[LangdockSwitches], state: State) -> Question:
    """Validate a request and count it as a pass over its stream and day.

    :raises RefusalError: 400 for what the documentation forbids, 404 for an unknown path and for an empty period.
    """
    switches = key.switches
    if kind not in STREAMS or form not in ("csv", "json") or (kind == "workflows" and not switches.workflows):
        raise RefusalError(*ERRORS["404-other"])
    stream, groups = STREAMS[kind]
    try:
        asked = json.loads(body)
    except ValueError:
        asked = None
    if not isinstance(asked, dict):
        raise _invalid("The body must be a JSON object.")
    window = _read_window(asked, switches.months_back)
    group_by = asked.get("group_by")
    if group_by is not None and (group_by not in groups or (group_by == "deployment" and not switches.byok)):
        raise _invalid(f"group_by {group_by!r} is not supported for {kind}.")
    counters = state.of(key.text)
    subject = stream, window, group_by
    counters.passes[subject] += 1
    passes = counters.passes[subject]
    revision = int(0 < switches.revise_after < passes)
    days = window.first.date(), window.last.date()
    question = Question(seed, key.account, stream, *days, group_by, revision, switches)
    vanished = 0 < switches.vanish_after < passes
    if vanished or (count_rows(question) == 0 and switches.empty in ("", "404")):
        raise RefusalError(404, "No data found", "No usage data found for the specified period.")
    return question


def _read_window(asked: dict[str, Any], months_back: int) -> Window:
    first, zone = _read_end(asked, "from")
    last, _ = _read_end(asked, "to")
    if last < first:
        raise _invalid("to must not be before from.")
    today = datetime.now(zone).date()
    if months_back and first.date() < _step_back(today, months_back):
        raise _invalid(f"from must not be more than {months_back} months ago.")
    return Window(first, last)


def _read_end(asked: dict[str, Any], name: str) -> tuple[datetime, ZoneInfo]:
    end: Any = asked.get(name)
    for member in ("date", "timezone"):
        if not isinstance(end, dict) or not isinstance(end.get(member), str):
            raise _invalid(f"{name}.{member} is required.")
    if not DATE_FORM.fullmatch(end["date"]):
        raise _invalid(f"{name}.date must have the form YYYY-MM-DDTHH:MM:SS.mmmZ.")
    try:
        zone = ZoneInfo(end["timezone"])
    except (ValueError, OSError, LookupError):
        raise _invalid(f"{name}.timezone is not a known time zone.") from None
    try:
        return datetime.fromisoformat(end["date"].removesuffix("Z")), zone
    except ValueError:
        raise _invalid(f"{name}.date is not a date.") from None


def _step_back(today: date, months: int) -> date:
    index = today.year * 12 + today.month - 1 - months
    return date(index // 12, index % 12 + 1, min(today.day, 28))


def _invalid(message: str) -> RefusalError:
    return RefusalError(400, "Invalid request", message)


def _write_envelope(
    question: Question, key: Key[LangdockSwitches], state: State, downloads: Downloads, *, fault: bool
) -> bytes:
    switches = key.switches
    if fault and switches.success_false:
        return json.dumps({"success": False, "error": "Export failed", "message": "Please try again."}).encode()
    counters = state.of(key.text)
    subject = question.stream, question.first, question.last, question.group_by
    number = sum(counters.passes.values())
    token = hashlib.blake2b(f"{key.text}{subject}{number}".encode(), digest_size=8).hexdigest()
    org = draw_uuid(question.seed, question.account, "org")
    name = f"{question.stream}-usage-{question.first}-{question.last}-{token}.csv"
    file_path = f"{question.stream}-usage/{org}/{name}"
    created = counters.created.setdefault(subject, time.monotonic())
    wanted = switches.ready_after_requests
    late = bool(wanted) and _count_exports(counters.passes, question) <= wanted
    url = downloads.offer(f"/{file_path}", Offer(key, question, math.inf if late else created + switches.ready_after))
    data: dict[str, Any] = {
        "filePath": file_path,
        "downloadUrl": url,
        "dataType": "assistants",
        "recordCount": _claim_count(count_rows(question), switches.record_count),
        "dateRange": _date_range(question, switches),
    }
    if switches.no_url:
        del data["downloadUrl"]
    elif switches.empty == "200":
        data |= {"downloadUrl": None, "filePath": None}
    body = json.dumps({"success": True, "data": data}, separators=(",", ":")).encode()
    return body.replace(b'"success":true', b'"success":True') if fault and switches.body == "invalid" else body


def _count_exports(passes: Any, question: Question) -> int:
    return sum(
        count
        for (stream, window, group_by), count in passes.items()
        if (stream, window.first.date(), group_by) == (question.stream, question.first, question.group_by)
    )


def _claim_count(rows: int, claim: str) -> int:
    if not claim:
        return rows
    if not CLAIM_FORM.fullmatch(claim):
        raise RefusalError(
            400, "sandbox-switch", f"The switch 'record_count' does not take {claim!r}: it takes +N|-N|N."
        )
    return rows + int(claim) if claim[0] in "+-" else int(claim)


def _date_range(question: Question, switches: LangdockSwitches) -> dict[str, str]:
    first, last = question.first, question.last
    if switches.date_range == "date":
        return {"from": str(first), "to": str(last)}
    if switches.date_range == "day_before":
        first, last = first - timedelta(days=1), last - timedelta(days=1)
    end = "+00:00" if switches.date_range == "offset" else "Z"
    return {"from": f"{first}T00:00:00.000{end}", "to": f"{last}T23:59:59.999{end}"}


def _send_rows(question: Question, *, fault: bool) -> Response:
    """The JSON route; its rows are streamed, so only the faults that streaming allows show here."""
    switches = question.switches
    if fault and (switches.body == "html" or switches.success_false or switches.endless or switches.gzip_bomb):
        failed = json.dumps({"success": False, "error": "Export failed", "message": "Please try again."})
        return send_body(failed.encode(), switches, fault=fault)
    metadata = {
        "dataType": question.stream,
        "recordCount": _claim_count(count_rows(question), switches.record_count),
        "dateRange": _date_range(question, switches),
        "generatedAt": f"{datetime.now(UTC):%Y-%m-%d}T00:00:00.000Z",
    }
    file = build_json(question, json.dumps(metadata))
    return WireResponse(
        file.blocks(),
        file.size,
        status_code=201 if switches.created else 200,
        framing="close" if fault and switches.body == "cut_close" else "length",
        cut=fault and switches.body in ("cut", "cut_close"),
        pace=1.0 if fault and switches.trickle else 0.0,
        interim=switches.interim,
    )
