"""A wait is read in whatever form a vendor says it; what means nothing is no wait."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from airflow_usage_provider.http.waits import read_reset, read_seconds, read_wait


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        *[("1s", 1), ("6m0s", 360), ("120ms", 0.12), ("1h2m3.5s", 3723.5), ("1d", 86400), ("0s", 0), ("7", 7), (7, 7)],
        *[("1.5", 1.5), (" 30 ", 30), ("-3", 0), ("1e400", None), ("nan", None), ("", None), (None, None)],
        *[
            ("soon", None),
            (True, None),
            ([4], None),
            ({}, None),
            ("1m2", None),
            ("m", None),
            ("1_0", None),
            ("\u0663\u0660", None),
            ("2015-10-21", 0),
        ],
        *[("Fri, 31 Dec 9999 23:59:59 -9999", None), ("9" * 500, None), ("1445412480", 0), (10**400, None)],
    ],
)
def test_a_wait_has_many_forms(said: object, seconds: float | None) -> None:
    assert read_seconds(said) == seconds


@pytest.fixture
def in_new_york(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine five hours behind UTC."""
    zone = os.environ.get("TZ")
    os.environ["TZ"] = "America/New_York"
    time.tzset()
    yield
    if zone is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = zone
    time.tzset()


@pytest.mark.usefixtures("in_new_york")
@pytest.mark.parametrize(
    "form",
    [
        lambda moment: moment.strftime("%a %b %d %H:%M:%S %Y"),  # asctime
        lambda moment: moment.strftime("%A, %d-%b-%y %H:%M:%S GMT"),
        lambda moment: format_datetime(moment, usegmt=True),
        lambda moment: format_datetime(moment.replace(tzinfo=None)),
        lambda moment: format_datetime(moment.astimezone()),
        lambda moment: moment.isoformat(),
        lambda moment: moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        lambda moment: moment.replace(tzinfo=None).isoformat(),
        lambda moment: str(int(moment.timestamp())),
    ],
)
def test_a_time_without_a_zone_is_utc_wherever_the_machine_is(form: object) -> None:
    moment = datetime.now(UTC) + timedelta(seconds=100)
    assert 95 < (read_seconds(form(moment)) or 0) <= 100  # type: ignore[operator]


@pytest.mark.parametrize(
    ("headers", "document", "seconds"),
    [
        ({"Retry-After": "3"}, {"retry_after": 5}, 3),
        ({"Retry-After": "soon"}, {"retry_after": 5}, 5),
        ({"x-ratelimit-reset-requests": "6m0s"}, {"retry_after": None}, None),
        ({}, {"detail": "slow down"}, None),
        ({}, [], None),
    ],
)
def test_the_wait_that_is_asked_for_stands_in_the_header_or_the_body(
    headers: dict[str, str], document: object, seconds: float | None
) -> None:
    assert read_wait(headers, document) == seconds


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"X-RateLimit-Reset-Requests": "6m0s"}, 360),
        ({"x-ratelimit-reset-requests": "1s", "x-ratelimit-reset-tokens": "120ms"}, 1),
        (
            {
                "x-ratelimit-reset-requests": "1s",
                "x-ratelimit-remaining-requests": "0",
                "X-RateLimit-Reset-Tokens": "6m0s",
                "X-RateLimit-Remaining-Tokens": "149984",
            },
            1,
        ),
        ({"anthropic-ratelimit-requests-reset": "2015-10-21T07:28:00Z"}, 0),
        ({"ratelimit-reset": "9", "ratelimit-limit": "50"}, 9),
        ({"x-rate-limit-reset": "9"}, 9),
        ({"x-ratelimit-reset-requests": "later"}, None),
        ({"x-password-reset": "5"}, None),
        ({}, None),
    ],
)
def test_a_limit_that_is_used_up_says_when_it_begins_anew(headers: dict[str, str], seconds: float | None) -> None:
    assert read_reset(headers) == seconds
