"""The sockets under requests: every one has a deadline, and downloads may be kept away from private addresses.

requests bounds the silence between two bytes, not the whole. :class:`Deadline` ends the whole by shutting the socket
down, so that a server that trickles is cut off wherever it trickles. Addresses are checked on the socket that was
connected, so that no DNS answer can say one thing first and another later.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from airflow_usage_provider.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")  # all of IPv6 that anybody was ever given
_local = threading.local()


class Deadline:
    """
    Cuts off a request sent within :meth:`watching`, headers and body, when time is up.

    :param seconds: from its start.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.has_passed = False
        self._socket: socket.socket | None = None
        self._timer = threading.Timer(seconds, self._expire)
        self._timer.daemon = True

    def start(self) -> None:
        """Let the time run."""
        self._timer.start()

    def cancel(self) -> None:
        """Stop it: nothing is cut off any more."""
        self._timer.cancel()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Make the connections that this thread uses in the block attach themselves."""
        outer = getattr(_local, "deadline", None)
        _local.deadline = self
        try:
            yield
        finally:
            _local.deadline = outer

    def attach(self, sock: socket.socket | None) -> None:
        """Watch this socket; it is shut down at once if time is up already."""
        self._socket = sock
        if self.has_passed:
            self._expire()

    def _expire(self) -> None:
        self.has_passed = True
        if self._socket is not None:
            with suppress(OSError):  # closed already
                self._socket.shutdown(socket.SHUT_RDWR)


def is_public_address(address: str) -> bool:
    """Whether an IP address is reachable by everybody: not loopback, private, link-local, reserved or multicast."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip in _NAT64:
            ip = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        elif (embedded := ip.ipv4_mapped or ip.sixtofour) is not None:
            ip = embedded
        elif ip not in _GLOBAL_UNICAST:
            return False
    return ip.is_global and not ip.is_multicast


def refuse_private_address(sock: socket.socket, host: str) -> None:
    """
    Close a socket that leads to a private address.

    :raises ConfigurationError: it does.
    """
    address = sock.getpeername()[0]
    if not is_public_address(address):
        sock.close()
        raise ConfigurationError(
            f"The download URL's host {host} is at a loopback, private or link-local address",
            next_step="If that is your deployment, set allow_private_download to true in the connection's extra.",
        )


def _attach_deadline(connection: HTTPConnection) -> None:
    deadline: Deadline | None = getattr(_local, "deadline", None)
    if deadline is not None:
        deadline.attach(connection.sock)


class _WatchedHTTPConnection(HTTPConnection):
    def getresponse(self) -> Any:
        _attach_deadline(self)
        return super().getresponse()


class _WatchedHTTPSConnection(HTTPSConnection):
    def getresponse(self) -> Any:
        _attach_deadline(self)
        return super().getresponse()


class _PublicHTTPConnection(_WatchedHTTPConnection):
    def _new_conn(self) -> socket.socket:
        sock = super()._new_conn()
        refuse_private_address(sock, self.host)
        return sock


class _PublicHTTPSConnection(_WatchedHTTPSConnection):
    def _new_conn(self) -> socket.socket:
        sock = super()._new_conn()
        refuse_private_address(sock, self.host)
        return sock


class _WatchedHTTPPool(HTTPConnectionPool):
    ConnectionCls = _WatchedHTTPConnection


class _WatchedHTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _WatchedHTTPSConnection


class _PublicHTTPPool(HTTPConnectionPool):
    ConnectionCls = _PublicHTTPConnection


class _PublicHTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _PublicHTTPSConnection


_WATCHED = {"http": _WatchedHTTPPool, "https": _WatchedHTTPSPool}
_PUBLIC = {"http": _PublicHTTPPool, "https": _PublicHTTPSPool}


class WatchedAdapter(HTTPAdapter):
    """
    requests' adapter over watched connections.

    :param public_only: refuse private addresses. Through a proxy, the proxy decides where it connects.
    """

    def __init__(self, *, public_only: bool = False, pool_maxsize: int = 10) -> None:
        self._pools = _PUBLIC if public_only else _WATCHED
        super().__init__(max_retries=0, pool_maxsize=pool_maxsize)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Use our pools."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """Use our watched pools."""
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = _WATCHED
        return manager
