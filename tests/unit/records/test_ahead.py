"""Pages come in order; asking ahead is a guess that costs nobody anything."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from airflow_usage_provider.exceptions import AuthenticationError, VendorUnavailableError
from airflow_usage_provider.http.traffic import Traffic
from airflow_usage_provider.records.ahead import PagesAhead
from airflow_usage_provider.records.pages import Page


class Vendor:
    """Answers pages up to the last, and remembers who asked how."""

    def __init__(self, last: int = 100, failures: dict[int, Exception] | None = None) -> None:
        self.asked: list[tuple[int, int | None]] = []
        self._last = last
        self._failures = failures or {}
        self._lock = threading.Lock()
        self.traffic = Traffic()

    def fetch(self, number: int, *, attempts: int | None = None) -> Page | None:
        with self._lock:
            self.asked.append((number, attempts))
            if number in self._failures:
                raise self._failures.pop(number)
        return page(number) if number <= self._last else None


def page(*names: object) -> Page:
    return Page([b'{"customer_identifier":"%s"}' % str(name).encode() for name in names])


def take_all(vendor: Vendor, *, limit: int = 4, has_room: bool = True) -> Iterator[Page]:
    with PagesAhead(
        vendor.fetch, limit=limit, has_room=lambda: has_room, count_retry=vendor.traffic.count_retry
    ) as ahead:
        number = 2
        while (taken := ahead.take(number)) is not None:
            yield taken
            number += 1


@pytest.mark.parametrize("limit", [1, 2, 4, 32])
def test_every_page_comes_once_and_in_order(limit: int) -> None:
    assert list(take_all(Vendor(last=50), limit=limit)) == [page(number) for number in range(2, 51)]


def test_asking_ahead_stays_within_the_limit_and_is_tried_once() -> None:
    vendor = Vendor()
    pages = take_all(vendor, limit=4)
    for _ in range(3):
        next(pages)
    pages.close()
    assert max(number for number, _ in vendor.asked) <= 7
    assert {attempts for _, attempts in vendor.asked} == {1}


def test_nothing_is_asked_ahead_where_the_rate_has_no_room() -> None:
    vendor = Vendor(last=4)
    assert len(list(take_all(vendor, has_room=False))) == 3
    assert vendor.asked == [(2, None), (3, None), (4, None), (5, None)]


def test_one_page_at_a_time_asks_nothing_ahead() -> None:
    vendor = Vendor(last=3)
    assert len(list(take_all(vendor, limit=1))) == 2
    assert vendor.asked == [(2, None), (3, None), (4, None)]


def test_what_failed_ahead_is_asked_for_again_in_full_when_it_is_its_turn(caplog: pytest.LogCaptureFixture) -> None:
    vendor = Vendor(last=5, failures={3: VendorUnavailableError("later")})
    assert list(take_all(vendor)) == [page(number) for number in range(2, 6)]
    assert (3, None) in vendor.asked
    assert vendor.traffic.retries == 1
    assert caplog.messages == ["Failed ahead of its turn, in which it is asked for again: later."]


def test_what_no_retry_can_help_is_raised_when_it_is_its_turn() -> None:
    pages = take_all(Vendor(failures={3: AuthenticationError("no")}))
    assert next(pages) == page(2)
    with pytest.raises(AuthenticationError):
        next(pages)
