"""Errors read as sentences, say what to do next, and cross process borders whole."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from airflow_usage_provider import exceptions
from airflow_usage_provider.exceptions import (
    FatalError,
    IncompleteSnapshotError,
    ListingChangedError,
    RateLimitedError,
    TransientError,
    UsageProviderError,
)

CLASSES = [
    value for value in vars(exceptions).values() if isinstance(value, type) and issubclass(value, UsageProviderError)
]
DETAILS: dict[str, Any] = {
    "connection": "langdock_eu",
    "vendor": "langdock",
    "stream": "api_keys",
    "status": 502,
    "url": "https://api.langdock.com/export/api-keys",
    "request_id": "abc-1",
    "next_step": "Try again later.",
}


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_comes_out_of_a_pickle_as_it_went_in(kind: type[UsageProviderError]) -> None:
    details = DETAILS | ({"retry_after": 7.5} if kind is RateLimitedError else {})
    error = pickle.loads(pickle.dumps(kind("It failed", **details)))
    assert type(error) is kind
    assert error.message == "It failed"
    assert error.details == details
    assert {name: getattr(error, name) for name in details} == details
    assert str(error) == str(kind("It failed", **details))


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_pickles_without_details_too(kind: type[UsageProviderError]) -> None:
    error = pickle.loads(pickle.dumps(kind("It failed")))
    assert (type(error), error.details, str(error)) == (kind, {}, "It failed.")


@pytest.mark.parametrize("kind", [kind for kind in CLASSES if kind is not UsageProviderError])
def test_every_error_says_whether_a_retry_can_help(kind: type[UsageProviderError]) -> None:
    assert issubclass(kind, FatalError) != issubclass(kind, TransientError)


def test_a_listing_that_moved_is_an_incomplete_snapshot() -> None:
    assert issubclass(ListingChangedError, IncompleteSnapshotError)


def test_a_message_names_its_facts_and_then_the_next_step() -> None:
    assert str(UsageProviderError("The vendor could not answer.", **DETAILS)) == (
        "The vendor could not answer (connection langdock_eu, vendor langdock, stream api_keys, status 502, "
        "url https://api.langdock.com/export/api-keys, request id abc-1). Try again later."
    )


def test_a_message_without_facts_ends_with_one_full_stop() -> None:
    assert str(UsageProviderError("It failed", next_step="Wait.")) == "It failed. Wait."
    assert str(UsageProviderError("It failed.")) == "It failed."


def test_a_rate_limit_tells_how_long_even_if_it_is_no_time_at_all() -> None:
    assert RateLimitedError("Slow down", retry_after=0.0).details == {"retry_after": 0.0}
    assert str(RateLimitedError("Slow down", retry_after=30.0, status=429)) == (
        "Slow down (status 429, retry after 30 s)."
    )
