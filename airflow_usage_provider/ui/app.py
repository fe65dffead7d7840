"""The routes. Each asks Airflow's auth manager; whatever goes wrong is a sentence, and one line of the log."""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from fastapi import Depends, FastAPI, HTTPException
from fastapi.responses import HTMLResponse, Response

from airflow_usage_provider.archive.keys import Series
from airflow_usage_provider.configuration import (
    Options,
    plan_settled_at,
    read_budgets,
    read_principal_names,
)
from airflow_usage_provider.exceptions import ArchiveUnavailableError, ConfigurationError, UsageProviderError
from airflow_usage_provider.models import UsageWindow, parse_usage_date
from airflow_usage_provider.tables.layout import Month
from airflow_usage_provider.tables.page import write_policy
from airflow_usage_provider.ui import views
from airflow_usage_provider.ui.amounts import list_changes, read_amounts
from airflow_usage_provider.ui.charges import Adding
from airflow_usage_provider.ui.closes import read_closes, read_report
from airflow_usage_provider.ui.day import read_day_of_stream
from airflow_usage_provider.ui.frame import MOST_ROWS
from airflow_usage_provider.ui.snapshots import Expected, read_coverage
from airflow_usage_provider.ui.sources import Sources, connect
from airflow_usage_provider.ui.spend import BREAKDOWNS, read_spend
from airflow_usage_provider.ui.spend_view import show_spend, write_csv
from airflow_usage_provider.ui.store import NotThereError

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'self'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_LONGEST = 200  # characters of a parameter
_SEATS = threading.BoundedSemaphore(4)  # pages made at once: the threads are those of Airflow's own routes


def build_app(require: Callable[..., Any] | None = None, sources: Sources | None = None) -> FastAPI:
    """
    Make the app.

    :param require: the dependency of every route; default: the right to see Airflow's plugins.
    :param sources: what it reads.
    """
    app = FastAPI(
        dependencies=[Depends(require or _require_plugins())], docs_url=None, redoc_url=None, openapi_url=None
    )
    source = sources or Sources(connect)

    # Plain functions: FastAPI runs them in its threads, off the event loop.
    @app.get("/")
    def spend(month: str = "", currency: str = "") -> Response:
        return _answer(lambda: _html(_show_spend(source, month, currency)))

    @app.get("/spend.csv")
    def spend_csv(month: str = "", currency: str = "", by: str = "account") -> Response:
        return _answer(lambda: _csv(source, month, currency, by))

    @app.get("/coverage")
    def coverage(month: str = "") -> Response:
        return _answer(lambda: _html(views.show_coverage(_coverage(source, month))))

    @app.get("/revisions")
    def revisions(month: str = "") -> Response:
        return _answer(lambda: _html(_show_revisions(source, month)))

    @app.get("/day")
    def day(vendor: str = "", account: str = "", stream: str = "", date: str = "") -> Response:
        return _answer(lambda: _html(_show_day(source, Series(vendor, account, stream), date)))

    @app.get("/closes")
    def closes() -> Response:
        return _answer(lambda: _html(views.show_closes(read_closes(source.archive()))))

    @app.get("/report")
    def report(month: str = "", close: str = "") -> Response:
        return _answer(lambda: _report(source, month, close))

    @app.get("/{path:path}")
    def anything_else(path: str) -> Response:  # noqa: ARG001 - so that nobody learns which pages there are
        return _html(views.show_problem("There is no such page."), 404)

    @app.exception_handler(HTTPException)
    def refuse(_: object, error: HTTPException) -> Response:
        return Response(str(error.detail), error.status_code, {**HEADERS, **(error.headers or {})}, "text/plain")

    return app


def _require_plugins() -> Any:
    from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
    from airflow.api_fastapi.core_api.security import requires_access_view

    return requires_access_view(AccessView.PLUGINS)


def _show_spend(source: Sources, month: str, currency: str) -> str:
    owners, note = None, "No owners file is set: see owners_url of [usage_provider]."
    try:
        owners = source.owners()
    except UsageProviderError as error:
        note = str(error)
    adding = Adding(owners, read_principal_names())
    spend = read_spend(source.tables(), _month(month), _short(currency), adding)
    return show_spend(spend, read_budgets().get(spend.currency), note)


