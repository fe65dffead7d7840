"""A deadline for a whole request, from the connection to the last byte of the body.

requests bounds the silence between two bytes, not the whole. :class:`Deadline` ends the whole by shutting the socket
down, so that a server that trickles is cut off wherever it trickles: in the proxy's answer, the TLS handshake, the
headers or the body.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_LONGEST_SLEEP = 1.0  # seconds; so long does a thread outlive the last deadline
_request = threading.local()


def find_watch() -> tuple[Deadline | None, bool]:
    """Return the deadline of this thread's request, and whether it is for public addresses only."""
    return getattr(_request, "watch", None) or (None, False)


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
