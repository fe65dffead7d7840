"""Anthropic's streams keep what every stream keeps, and a listing that is wrong is refused."""

from datetime import datetime, timedelta

import pytest
from airflow_usage_anthropic.streams import open_stream

from airflow_usage_provider.exceptions import UsageProviderError
from airflow_usage_provider.http import HeaderAuth, HttpClient
from airflow_usage_provider.testing import FaultServer, StreamContract, connect

COST = {"amount": "123.45", "currency": "USD", "cost_type": "tokens", "model": "claude", "description": "tokens"}


class TestCosts(StreamContract):
    stream = "costs"
    records = [{**COST, "workspace_id": f"wrkspc_{n}"} for n in range(12)]

    def bucket(self, request, records, days=0):
        start = datetime.fromisoformat(request.get("starting_at")) + timedelta(days=days)
        end = start + timedelta(days=1)
        return {"starting_at": start.isoformat(), "ending_at": end.isoformat(), "results": records}

    def answer(self, request, records):
        return {"data": [self.bucket(request, records)], "has_more": False, "next_page": None}

    def open_stream(self, connection, window):
        return open_stream(HttpClient("anthropic", connection, auth=HeaderAuth("x-api-key")), self.stream, window)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"data": []},
            {"has_more": True},
            {"has_more": True, "next_page": "again"},
            {"data": lambda self, request: [self.bucket(request, self.records, days=1)]},
            {"data": lambda self, request: [self.bucket(request, self.records)] * 2},
        ],
    )
    def test_a_listing_that_is_wrong_is_refused(self, wrong):
        def answer(request, records):
            told = {name: value(self, request) if callable(value) else value for name, value in wrong.items()}
            return {**self.answer(request, records), **told}

        with FaultServer(answer, self.records) as server, pytest.raises(UsageProviderError):
            list(self.open_stream(connect(server.url), self.window).read())


class TestMessages(TestCosts):
    stream = "messages"
    records = [
        {"uncached_input_tokens": n, "cache_creation": {"ephemeral_1h_input_tokens": 5}, "model": f"m{n}"}
        for n in range(12)
    ]