def _csv(source: Sources, month: str, currency: str, by: str) -> Response:
    if by not in ("day", *BREAKDOWNS):
        raise _BadRequestError(f"{_short(by)!r} is no breakdown", next_step=f"Ask for day, {', '.join(BREAKDOWNS)}.")
    adding = Adding(source.owners() if by == "owner" else None, read_principal_names())
    if by == "owner" and adding.owners is None:
        raise NotThereError("No owners file is set", next_step="Set owners_url of [usage_provider].")
    spend = read_spend(source.tables(), _month(month), _short(currency), adding)
    name = f"llm-usage-{spend.month}-{by}.csv"
    headers = {**HEADERS, "Content-Disposition": f'attachment; filename="{name}"'}
    return Response(write_csv(spend, by), headers=headers, media_type="text/csv; charset=utf-8")


def _coverage(source: Sources, month: str) -> Any:
    options = Options()
    zone = options.read("timezone")
    expected = Expected(
        datetime.now(UTC), options.read_count("lookback_days"), lambda day: plan_settled_at(UsageWindow(day, zone))
    )
    return read_coverage(source.tables(), _month(month), expected)


def _show_revisions(source: Sources, month: str) -> str:
    coverage = _coverage(source, month)
    shown = coverage.changes[:MOST_ROWS]
    try:
        return views.show_revisions(coverage, read_amounts(source.tables(), shown))
    except UsageProviderError as error:
        logger.warning("LLM usage: revisions without amounts, %s", _one_line(str(error)))
        return views.show_revisions(coverage, list_changes(shown), f"There are no amounts. {error}")


def _show_day(source: Sources, series: Series, text: str) -> str:
    for name in (series.vendor, series.account, series.stream):
        _short(name)
    try:
        day = parse_usage_date(_short(text))
    except ConfigurationError as error:
        raise _BadRequestError(error.message, next_step=error.next_step) from None
    return views.show_day(read_day_of_stream(source.tables(), source.archive(), series, day))


def _report(source: Sources, month: str, close: str) -> Response:
    chosen = _month(month)
    if chosen is None:
        raise _BadRequestError("No month is given", next_step="Choose a close of the page Closes.")
    return _html(read_report(source.archive(), chosen, _short(close)).decode(errors="replace"), 200, "sandbox")


class _BadRequestError(ConfigurationError):
    """What was asked makes no sense, whatever the tables hold."""


def _short(text: str) -> str:
    if len(text) > _LONGEST:
        raise _BadRequestError(f"{text[:_LONGEST]!r}… is too long", next_step="Choose from what the page offers.")
    return text


def _month(text: str) -> Month | None:
    try:
        return Month.parse(_short(text)) if text else None
    except ConfigurationError as error:
        raise _BadRequestError(error.message, next_step=error.next_step) from None


def _answer(make: Callable[[], Response]) -> Response:
    """Return a page, or the sentence that says why there is none."""
    if not _SEATS.acquire(blocking=False):
        return _refuse(503, "These pages are asked for by too many at once. Load the page again.")
    try:
        return make()
    except UsageProviderError as error:
        status, sentence = _status(error), str(error)
    except Exception as error:  # noqa: BLE001 - a connection's secrets backend, for one, may raise anything
        status, sentence = 500, f"This page failed: {type(error).__name__}."
    finally:
        _SEATS.release()
    return _refuse(status, sentence)


def _refuse(status: int, sentence: str) -> Response:
    logger.warning("LLM usage: %d, %s", status, _one_line(sentence))
    return _html(views.show_problem(sentence), status)


def _one_line(sentence: str) -> str:
    return sentence.encode("unicode_escape").decode("ascii")


def _status(error: UsageProviderError) -> int:
    if isinstance(error, NotThereError):
        return 404
    if isinstance(error, _BadRequestError):
        return 400
    return 503 if isinstance(error, ConfigurationError | ArchiveUnavailableError) else 502


def _html(body: str, status: int = 200, *rules: str) -> Response:
    headers = {**HEADERS, "Content-Security-Policy": "; ".join([write_policy(body), *rules])}
    return HTMLResponse(body.encode("utf-8", "replace"), status, headers)
