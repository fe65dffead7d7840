from __future__ import annotations

import os
import signal
import threading
from contextvars import ContextVar

import pytest

from airflow_usage_provider.operators.in_flight import call_in_flight

MINE: ContextVar[str] = ContextVar("mine")


def refuse_to_stop():
    raise AssertionError("nothing was interrupted")


def test_calls_run_at_the_same_time_and_results_keep_their_order():
    meeting = threading.Barrier(4, timeout=30)

    def call(item):
        meeting.wait()  # passes only if four are here at once
        return item * 2

    assert call_in_flight(call, range(8), limit=4, stop=refuse_to_stop) == [0, 2, 4, 6, 8, 10, 12, 14]


def test_never_more_run_than_are_allowed():
    running, most, lock = 0, 0, threading.Lock()
    pause = threading.Event()

    def call(item):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
            if running == 3:
                pause.set()
        pause.wait(30)
        with lock:
            running -= 1

    call_in_flight(call, range(9), limit=3, stop=refuse_to_stop)
    assert most == 3


@pytest.mark.parametrize(("items", "limit"), [(range(3), 1), (range(1), 4)])
def test_one_at_a_time_runs_where_it_is_called(items, limit):
    threads = call_in_flight(lambda _: threading.current_thread(), items, limit=limit, stop=refuse_to_stop)
    assert set(threads) == {threading.current_thread()}


def test_a_call_sees_the_context_of_the_caller():
    MINE.set("the caller's")
    assert call_in_flight(lambda _: MINE.get(), range(2), limit=2, stop=refuse_to_stop) == ["the caller's"] * 2


def test_what_a_call_raises_ends_the_others_and_is_raised():
    stopped, begun = threading.Event(), []

    def call(item):
        begun.append(item)
        if item == 0:
            raise SystemExit("told to stop")
        stopped.wait(30)

    with pytest.raises(SystemExit, match="told to stop"):
        call_in_flight(call, range(8), limit=2, stop=stopped.set)
    assert stopped.is_set()
    assert 7 not in begun


def test_ctrl_c_reaches_the_one_who_waits_and_stops_the_calls():
    stopped, begun = threading.Event(), threading.Barrier(2, timeout=30)

    def call(item):
        if begun.wait() == 0:
            os.kill(os.getpid(), signal.SIGINT)  # goes to the main thread, which waits
        stopped.wait(30)

    handler = signal.signal(signal.SIGINT, signal.default_int_handler)  # another test may have set its own
    try:
        with pytest.raises(KeyboardInterrupt):
            call_in_flight(call, range(2), limit=2, stop=stopped.set)
    finally:
        signal.signal(signal.SIGINT, handler)
    assert stopped.is_set()
