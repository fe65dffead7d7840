"""The fault server: a plain function answers, and what goes wrong is put around it."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
import requests

from airflow_usage_provider.testing import Answer, FaultServer, Request

RECORDS = [{"id": 1}, {"id": 2}, {"id": 3}]


def answer(request: Request, records: list[Any]) -> Any:
    return {"records": records, "page": request.get("page", "1")}


def ask(server: FaultServer, path: str = "/records?page=1") -> requests.Response:
    return requests.get(server.url + path, timeout=10, allow_redirects=False)


def test_without_a_fault_the_function_answers() -> None:
    with FaultServer(answer, RECORDS) as server:
        assert ask(server, "/records?page=2&page=3").json() == {"records": RECORDS, "page": "2"}
    (request,) = server.requests
    assert (request.method, request.path, request.query) == ("GET", "/records", {"page": ["2", "3"]})
    assert request.headers["host"] in server.url


def test_a_function_of_the_request_alone_may_answer_too() -> None:
    with FaultServer(lambda request: Answer({"said": request.json()}, 201, {"X-Rate": "1"})) as server:
        said = requests.post(server.url, json=[1], timeout=10)
    assert (said.status_code, said.json(), said.headers["X-Rate"]) == (201, {"said": [1]}, "1")


@pytest.mark.parametrize(
    ("fault", "status"), [("401", 401), ("403", 403), ("429", 429), ("500", 500), ("502-html", 502), ("redirect", 307)]
)
def test_statuses_are_answered_in_place_of_the_function(fault: str, status: int) -> None:
    with FaultServer(answer, RECORDS, fault=fault, times=1) as server:
        assert ask(server).status_code == status
        assert ask(server).status_code == 200


def test_bodies_are_packed_and_cut() -> None:
    with FaultServer(answer, RECORDS, fault="gzip") as server:
        raw = requests.get(server.url, timeout=10, stream=True).raw.read(decode_content=False)
        assert json.loads(gzip.decompress(raw))["records"] == RECORDS
    with FaultServer(answer, RECORDS, fault="cut") as server, pytest.raises(requests.exceptions.RequestException):
        ask(server)
    with (
        FaultServer(answer, RECORDS, fault="close") as server,
        pytest.raises(ValueError, match=r"delimiter|string|value"),
    ):
        ask(server).json()
    with FaultServer(answer, RECORDS, fault="html") as server:
        assert ask(server).content.startswith(b"<!doctype html>")


@pytest.mark.parametrize(("fault", "second_reading"), [("drift", RECORDS[1:]), ("drift_alike", RECORDS)])
def test_a_record_goes_once_the_first_request_is_answered(fault: str, second_reading: list[Any]) -> None:
    with FaultServer(answer, RECORDS, fault=fault) as server:
        pages = [ask(server, f"/records?page={page}").json()["records"] for page in (1, 2, 1, 2)]
    assert pages == [RECORDS, RECORDS[1:], second_reading, RECORDS[1:]]


def test_a_record_comes_twice() -> None:
    with FaultServer(answer, RECORDS, fault="repeat") as server:
        assert ask(server).json()["records"] == [*RECORDS, RECORDS[-1]]


def test_a_fault_that_does_not_exist_is_named() -> None:
    with pytest.raises(ValueError, match=r"no fault 'cuts'\. Give one of 400, 401"):
        FaultServer(answer, fault="cuts")
