"""The sockets under requests: every one has a deadline, and downloads are kept away from private addresses.

requests bounds the silence between two bytes, not the whole. :class:`Deadline` ends the whole by shutting the socket
down, so that a server that trickles is cut off wherever it trickles: in the proxy's answer, the TLS handshake, the
headers or the body. Addresses are checked on the socket that was connected, so that no DNS answer can say one thing
first and another later.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import socket
import sys
import threading
import time
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
_AZURE_WIRE_SERVER = ipaddress.ip_address("168.63.129.16")  # a public address that leads to the host's own services
_LONGEST_SLEEP = 1.0  # seconds; so long does a thread outlive the last deadline
_request = threading.local()


class _Watcher:
    """
    Expires deadlines, all from one thread, which ends when it finds none.

    A thread for each would cost a fifth of a request, which counts where thousands of sensors wait.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin anew, as a forked child must: it has no thread, and perhaps a lock that nobody will release."""
        self._changed = threading.Condition(threading.Lock())
        self._running: set[Deadline] = set()
        self._has_thread = False
        self._wakes = 0.0

    def add(self, deadline: Deadline) -> None:
        with self._changed:
            self._running.add(deadline)
            if not self._has_thread:
                threading.Thread(target=self._watch, name="deadlines", daemon=True).start()
                self._has_thread = True
            elif deadline.ends < self._wakes:
                self._changed.notify()

    def remove(self, deadline: Deadline) -> None:
        with self._changed:
            self._running.discard(deadline)

    def _watch(self) -> None:
        with self._changed:
            try:
                while self._running:
                    self._wait_and_expire()
            finally:
                self._has_thread = False

    def _wait_and_expire(self) -> None:
        now = time.monotonic()
        self._wakes = min([now + _LONGEST_SLEEP, *(deadline.ends for deadline in self._running)])
        self._changed.wait(max(0.0, self._wakes - now))
        now = time.monotonic()
        for deadline in [running for running in self._running if running.ends <= now]:
            self._running.remove(deadline)
            deadline.expire()


_watcher = _Watcher()
if sys.platform != "win32":
    os.register_at_fork(after_in_child=_watcher.reset)


class Deadline:
    """
    Cuts off a request sent within :meth:`watching`, headers and body, when time is up.

    :param seconds: from its start.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.ends = float("inf")
        self.has_passed = False
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()

    def start(self) -> None:
        """Let the time run."""
        self.ends = time.monotonic() + self.seconds
        _watcher.add(self)

    def cancel(self) -> None:
        """Stop it: nothing is cut off any more."""
        _watcher.remove(self)
        self._replace(None)

    @contextmanager
    def watching(self, *, public_only: bool = False) -> Iterator[None]:
        """
        Make the connections that this thread uses in the block attach themselves.

        :param public_only: refuse to connect to private addresses. Through a proxy, the proxy decides.
        """
        outer = getattr(_request, "watch", None)
        _request.watch = (self, public_only)
        try:
            yield
        finally:
            _request.watch = outer

    def attach(self, sock: socket.socket) -> None:
        """Watch this socket; it is shut down at once if time is up already."""
        # A descriptor of its own: TLS takes the socket's away, and a reader may be busy with its buffers.
        self._replace(socket.socket(fileno=os.dup(sock.fileno())))
        if self.has_passed:
            self.expire()

    def _replace(self, sock: socket.socket | None) -> None:
        with self._lock:
            if self._socket is not None:
                self._socket.close()
            self._socket = sock

    def expire(self) -> None:
        """Say that time is up, and shut the socket down if there is one."""
        self.has_passed = True
        with self._lock, suppress(OSError):  # closed already
            if self._socket is not None:
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
    return ip.is_global and not ip.is_multicast and ip != _AZURE_WIRE_SERVER


def _guard(connection: HTTPConnection, sock: socket.socket) -> socket.socket:
    """Attach a new socket to the deadline of the request it is for, and close it if it leads where it must not."""
    deadline, public_only = getattr(_request, "watch", None) or (None, False)
    if public_only and connection.proxy is None and not is_public_address(sock.getpeername()[0]):
        sock.close()
        raise ConfigurationError(
            f"The download URL's host {connection.host} is at a loopback, private or link-local address",
            next_step="If that is your deployment, set allow_private_download to true in the connection's extra.",
        )
    if deadline is not None:
        deadline.attach(sock)
    return sock


def _attach_kept(connection: HTTPConnection) -> None:
    """Attach the socket of a connection that was kept from an earlier request."""
    watch = getattr(_request, "watch", None)
    if watch is not None and connection.sock is not None:
        watch[0].attach(connection.sock)


class _WatchedHTTPConnection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _guard(self, super()._new_conn())

    def getresponse(self) -> Any:
        _attach_kept(self)
        return super().getresponse()


class _WatchedHTTPSConnection(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return _guard(self, super()._new_conn())

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
    return getattr(_request, "watch", None) is None


# urllib3 logs paths with their query, at DEBUG and when headers are odd: a signed URL is in them. Others' stay.
for _name in ("urllib3.connection", "urllib3.connectionpool"):
    logging.getLogger(_name).addFilter(_is_not_ours)
