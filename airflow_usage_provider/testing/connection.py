"""A connection to a server under test, without Airflow, on a clock that costs no time."""

from __future__ import annotations

from typing import Any

from airflow_usage_provider.http.clock import Clock
from airflow_usage_provider.http.connection import VendorConnection


class FakeTime:
    """A clock that only moves when somebody sleeps; ``slept`` holds for how long."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def clock(self) -> float:
        """Return the seconds so far."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass at once."""
        self.slept.append(seconds)
        self.now += seconds


def connect(url: str, api_key: str = "sk-test", **settings: Any) -> VendorConnection:
    """
    Return the connection that a hook would make of Airflow's.

    :param url: base URL, such as that of a :class:`~airflow_usage_provider.testing.FaultServer`.
    :param settings: further fields of the connection, such as ``timeout`` or ``clock``.
    """
    time = FakeTime()
    defaults = {
        "conn_id": "under_test",
        "account": "acme",
        "allow_insecure_download": True,
        "allow_private_download": True,
        "clock": Clock(time.clock, time.sleep),
    }
    return VendorConnection(base_url=url, api_key=api_key, **{**defaults, **settings})
