"""What Airflow loads in every one of its processes: names and an address. The app is made at the first request."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

from airflow import __version__
from airflow.plugins_manager import AirflowPlugin

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

logger = logging.getLogger(__name__)
PREFIX = "/llm-usage"
_HAS_VIEWS = tuple(int(part) for part in __version__.split(".")[:2]) >= (3, 1)
_CLOSED = b"These pages cannot ask Airflow who you are, and stay closed. See the log of the API server."


class LazyApp:
    """
    An ASGI app that is made when it is first asked. If it cannot be made, nothing is shown: 503.

    :param build: makes the app; default: ours.
    """

    def __init__(self, build: Callable[[], Any] | None = None) -> None:
        self._build = build or _build_app
        self._app: Any = None
        self._lock = threading.Lock()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request."""
        from asgiref.sync import sync_to_async

        if scope["type"] != "http":  # the API server has no others; one of its lifespan is not ours
            return
        app = await sync_to_async(self._get, thread_sensitive=False)()
        if app is not None:
            await app(scope, receive, send)
            return
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 503, "headers": headers})
        await send({"type": "http.response.body", "body": _CLOSED})

    def _get(self) -> Any:
        with self._lock:
            if self._app is None:
                try:
                    self._app = self._build()
                except Exception as error:  # noqa: BLE001 - whatever it is, the pages stay closed
                    logger.error(  # noqa: TRY400 - one line
                        "The pages of LLM usage stay closed: %s: %s", type(error).__name__, error
                    )
            return self._app


def _build_app() -> Any:
    from airflow_usage_provider.ui.app import build_app

    return build_app()


class UsagePlugin(AirflowPlugin):
    """Adds *LLM usage* to the navigation of Airflow 3.1 and later; nothing to 3.0, which knows no such views."""

    name = "llm_usage"
    fastapi_apps = [{"app": LazyApp(), "url_prefix": PREFIX, "name": "LLM usage"}] if _HAS_VIEWS else []
    external_views = (
        [
            {
                "name": "LLM usage",
                "href": f"{PREFIX.lstrip('/')}/",  # relative: Airflow may live below a path
                "destination": "nav",
                "url_route": "llm-usage",
            }
        ]
        if _HAS_VIEWS
        else []
    )
