"""The contract is worth its name: a vendor that is written carelessly does not pass it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CARELESS = """
import json
import requests
from airflow_usage_provider.models import FileFormat, StreamFacts
from airflow_usage_provider.schema import StreamSchema
from airflow_usage_provider.testing import StreamContract


class Careless:
    name, file_format = "things", FileFormat.JSON_LINES
    schema = StreamSchema(identity=("kind",), columns={"id": "count", "kind": "text"})

    def __init__(self, connection, window):
        self._url = connection.base_url
        self.request = {"method": "GET", "path": "/things", "parameters": {"day": str(window.usage_date)}}
        self.question = self.request

    def read(self):
        things = requests.get(self._url + "/things", timeout=10).json()["things"]
        yield "".join(json.dumps(thing) + chr(10) for thing in things).encode()
        return StreamFacts(rows=len(things), columns=("id", "kind"))


class TestCareless(StreamContract):
    records = [{"id": number, "kind": "same"} for number in range(25)]

    def answer(self, request, records):
        page = int(request.get("page", "1"))
        return {"things": records[(page - 1) * 10 : page * 10], "more": page < 3}

    def open_stream(self, connection, window):
        return Careless(connection, window)
"""


@pytest.mark.slow
def test_what_a_careless_vendor_does_wrong_is_found(tmp_path: Path) -> None:
    (tmp_path / "test_careless.py").write_text(CARELESS)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:valkey", "--tb=line"]
    done = subprocess.run(
        [*command, f"--rootdir={tmp_path}", "-c", "/dev/null", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    failed = {line.split("::")[-1].split("[")[0].split(" ")[0] for line in done.stdout.splitlines() if "FAILED" in line}
    assert failed >= {
        "test_the_bytes_hold_every_record_in_the_vendors_order",
        "test_the_schema_fits_the_records",
        "test_every_day_is_asked_for_by_itself_and_is_the_same_question",
        "test_the_key_stands_in_headers_alone",
        "test_a_refused_key_is_an_authentication_error_at_the_first_request",
        "test_an_answer_that_is_cut_is_refused",
        "test_a_vendor_that_stays_down_is_unavailable",
    }
    assert "test_nothing_is_asked_before_the_stream_is_read" not in failed
