"""No minute sees more requests than allowed, whoever asks; a pause holds for all."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_usage_provider.http.limiter import RateLimiter, shared_limiter


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


@given(per_minute=st.integers(1, 5), gaps=st.lists(st.floats(0, 100, allow_subnormal=False), min_size=1, max_size=30))
def test_any_minute_holds_no_more_starts_than_allowed(per_minute: int, gaps: list[float]) -> None:
    time = Time()
    limiter = RateLimiter(per_minute, clock=time.clock, sleep=time.sleep)
    starts = []
    for gap in gaps:
        time.now += gap
        limiter.wait()
        starts.append(time.now)
    assert all(later - start >= 60 for start, later in zip(starts, starts[per_minute:], strict=False))


def test_requests_within_the_rate_do_not_wait(fake_time: Any) -> None:
    limiter = RateLimiter(3, clock=fake_time.clock, sleep=fake_time.sleep)
    assert [limiter.wait() for _ in range(3)] == [0.0, 0.0, 0.0]
    assert limiter.wait() == 60.5
    assert fake_time.slept == [60.5]


def test_threads_that_ask_at_once_are_given_different_starts() -> None:
    slept: list[float] = []
    limiter = RateLimiter(1, clock=lambda: 0.0, sleep=slept.append)
    for _ in range(4):
        limiter.wait()
    assert slept == [60.5, 121.0, 181.5]


def test_no_limit_never_waits(fake_time: Any) -> None:
    limiter = RateLimiter(0, clock=fake_time.clock, sleep=fake_time.sleep)
    assert sum(limiter.wait() for _ in range(1000)) == 0


@pytest.mark.parametrize("per_minute", [0, 60])
def test_a_pause_holds_back_every_request_once(fake_time: Any, per_minute: int) -> None:
    limiter = RateLimiter(per_minute, clock=fake_time.clock, sleep=fake_time.sleep)
    limiter.pause(30)
    limiter.pause(5)
    assert limiter.wait() == 30
    assert limiter.wait() == 0


def test_one_connection_has_one_limiter_in_the_process() -> None:
    assert shared_limiter("v", "a", 60) is shared_limiter("v", "a", 60)
    others = [shared_limiter("v", "a", 60), shared_limiter("w", "a", 60), shared_limiter("v", "b", 60)]
    assert len({id(limiter) for limiter in [*others, shared_limiter("v", "a", 61)]}) == 4


def test_a_request_that_sleeps_for_its_turn_heeds_a_wait_that_is_asked_for_meanwhile(fake_time: Any) -> None:
    def sleep(seconds: float) -> None:
        if not fake_time.slept:
            limiter.pause(100)
        fake_time.sleep(seconds)

    limiter = RateLimiter(1, clock=fake_time.clock, sleep=sleep)
    limiter.wait()
    asked = fake_time.now
    assert limiter.wait() >= 100
    assert fake_time.now >= asked + 100
