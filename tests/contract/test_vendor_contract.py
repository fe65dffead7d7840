"""Both vendors keep what every stream of every vendor keeps."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from airflow_usage_provider.models import UsageWindow
from airflow_usage_provider.testing import StreamContract
from airflow_usage_provider.vendors.keywordsai.api import KeywordsAI, UsersQuery
from airflow_usage_provider.vendors.keywordsai.schemas import users_schema
from airflow_usage_provider.vendors.keywordsai.streams import KeywordsAIUsers
from airflow_usage_provider.vendors.langdock.api import ExportQuery, Langdock
from airflow_usage_provider.vendors.langdock.query import STREAMS
from airflow_usage_provider.vendors.langdock.schemas import export_schema
from airflow_usage_provider.vendors.langdock.streams import LangdockExport

VALUES = {
    "text": lambda name, n: f'{name} {n}, "quoted" ü',
    "flag": lambda name, n: n % 2 == 0,
    "date": lambda name, n: "2026-11-20",
    "time": lambda name, n: f"2026-11-20T08:{n:02d}:00.000Z",
    "count": lambda name, n: 100 + n,
    "number": lambda name, n: n / 4,
    "money": lambda name, n: n / 100,
    "json": lambda name, n: {"gpt": n},
}


def make_records(schema: Any) -> list[dict[str, Any]]:
    return [{name: VALUES[kind](name, n) for name, kind in schema.columns.items()} for n in range(25)]


class TestKeywordsAI(StreamContract):
    @pytest.fixture(
        autouse=True,
        params=[{}, {"summary_type": "weekly"}, {"environment": "test"}, {"stream": "users_list"}],
        ids=lambda query: "-".join(query.values()) or "users",
    )
    def choose(self, request: Any) -> None:
        self.query = request.param
        self.has_days = self.query.get("stream") != "users_list"
        names = {"stream": "users", "summary_type": "daily", "environment": None}
        self.records = make_records(users_schema(**{**names, **self.query}))

    def answer(self, request: Any, records: list[Any]) -> Any:
        page, size = int(request.get("page")), int(request.get("page_size"))
        is_last = page * size >= len(records)
        totals = {"aggregation_data": {"total_users": len(records)}}
        following = None if is_last else f"{request.origin}{request.path}?page={page + 1}"
        return {"results": records[(page - 1) * size : page * size], "count": 10, "next": following, **totals}

    def open_stream(self, connection: Any, window: UsageWindow) -> Any:
        return KeywordsAIUsers(KeywordsAI(connection), UsersQuery(window=window, page_size=10, **self.query))


class TestKeywordsAIWithoutTotals(TestKeywordsAI):
    """As above, by a vendor that says nothing of how many users there are."""

    def answer(self, request: Any, records: list[Any]) -> Any:
        return {**super().answer(request, records), "aggregation_data": {}}


EXPORTS = [(stream, None) for stream in STREAMS] + [("api_keys", "model"), ("users", "model"), ("models", "source")]


class TestLangdock(StreamContract):
    window = UsageWindow(StreamContract.window.usage_date, "Europe/Berlin")

    @pytest.fixture(
        autouse=True,
        params=[*((*export, "csv") for export in EXPORTS), ("api_keys", None, "json"), ("users", "model", "json")],
        ids=lambda export: "-".join(filter(None, export)),
    )
    def choose(self, request: Any) -> None:
        self.stream, self.group_by, self.form = request.param
        self.records = make_records(export_schema(self.stream, self.group_by))

    def answer(self, request: Any, records: list[Any]) -> Any:
        if request.method == "GET":
            return write_csv(records)
        if request.path.endswith("/json"):
            return {"success": True, "data": records, "metadata": {"recordCount": len(records)}}
        url = f"{request.origin}/file.csv?signature=x"
        return {"success": True, "data": {"downloadUrl": url, "recordCount": len(records), "dataType": "assistants"}}

    def expect(self, record: dict[str, Any]) -> dict[str, Any]:
        return record if self.form == "json" else {name: write_cell(value) for name, value in record.items()}

    def open_stream(self, connection: Any, window: UsageWindow) -> Any:
        query = ExportQuery(window=window, stream=self.stream, group_by=self.group_by, output_format=self.form)
        return LangdockExport(Langdock(connection), query)


def write_csv(records: list[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(records[0] if records else ["period_start"])
    writer.writerows([write_cell(value) for value in record.values()] for record in records)
    return text.getvalue().encode()


def write_cell(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
