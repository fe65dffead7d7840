"""The connections under requests: watched by a deadline, strict about framing, and silent.

urllib3 and ``http.client`` log paths with their query, and print headers where a debug level asks for it: signed URLs
and keys are in them.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from airflow_usage_provider.http.addresses import connect
from airflow_usage_provider.http.deadline import find_watch
from airflow_usage_provider.http.framing import FramedResponse

if TYPE_CHECKING:
    import socket


def _open(connection: HTTPConnection) -> socket.socket:
    """Connect, and attach the socket to the deadline of the request it is for. Behind a proxy, the proxy decides."""
    deadline, public_only = find_watch()
    sock = connect(connection, deadline, public_only=public_only and connection.proxy is None)
    if deadline is not None:
        deadline.attach(sock)
    return sock


def _attach_kept(connection: HTTPConnection) -> None:
    """Attach the socket of a connection that was kept from an earlier request."""
    deadline, _ = find_watch()
    if deadline is not None and connection.sock is not None:
        deadline.attach(connection.sock)


class _WatchedHTTPConnection(HTTPConnection):
    debuglevel = 0  # whatever somebody set for all connections of the process
    response_class = FramedResponse

    def _new_conn(self) -> socket.socket:
        return _open(self)

    def getresponse(self) -> Any:
        _attach_kept(self)
        return super().getresponse()


class _WatchedHTTPSConnection(HTTPSConnection):
    debuglevel = 0
    response_class = FramedResponse

    def _new_conn(self) -> socket.socket:
        return _open(self)

    def getresponse(self) -> Any:
        _attach_kept(self)
        return super().getresponse()


class _WatchedHTTPPool(HTTPConnectionPool):
    ConnectionCls = _WatchedHTTPConnection


class _WatchedHTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _WatchedHTTPSConnection


_POOLS = {"http": _WatchedHTTPPool, "https": _WatchedHTTPSPool}


class WatchedAdapter(HTTPAdapter):
    """requests' adapter over watched connections; it never tries again by itself."""

    def __init__(self) -> None:
        super().__init__(max_retries=0, pool_maxsize=64)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Use our pools."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Use our pools, but for SOCKS, which has its own."""
        manager = super().proxy_manager_for(proxy, **kwargs)
        if not proxy.lower().startswith("socks"):
            manager.pool_classes_by_scheme = _POOLS
        return manager


def _is_not_ours(_: logging.LogRecord) -> bool:
    return find_watch()[0] is None


# At DEBUG, and when headers are odd. What others log stays.
for _name in ("urllib3.connection", "urllib3.connectionpool"):
    logging.getLogger(_name).addFilter(_is_not_ours)
