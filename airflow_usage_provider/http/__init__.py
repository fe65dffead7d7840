"""HTTP: one request and its answer, polite and bounded. Knows nothing of vendors, S3 or Airflow.

:class:`HttpClient`, :class:`BearerAuth` and :class:`HeaderAuth` are for vendors of one's own. They are imported when
they are used: settings of a connection need no HTTP library, and every parse of a DAG would pay for it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_usage_provider.http.auth import BearerAuth, HeaderAuth
    from airflow_usage_provider.http.client import HttpClient

__all__ = ["BearerAuth", "HeaderAuth", "HttpClient"]
_HOMES = {"HttpClient": "client", "BearerAuth": "auth", "HeaderAuth": "auth"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(name)
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
