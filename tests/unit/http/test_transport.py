"""Only addresses anybody can reach are public, in whatever form they are written; every wait has an end."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from airflow_usage_provider.http.addresses import is_public_address
from airflow_usage_provider.http.deadline import Deadline

Pair = tuple[socket.socket, socket.socket]
Start = Callable[[float], Deadline]


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "1.1.1.1",
        "172.32.0.1",
        "2606:4700:4700::1111",
        "2a00:1450:4001::200e",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
        "2002:808:808::1",
    ],
)
def test_what_anybody_reaches_is_public(address: str) -> None:
    assert is_public_address(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.255.255.254",
        "0.0.0.0",
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "198.18.0.1",
        "192.0.0.192",
        "192.0.0.9",
        "192.0.0.170",
        "192.88.99.1",
        "192.0.2.1",
        "203.0.113.9",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "168.63.129.16",
        "::",
        "::1",
        "::127.0.0.1",
        "::10.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:a9fe:a9fe",
        "::ffff:0:127.0.0.1",
        "64:ff9b::127.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::8.8.8.8",
        "2002:7f00:1::1",
        "2002:a9fe:a9fe::",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "2001:db8::1",
        "2001:20::1",
        "2001:1::1",
        "3fff::1",
        "::ffff:192.0.0.192",
        "64:ff9b::192.0.0.192",
        "2002:c000:c0::1",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
        "ff0e::1",
        "100::1",
        "4000::1",
    ],
)
def test_what_only_this_network_reaches_is_not(address: str) -> None:
    assert not is_public_address(address)


@pytest.mark.parametrize("host", ["localhost", "example.com", "127.1", "0x7f000001", "2130706433", "", "1.2.3.4.5"])
def test_a_name_is_no_address_and_left_to_the_connected_socket(host: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        is_public_address(host)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two connected sockets that wait five seconds for each other."""
    left, right = socket.socketpair()
    with left, right:
        left.settimeout(5)
        right.settimeout(5)
        yield left, right


@pytest.fixture
def start_deadline() -> Iterator[Callable[[float], Deadline]]:
    """Start deadlines that end with the test."""
    started: list[Deadline] = []

    def start(seconds: float) -> Deadline:
        started.append(Deadline(seconds))
        started[-1].start()
        return started[-1]

    yield start
    for deadline in started:
        deadline.cancel()


def await_passing(deadline: Deadline) -> None:
    while not deadline.has_passed:
        time.sleep(0.001)


def test_a_deadline_ends_a_read_that_would_wait_for_ever(pair: Pair, start_deadline: Start) -> None:
    deadline = start_deadline(0.05)
    deadline.attach(pair[0])
    assert pair[0].recv(1) == b""
    assert deadline.has_passed


def test_a_deadline_that_has_passed_ends_a_socket_attached_late(pair: Pair, start_deadline: Start) -> None:
    deadline = start_deadline(0.001)
    await_passing(deadline)
    deadline.attach(pair[0])
    assert pair[0].recv(1) == b""


def test_a_cancelled_deadline_ends_nothing(pair: Pair, start_deadline: Start) -> None:
    deadline = start_deadline(0.02)
    deadline.attach(pair[0])
    deadline.cancel()
    pair[0].settimeout(0.06)
    with pytest.raises(TimeoutError):
        pair[0].recv(1)
    assert not deadline.has_passed


def test_a_deadline_ends_the_connection_though_its_socket_object_is_closed(pair: Pair, start_deadline: Start) -> None:
    deadline = start_deadline(0.02)
    deadline.attach(pair[0])
    pair[0].close()
    assert pair[1].recv(1) == b""
    assert deadline.has_passed


def test_a_deadline_without_a_socket_just_passes(start_deadline: Start) -> None:
    await_passing(start_deadline(0.001))


def threads() -> int:
    return sum(thread.name == "deadlines" for thread in threading.enumerate())


def test_all_deadlines_share_a_thread_which_ends_after_the_last(start_deadline: Start) -> None:
    deadlines = [start_deadline(60) for _ in range(50)]
    assert threads() == 1
    for deadline in deadlines:
        deadline.cancel()
    while threads():
        time.sleep(0.01)
    await_passing(start_deadline(0.001))


def test_a_short_deadline_does_not_wait_for_a_long_one(start_deadline: Start) -> None:
    start_deadline(60)
    begun = time.monotonic()
    await_passing(start_deadline(0.01))
    assert time.monotonic() - begun < 0.9  # the thread looks each second by itself


def test_a_forked_process_has_its_own_deadlines() -> None:
    code = """
import os, time
from airflow_usage_provider.http.deadline import Deadline
Deadline(60).start()
if not (child := os.fork()):
    deadline = Deadline(0.01)
    deadline.start()
    end = time.monotonic() + 10
    while not deadline.has_passed and time.monotonic() < end:
        time.sleep(0.01)
    os._exit(not deadline.has_passed)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=False).returncode == 0
