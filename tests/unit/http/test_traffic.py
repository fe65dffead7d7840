"""Counters that threads share, and progress told every ten seconds by whoever comes first."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

from airflow_usage_provider.http.traffic import Traffic


def test_nothing_is_lost_between_threads() -> None:
    traffic = Traffic()
    with ThreadPoolExecutor(8) as threads:
        for _ in range(2000):
            threads.submit(traffic.count_request)
            threads.submit(traffic.count_retry)
    assert (traffic.requests, traffic.retries) == (2000, 2000)


def test_progress_is_due_ten_seconds_after_it_was_told(fake_time: Any) -> None:
    traffic = Traffic(clock=fake_time.clock)
    told = []
    for _ in range(50):
        fake_time.sleep(1)
        told.append(traffic.is_progress_due())
    assert [second for second, is_due in enumerate(told, start=1) if is_due] == [10, 20, 30, 40, 50]


def test_each_connection_counts_for_itself_and_is_equal_all_the_same(connect: Any) -> None:
    one, other = connect(), connect()
    one.traffic.count_request()
    assert (one.traffic.requests, other.traffic.requests) == (1, 0)
    assert one == other


def test_what_is_asked_in_a_block_is_counted_apart_also_in_threads_that_carry_its_context(connect: Any) -> None:
    traffic = connect().traffic
    with traffic.counted_apart() as share:
        traffic.count_request()
        with ThreadPoolExecutor(1) as threads:
            threads.submit(copy_context().run, traffic.count_retry).result()
            threads.submit(traffic.count_request).result()  # of another block
    traffic.count_request()
    assert (share.requests, share.retries) == (1, 1)
    assert (traffic.requests, traffic.retries) == (3, 1)


def test_progress_told_in_a_block_is_told_for_all(fake_time: Any) -> None:
    traffic = Traffic(clock=fake_time.clock)
    with traffic.counted_apart() as share:
        fake_time.sleep(11)
        assert share.is_progress_due()
        assert not traffic.is_progress_due()
