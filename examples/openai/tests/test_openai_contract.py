"""OpenAI's streams keep what every stream keeps, and a listing that is wrong is refused."""

import pytest
from airflow_usage_openai.streams import open_stream

from airflow_usage_provider.exceptions import UsageProviderError
from airflow_usage_provider.http import HttpClient
from airflow_usage_provider.testing import FaultServer, StreamContract, connect

COST = {"object": "organization.costs.result", "amount": {"value": 0.06, "currency": "usd"}, "line_item": "gpt-5"}


class TestCosts(StreamContract):
    stream = "costs"
    records = [{**COST, "project_id": f"proj_{n}", "api_key_id": None} for n in range(12)]

    def bucket(self, request, records, days=0):
        start = int(request.get("start_time")) + days * 86_400
        return {"object": "bucket", "start_time": start, "end_time": start + 86_400, "results": records}

    def answer(self, request, records):
        return {"object": "page", "data": [self.bucket(request, records)], "has_more": False, "next_page": None}

    def open_stream(self, connection, window):
        return open_stream(HttpClient("openai", connection), self.stream, window)

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


class TestCompletions(TestCosts):
    stream = "completions"
    records = [{"input_tokens": n, "num_model_requests": 1, "model": f"m{n}", "batch": False} for n in range(12)]
