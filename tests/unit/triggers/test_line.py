"""Polls of one connection stand in line: few threads, and none for who has gone."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from airflow_usage_provider.triggers import line

if TYPE_CHECKING:
    import pytest


async def until(condition) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


def test_one_thread_answers_all_that_stand_in_line(monkeypatch) -> None:
    monkeypatch.setattr(line, "_MOMENT", 60)
    all_stand = threading.Event()

    async def call_all():
        one = line.Line(16)
        calls = [
            asyncio.ensure_future(one.call(lambda: all_stand.wait(10) and threading.get_ident())) for _ in range(50)
        ]
        await asyncio.sleep(0.01)
        all_stand.set()
        return await asyncio.gather(*calls)

    assert len(set(asyncio.run(call_all()))) == 1


def test_more_threads_come_while_somebody_waits_and_no_more_than_the_most(monkeypatch) -> None:
    monkeypatch.setattr(line, "_MOMENT", 0.01)
    is_over, begun = threading.Event(), []

    def hang():
        begun.append(threading.get_ident())
        is_over.wait(10)

    async def call_all():
        one = line.Line(3)
        calls = [asyncio.ensure_future(one.call(hang)) for _ in range(20)]
        await until(lambda: len(begun) == 3)
        await asyncio.sleep(0.1)
        most = one.threads, len(begun)
        is_over.set()
        await asyncio.gather(*calls)
        await until(lambda: not one.threads)
        return most

    assert asyncio.run(call_all()) == (3, 3)
    assert len(begun) == 20


def test_what_comes_after_a_pause_is_answered_too(monkeypatch) -> None:
    monkeypatch.setattr(line, "_MOMENT", 0.01)

    async def call_twice():
        one = line.Line(1)
        first = await one.call(lambda: "first")
        await asyncio.sleep(0.05)
        return first, await one.call(lambda: "second")

    assert asyncio.run(call_twice()) == ("first", "second")


def test_who_has_gone_is_not_served() -> None:
    is_over, served = threading.Event(), []

    async def leave():
        one = line.Line(1)
        first = asyncio.ensure_future(one.call(lambda: is_over.wait(10)))
        gone = asyncio.ensure_future(one.call(lambda: served.append("gone")))
        last = asyncio.ensure_future(one.call(lambda: served.append("last")))
        await asyncio.sleep(0.01)
        gone.cancel()
        with suppress(asyncio.CancelledError):
            await gone
        is_over.set()
        await asyncio.gather(first, last)

    asyncio.run(leave())
    assert served == ["last"]


def test_an_error_is_the_callers_and_ends_no_line() -> None:
    async def fail():
        one = line.Line(1)
        return await asyncio.gather(one.call([].pop), one.call(lambda: "answer"), return_exceptions=True)

    error, answer = asyncio.run(fail())
    assert isinstance(error, IndexError)
    assert answer == "answer"


def test_a_loop_that_ends_before_its_threads_leaves_no_error(caplog: pytest.LogCaptureFixture) -> None:
    is_over, threads = threading.Event(), []

    async def end_early():
        one = line.Line(1)
        asyncio.ensure_future(one.call(lambda: is_over.wait(10)))  # noqa: RUF006 - asyncio.run cancels it
        await asyncio.sleep(0.01)
        threads.extend(one._serving)

    asyncio.run(end_early())
    is_over.set()
    assert [thread.result(10) for thread in threads] == [None]
    assert not caplog.records
