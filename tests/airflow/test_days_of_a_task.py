"""Many days in one task: at the same time, each for itself, and clean when the task is told to stop."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta

import pytest

from airflow_usage_provider.archive.snapshot import Archive
from airflow_usage_provider.compat import AirflowException, AirflowFailException
from airflow_usage_provider.exceptions import ConfigurationError, ConnectionLookupError, UnforeseenError
from airflow_usage_provider.hooks.base import UsageHook
from airflow_usage_provider.models import FileFormat, StreamFacts
from airflow_usage_provider.operators import archiving, metrics
from airflow_usage_provider.operators.keywordsai import KeywordsAIUsersToS3Operator
from airflow_usage_provider.operators.snapshot import UsageSnapshotToS3Operator

TODAY = datetime.now(UTC).date()
DAY = TODAY - timedelta(days=2)


class AcmeHook(UsageHook):
    conn_type = "acme"
    base_url = "https://api.acme.example"


class Stream:
    name, file_format, request = "invoices", FileFormat.CSV, {"method": "GET", "path": "/invoices"}

    def __init__(self, window, read):
        self.window, self.read = window, lambda: read(window)


class AcmeOperator(UsageSnapshotToS3Operator):
    """What each day does is told by a function of its window."""

    vendor = "acme"
    hook_class = AcmeHook

    def __init__(self, *, read, **kwargs):
        super().__init__(**{"task_id": "archive", "usage_date": DAY.isoformat(), **kwargs})
        self.read = read

    def open_stream(self, hook, window):
        return Stream(window, self.read)


def whole(window):
    yield f"day\n{window.usage_date}\n".encode()
    return StreamFacts(rows=1)


def days_of(objects):
    return {key.split("usage_date=")[1][:10] for key in objects() if key.endswith("_manifest.json")}


@pytest.fixture(autouse=True)
def acme(connect_vendors, set_connection):
    connect_vendors()
    set_connection("acme_default", conn_type="acme", password="k")


def test_days_are_asked_for_at_the_same_time_and_told_newest_first(archive_url):
    meeting = threading.Barrier(4, timeout=60)

    def read(window):
        meeting.wait()  # passes only if four days are here at once
        return (yield from whole(window))

    summaries = AcmeOperator(read=read, archive_url=archive_url, lookback_days=7).execute({})
    assert [summary["usage_date"] for summary in summaries] == [str(DAY - timedelta(days=back)) for back in range(8)]


def test_one_day_at_a_time_runs_in_the_task_itself(archive_url):
    threads = set()

    def read(window):
        threads.add(threading.current_thread())
        return (yield from whole(window))

    AcmeOperator(read=read, archive_url=archive_url, lookback_days=3, days_in_flight=1).execute({})
    assert threads == {threading.current_thread()}


def test_a_day_is_committed_when_it_is_whole_though_others_still_run(archive_url, objects):
    committed = threading.Event()

    def read(window):
        if window.usage_date == DAY:
            committed.wait(60)
            assert days_of(objects) == {str(DAY - timedelta(days=1))}
        yield b"day\n1\n"
        return StreamFacts(rows=1)

    class Operator(AcmeOperator):
        def _archive_day(self, archiving, hook, day):
            outcome = super()._archive_day(archiving, hook, day)
            committed.set()
            return outcome

    Operator(read=read, archive_url=archive_url, lookback_days=1).execute({})
    assert len(days_of(objects)) == 2


@pytest.mark.parametrize("days_in_flight", [0, 33, "many", 1.5])
def test_days_in_flight_that_cannot_be_are_refused(archive_url, days_in_flight):
    operator = AcmeOperator(read=whole, archive_url=archive_url, days_in_flight=days_in_flight)
    with pytest.raises(AirflowFailException, match=r"days_in_flight is .*Give a whole number from 1 to 32"):
        operator.execute({})


@pytest.mark.parametrize("days_in_flight", [1, 4])
def test_an_error_that_nobody_foresaw_is_that_days_and_not_a_word_of_it_is_told(
    archive_url, objects, canary, capsys, days_in_flight
):
    def read(window):
        if window.usage_date == DAY:
            raise KeyError(f"https://signed.example/?sig={canary}")
        return (yield from whole(window))

    operator = AcmeOperator(read=read, archive_url=archive_url, lookback_days=2, days_in_flight=days_in_flight)
    with pytest.raises(AirflowException, match=rf"1 of 3 days.*{DAY}: KeyError at line \d+ of .*read in") as caught:
        operator.execute({})
    assert not isinstance(caught.value, AirflowFailException)
    assert caught.value.__context__ is None  # which would show the text, and Airflow prints it
    assert days_of(objects) == {str(DAY - timedelta(days=back)) for back in (1, 2)}
    assert canary not in str(caught.value) + "".join(capsys.readouterr())


def test_an_error_that_nobody_foresaw_of_the_only_day_is_retried(archive_url):
    def read(window):
        raise RuntimeError("?")
        yield

    with pytest.raises(UnforeseenError, match="RuntimeError at line") as caught:
        AcmeOperator(read=read, archive_url=archive_url).execute({})
    assert caught.value.__context__ is None


def test_days_that_fail_for_good_among_days_that_may_pass_are_retried(archive_url):
    def read(window):
        raise ConfigurationError("wrong") if window.usage_date == DAY else KeyError("?")
        yield

    with pytest.raises(AirflowException, match="2 of 2 days") as caught:
        AcmeOperator(read=read, archive_url=archive_url, lookback_days=1).execute({})
    assert not isinstance(caught.value, AirflowFailException)


@pytest.mark.parametrize("raises", [KeyboardInterrupt, SystemExit])
def test_a_task_that_is_told_to_stop_leaves_no_upload_and_no_later_snapshot(
    archive_url, objects, s3_server, raises, monkeypatch
):
    """One day tells it, as a signal would; two are in the middle, one of them hangs in a read; four have not begun."""
    monkeypatch.setattr(archiving, "_GRACE", 0.5)
    uploading, told, released = threading.Barrier(3, timeout=60), threading.Event(), threading.Event()

    def read(window):
        back = (DAY - window.usage_date).days
        for _ in range(3):
            yield bytes(8 * 1024 * 1024)  # a part each, so that an upload is open
        uploading.wait()
        if back == 0:
            raise raises
        if back == 1:
            released.wait(60)  # a peer that sends nothing
        told.wait(60)
        yield b"more"
        return StreamFacts(rows=1)

    operator = AcmeOperator(
        read=read, archive_url=archive_url, lookback_days=6, days_in_flight=3, compression="none", s3_extra_args={}
    )
    stop = archiving.Archiving.stop
    monkeypatch.setattr(archiving.Archiving, "stop", lambda self: (told.set(), stop(self)))
    with pytest.raises(raises):
        operator.execute({})
    assert not s3_server.client().list_multipart_uploads(Bucket=s3_server.bucket).get("Uploads")
    released.set()
    for thread in threading.enumerate():
        if thread.daemon and thread.name.startswith("day"):
            thread.join(30)
    assert objects() == {}
    assert not s3_server.client().list_multipart_uploads(Bucket=s3_server.bucket).get("Uploads")


class Forgetful(AcmeOperator):
    @classmethod
    def oldest_day(cls, today):
        return today - timedelta(days=3)


def test_days_that_the_vendor_no_longer_has_are_skipped_and_told(archive_url, objects, capsys):
    summaries = Forgetful(read=whole, archive_url=archive_url, lookback_days=7).execute({})
    assert [summary["usage_date"] for summary in summaries] == [str(DAY), str(DAY - timedelta(days=1))]
    assert "6 days of the look-back are skipped: the vendor has nothing older than" in "".join(capsys.readouterr())
    assert len(days_of(objects)) == 2


def test_a_day_that_the_vendor_no_longer_has_is_refused(archive_url, objects):
    operator = Forgetful(read=whole, archive_url=archive_url, usage_date=str(TODAY - timedelta(days=4)))
    with pytest.raises(AirflowFailException, match="older than what the vendor still has"):
        operator.execute({})
    assert objects() == {}


@pytest.mark.parametrize(("day", "sentence"), [("2006-11-20", "before 2015-01-01"), ("2062-11-20", "in the future")])
def test_a_day_that_cannot_be_is_refused(archive_url, objects, day, sentence):
    with pytest.raises(AirflowFailException, match=sentence):
        AcmeOperator(read=whole, archive_url=archive_url, usage_date=day).execute({})
    assert objects() == {}


def test_a_zone_whose_days_the_vendor_does_not_know_is_refused(archive_url, objects):
    class OfUtcOnly(AcmeOperator):
        timezones = frozenset({"UTC"})

    OfUtcOnly(read=whole, archive_url=archive_url).execute({})
    operator = OfUtcOnly(read=whole, archive_url=archive_url, timezone="Europe/Berlin")
    with pytest.raises(AirflowFailException, match=r"acme: it knows no days.*'Europe/Berlin'.*Set timezone to UTC"):
        operator.execute({})


def test_a_secrets_backend_that_fails_once_costs_a_try_and_not_the_day(archive_url, set_connection, monkeypatch):
    monkeypatch.delenv("AIRFLOW_CONN_ACME_DEFAULT")
    operator = AcmeOperator(read=whole, archive_url=archive_url)
    with pytest.raises(ConnectionLookupError, match="does not exist, or its secrets backend did not answer"):
        operator.execute({})  # not an AirflowFailException: Airflow tries again
    set_connection("acme_default", conn_type="acme", password="k")
    assert len(operator.execute({})) == 1


def test_an_extra_that_cannot_be_right_is_not_retried(archive_url, set_connection):
    set_connection("acme_default", conn_type="acme", password="k", extra={"account": ["acme"]})
    with pytest.raises(AirflowFailException, match=r"account \['acme'\] in its extra"):
        AcmeOperator(read=whole, archive_url=archive_url).execute({})


def test_the_connection_id_of_a_vendor_of_ones_own_is_a_templated_parameter(archive_url, set_connection, objects):
    set_connection("acme_two", conn_type="acme", password="k", extra={"account": "two"})
    operator = AcmeOperator(read=whole, archive_url=archive_url, acme_conn_id="acme_two")
    assert "acme_conn_id" in operator.template_fields
    operator.execute({})
    assert any("/account=two/" in key for key in objects())


class Task:
    dag_id, run_id, task_id, map_index, try_number, max_tries = "dag", "run", "archive", -1, 1, 0

    def __init__(self):
        self.pushed = {}

    def xcom_push(self, key, value):
        self.pushed[key] = value


def test_without_events_of_its_own_a_task_leaves_what_it_archived_to_another_even_if_it_fails(archive_url):
    def read(window):
        if window.usage_date == DAY:
            raise KeyError("?")
        return (yield from whole(window))

    task = Task()
    operator = AcmeOperator(read=read, archive_url=archive_url, lookback_days=1, emit_events=False)
    assert operator.outlets == []
    with pytest.raises(AirflowException):
        operator.execute({"ti": task})
    event = json.loads(json.dumps(task.pushed["asset_event"]))
    assert event["name"] == "acme/acme_default/invoices"
    assert event["extra"]["usage_date"] == str(DAY - timedelta(days=1))
    assert len(json.loads(event["extra"]["snapshots"])) == 1


def test_days_at_the_same_time_each_count_their_own_requests(archive_url, connect_vendors, sandbox, monkeypatch):
    connect_vendors("sk-acme;users=40")
    meters = []
    monkeypatch.setattr(metrics.DayMeter, "report", lambda meter, *_: meters.append(meter))
    operator = KeywordsAIUsersToS3Operator(
        task_id="archive", archive_url=archive_url, usage_date=str(DAY), lookback_days=3, page_size=10
    )
    sandbox.clear()
    operator.execute({})
    assert [meter.requests for meter in meters] == [len(sandbox.requests) / 4] * 4


def test_a_look_at_all_days_at_once_that_fails_costs_no_day(archive_url, monkeypatch, canary, capsys):
    def fail(*_):
        raise ValueError(canary)

    monkeypatch.setattr(Archive, "survey", fail)
    assert len(AcmeOperator(read=whole, archive_url=archive_url, lookback_days=1).execute({})) == 2
    told = "".join(capsys.readouterr())
    assert "ValueError at line" in told
    assert canary not in told
