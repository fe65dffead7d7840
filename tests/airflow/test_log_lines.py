"""A task's log leads from the request to the object, whatever becomes of the day."""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import airflow
import pytest

from airflow_usage_provider.compat import AirflowException
from airflow_usage_provider.exceptions import UsageProviderError
from airflow_usage_provider.operators.langdock import LangdockExportToS3Operator

pytestmark = pytest.mark.skipif(airflow.__version__ < "3.1", reason="its operators log, those of later ones print")
DAY = (datetime.now(UTC) - timedelta(days=2)).date()
NAME = f"langdock/acme/api_keys of {DAY}"


LINE = re.compile(r"(\S+Z) \[\w+ *\] (.*?) *\[airflow\.task\.operators\.", re.MULTILINE)


@pytest.fixture
def told(capsys, caplog):
    """Return what was logged since the last look, in order: by operators, which print, and by the layers below."""
    caplog.set_level(logging.INFO)

    def _told() -> list[str]:
        printed = [(datetime.fromisoformat(time), text) for time, text in LINE.findall(capsys.readouterr().out)]
        below = [record for record in caplog.records if record.name.startswith("airflow_usage_provider.")]
        passed = [(datetime.fromtimestamp(record.created, UTC), record.getMessage()) for record in below]
        caplog.clear()
        texts = [re.sub(r"\d+\.\d s \(", "N s (", text) for _, text in sorted(printed + passed)]
        return [text for text in texts if not text.startswith(("AWS Connection", "LangdockExportToS3Operator.execute"))]

    return _told


@pytest.fixture
def run(archive_url, told):
    """Archive a day; return the summary or the error, and what was logged."""

    def _run(**kwargs) -> tuple[Any, list[str]]:
        operator = LangdockExportToS3Operator(
            task_id="archive", archive_url=archive_url, usage_date=DAY.isoformat(), **kwargs
        )
        told()
        try:
            (summary,) = operator.execute({})
        except UsageProviderError as error:
            return error, told()
        return summary, told()

    return _run


def test_a_new_day_is_told_from_the_request_to_the_object_and_the_manifest(run, connect_vendors, objects, archive_url):
    connect_vendors("sk-acme;rows=20")
    summary, lines = run()
    (part,) = (key for key in objects() if key.endswith(".csv.gz"))
    (downloading,) = (line for line in lines if "downloading" in line)
    raw_bytes = int(downloading.split()[-2])
    end = f"Archived {NAME}: 20 records, revision 1, {raw_bytes} bytes read in N s (requests 1, retries 0): "
    assert lines == [
        f"Asking for {NAME} (POST /export/api-keys). In the archive so far: nothing of that day",
        f"api_keys of {DAY}: the vendor exports 20 records",
        f"api_keys of {DAY}: downloading {raw_bytes} bytes",
        f"Stored {summary['bytes']} bytes: {archive_url}/{part}",
        end + summary["manifest_uri"],
    ]


def test_an_unchanged_day_names_the_object_it_keeps_and_since_when(run, connect_vendors):
    connect_vendors("sk-acme;rows=20")
    first, before = run()
    second, lines = run()
    assert lines[0].endswith(f"so far: revision 1, 20 records, {first['manifest_uri']}")
    assert lines[-2] == before[-2].replace("Stored", "Kept")
    assert f"20 records, unchanged since snapshot {first['snapshot_id']}, " in lines[-1]
    assert lines[-1].endswith(second["manifest_uri"])


def test_a_revision_tells_what_it_differs_by(run, connect_vendors):
    connect_vendors("sk-acme;rows=20")
    run()
    connect_vendors("sk-acme;rows=17")
    _, lines = run()
    assert "17 records, revision 2 (-3 records), " in lines[-1]
    assert lines[-2].startswith("Stored ")


def test_an_empty_day_is_told_as_one(run, connect_vendors):
    connect_vendors("sk-acme;empty=404")
    summary, lines = run()
    assert lines[1:] == [
        f"api_keys of {DAY}: the vendor exports 0 records",
        f"Archived {NAME}: empty, revision 1, 0 bytes read in N s (requests 1, retries 0): {summary['manifest_uri']}",
    ]


def test_a_new_try_is_told_with_its_reason(run, connect_vendors):
    connect_vendors("sk-acme;ready_after_requests=1")
    _, lines = run()
    (tried,) = (line for line in lines if line.startswith("Try "))
    assert re.match(r"Try 1 of 5 failed, the next is in \d\.\d s: The download URL does not serve, not yet", tried)
    assert "(requests 2, retries 1)" in lines[-1]


def test_a_failed_day_is_told_with_its_reason_and_what_was_tried(run, connect_vendors):
    connect_vendors("sk-acme;record_count=+1;rows=20")
    error, lines = run()
    assert lines[-1] == f"{NAME} was not archived, after N s (requests 1, retries 0): {error}"
    assert not [line for line in lines if line.startswith(("Stored", "Archived"))]


def test_no_other_day_is_said_to_be_archived_when_none_was(connect_vendors, archive_url):
    connect_vendors("sk-acme;record_count=+1")
    operator = LangdockExportToS3Operator(
        task_id="archive", archive_url=archive_url, usage_date=DAY.isoformat(), lookback_days=1
    )
    with pytest.raises(AirflowException, match=r"^2 of 2 days were not archived\. "):
        operator.execute({})


def test_what_an_earlier_try_archived_is_named(connect_vendors, archive_url, told):
    connect_vendors()

    class Task:
        dag_id, run_id, task_id, map_index, max_tries = "dag", "run", "archive", -1, 1

        def __init__(self, try_number):
            self.try_number = try_number

    arguments = {"task_id": "archive", "archive_url": archive_url, "usage_date": DAY.isoformat(), "retries": 1}
    (first,) = LangdockExportToS3Operator(**arguments).execute({"ti": Task(1)})
    told()
    LangdockExportToS3Operator(**arguments).execute({"ti": Task(2)})
    assert told() == [f"An earlier try of this run archived api_keys of {DAY}: {first['manifest_uri']}"]
