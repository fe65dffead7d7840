from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta

import pytest

from airflow_usage_provider.compat import AirflowException, AirflowFailException
from airflow_usage_provider.exceptions import (
    ArchiveAccessError,
    ConfigurationError,
    IncompleteSnapshotError,
    TransientError,
)
from airflow_usage_provider.models import FileFormat, StreamFacts
from airflow_usage_provider.operators.keywordsai import KeywordsAIUsersToS3Operator
from airflow_usage_provider.operators.langdock import LangdockExportToS3Operator
from airflow_usage_provider.operators.snapshot import UsageSnapshotToS3Operator

DAY = (datetime.now(UTC) - timedelta(days=2)).date()
XCOM_FIELDS = {
    "vendor", "account", "stream", "usage_date", "snapshot_id", "manifest_uri", "rows", "bytes", "empty", "unchanged",
    "revision",
}  # fmt: skip


def users(archive_url, **kwargs):
    return KeywordsAIUsersToS3Operator(
        task_id="archive", archive_url=archive_url, **{"usage_date": DAY.isoformat(), **kwargs}
    )


def export(archive_url, **kwargs):
    return LangdockExportToS3Operator(
        task_id="archive", archive_url=archive_url, **{"usage_date": DAY.isoformat(), **kwargs}
    )


def test_users_are_archived_as_json_lines_with_a_manifest(connect_vendors, archive_url, objects):
    connect_vendors()
    (summary,) = users(archive_url).execute({})
    assert set(summary) == XCOM_FIELDS
    bodies = objects()
    folder = f"raw/vendor=keywordsai/account=acme/stream=users/usage_date={DAY}/snapshot={summary['snapshot_id']}"
    assert set(bodies) == {f"{folder}/part-00000.jsonl.gz", f"{folder}/_manifest.json"}
    lines = gzip.decompress(bodies[f"{folder}/part-00000.jsonl.gz"]).splitlines()
    assert len([json.loads(line)["customer_identifier"] for line in lines]) == summary["rows"] > 30
    assert summary["manifest_uri"] == f"{archive_url}/{folder}/_manifest.json"
    assert summary["bytes"] == len(bodies[f"{folder}/part-00000.jsonl.gz"])


def test_an_export_is_archived_as_the_bytes_the_vendor_sent(connect_vendors, archive_url, objects, sandbox):
    connect_vendors("sk-acme;multiline=1;bom=1;crlf=1")
    (summary,) = export(archive_url, group_by="model", compression="none").execute({})
    part = next(body for key, body in objects().items() if key.endswith(".csv"))
    assert part.startswith(b"\xef\xbb\xbfperiod_start,")
    assert part.endswith(b"\r\n")
    assert summary["stream"] == "api_keys_by_model"
    assert summary["rows"] > 0


def test_lookback_archives_the_days_before_too_newest_first(connect_vendors, archive_url):
    connect_vendors()
    summaries = export(archive_url, lookback_days=2).execute({})
    assert [summary["usage_date"] for summary in summaries] == [(DAY - timedelta(days=n)).isoformat() for n in range(3)]


def test_one_failing_day_does_not_stop_the_others_and_is_named(connect_vendors, archive_url, objects):
    connect_vendors()

    class Broken(LangdockExportToS3Operator):
        def open_stream(self, hook, window):
            stream = super().open_stream(hook, window)
            return stream if window.usage_date != DAY - timedelta(days=1) else Cut(stream)

    class Cut:
        def __init__(self, stream):
            self.name, self.file_format, self.request = stream.name, stream.file_format, stream.request

        def read(self):
            yield b"half of it"
            raise IncompleteSnapshotError("It was cut")

    operator = Broken(task_id="archive", archive_url=archive_url, usage_date=DAY.isoformat(), lookback_days=2)
    with pytest.raises(AirflowException, match=f"1 of 3 days.*{DAY - timedelta(days=1)}: It was cut") as caught:
        operator.execute({})
    assert not isinstance(caught.value, AirflowFailException)
    days = {key.split("usage_date=")[1][:10] for key in objects()}
    assert days == {DAY.isoformat(), (DAY - timedelta(days=2)).isoformat()}


def test_a_second_run_adds_a_manifest_and_no_data(connect_vendors, archive_url, objects):
    connect_vendors()
    export(archive_url).execute({})
    (second,) = export(archive_url).execute({})
    assert second["unchanged"]
    assert second["revision"] == 1
    assert sum(key.endswith(".csv.gz") for key in objects()) == 1
    assert sum(key.endswith("_manifest.json") for key in objects()) == 2


def test_a_day_without_data_is_recorded(connect_vendors, archive_url, objects):
    connect_vendors("sk-acme;empty=404")
    (summary,) = export(archive_url).execute({})
    assert (summary["empty"], summary["rows"], summary["bytes"]) == (True, 0, 0)
    (manifest,) = (json.loads(body) for body in objects().values())
    assert manifest["files"] == []


def test_a_listing_that_moves_is_read_again_until_it_rests(connect_vendors, archive_url, objects):
    connect_vendors("sk-acme;users=120;drift=delete;drift_times=1")
    (summary,) = users(archive_url, page_size=50).execute({})
    (body,) = (gzip.decompress(body) for key, body in objects().items() if key.endswith(".gz"))
    assert summary["rows"] == len(set(body.splitlines())) == 119


def test_a_listing_that_never_rests_leaves_nothing(connect_vendors, archive_url, objects, s3_server):
    connect_vendors("sk-acme;users=120;drift=delete")
    with pytest.raises(IncompleteSnapshotError, match="were created or deleted while the pages were read"):
        users(archive_url, page_size=50).execute({})
    assert objects() == {}
    assert not s3_server.client().list_multipart_uploads(Bucket=s3_server.bucket).get("Uploads")


def test_maturity_turns_final_behind_the_lookback(connect_vendors, archive_url, objects):
    connect_vendors()
    export(archive_url, lookback_days=2).execute({})
    maturity = {
        manifest["usage_date"]: manifest["maturity"]
        for key, body in objects().items()
        if key.endswith(".json") and (manifest := json.loads(body))
    }
    assert [maturity[day] for day in sorted(maturity)] == ["final", "final", "provisional"]


def test_the_manifest_names_the_task_that_wrote_it(connect_vendors, archive_url, objects):
    connect_vendors()

    class Task:
        dag_id, run_id, task_id, map_index, try_number, max_tries = "dag", "run", "archive", 3, 2, 2

    export(archive_url).execute({"ti": Task()})
    manifest = next(json.loads(body) for key, body in objects().items() if key.endswith(".json"))
    assert manifest["airflow"] == {
        "dag_id": "dag", "run_id": "run", "task_id": "archive", "map_index": 3, "try_number": 2,
        "conn_id": "langdock_default",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kwargs", "sentence"),
    [
        ({"usage_date": "20.11.2026"}, r"usage_date '20.11.2026' is not a date.*YYYY-MM-DD"),
        ({"usage_date": "2999-01-01"}, r"2999-01-01 is in the future"),
        ({"timezone": "Europe/Atlantis"}, r"Unknown time zone 'Europe/Atlantis'"),
        ({"lookback_days": -1}, r"lookback_days is -1"),
        ({"lookback_days": "many"}, r"lookback_days is 'many'"),
        ({"stream": "invoices"}, r"unknown stream 'invoices'.*api_keys, users"),
        ({"stream": "projects", "group_by": "model"}, r"stream 'projects' has no group_by 'model'"),
        ({"output_format": "xml"}, r"unknown output_format 'xml'"),
        ({"archive_url": "https://bucket/prefix"}, r"archive_url 'https://bucket/prefix' is not an S3 location.*s3://"),
        ({"s3_extra_args": {"Colour": "blue"}}, r"s3_extra_args has Colour"),
    ],
)
def test_bad_input_fails_at_once_with_a_sentence_that_says_what_to_do(
    connect_vendors, archive_url, objects, kwargs, sentence
):
    connect_vendors()
    with pytest.raises(AirflowFailException, match=sentence):
        LangdockExportToS3Operator(
            task_id="archive", **{"archive_url": archive_url, "usage_date": DAY.isoformat(), **kwargs}
        ).execute({})
    assert objects() == {}


def test_an_unknown_compression_is_refused_when_the_dag_is_parsed(archive_url):
    with pytest.raises(ConfigurationError, match="Unknown compression 'zip'"):
        export(archive_url, compression="zip")


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ("nonsense", "API key was refused.*connection langdock_default, vendor langdock, stream api_keys, status 401"),
        ("sk-a;error=403", "lacks a scope"),
        ("sk-a;error=400-too-large", "1,000,000 rows"),
        ("sk-a;error=404-other", "no such export"),
        ("sk-a;redirect=other", "redirects to"),
    ],
)
def test_what_a_retry_cannot_mend_is_not_retried(connect_vendors, archive_url, objects, sandbox, key, sentence):
    connect_vendors(key)
    sandbox.clear()
    with pytest.raises(AirflowFailException, match=sentence):
        export(archive_url).execute({})
    assert len(sandbox.requests) == 1
    assert objects() == {}


@pytest.mark.parametrize("key", ["sk-a;body=html", "sk-a;error=404-text"])
def test_what_stands_in_the_vendors_place_is_left_to_airflows_retries(connect_vendors, archive_url, objects, key):
    connect_vendors(key)
    with pytest.raises(TransientError):
        export(archive_url).execute({})
    assert objects() == {}


@pytest.mark.parametrize("key", ["sk-a;download=cut", "sk-a;record_count=+1", "sk-a;download=html", "sk-a;ragged=1"])
def test_an_export_that_is_not_whole_leaves_nothing_and_is_retried(connect_vendors, archive_url, objects, key):
    connect_vendors(key)
    with pytest.raises(TransientError):
        export(archive_url).execute({})
    assert objects() == {}


def test_a_missing_bucket_fails_before_the_vendor_is_asked(connect_vendors, sandbox):
    connect_vendors()
    sandbox.clear()
    with pytest.raises(AirflowFailException, match=r"Bucket 'no-such-bucket' does not exist.*Create the bucket"):
        export("s3://no-such-bucket/llm").execute({})
    assert sandbox.requests == []


def test_a_day_that_fails_fatally_among_others_fails_at_once(connect_vendors, archive_url):
    connect_vendors("nonsense")
    with pytest.raises(AirflowFailException, match="2 of 2 days were not archived"):
        export(archive_url, lookback_days=1).execute({})


def test_a_vendor_of_ones_own_needs_a_hook_and_a_stream(connect_vendors, archive_url, objects):
    connect_vendors()

    class Stream:
        name, file_format = "invoices", FileFormat.CSV
        request = {"method": "GET", "path": "/invoices"}  # noqa: RUF012

        def read(self):
            yield b"id,total\n"
            yield b"1,9.99\n"
            return StreamFacts(rows=1, columns=("id", "total"))

    class InvoicesToS3Operator(UsageSnapshotToS3Operator):
        vendor = "acmebilling"

        def get_hook(self):
            class Hook:
                account = "main"

                def close(self): ...

            return Hook()

        def open_stream(self, hook, window):
            return Stream()

    (summary,) = InvoicesToS3Operator(task_id="a", archive_url=archive_url, usage_date=DAY.isoformat()).execute({})
    assert summary["rows"] == 1
    assert any(key.startswith("raw/vendor=acmebilling/account=main/stream=invoices/") for key in objects())


def test_being_told_to_stop_aborts_the_open_upload(connect_vendors, archive_url, objects, s3_server):
    connect_vendors()

    class Endless:
        name, file_format = "endless", FileFormat.CSV
        request = {"method": "GET", "path": "/"}  # noqa: RUF012

        def read(self):
            for _ in range(5):
                yield bytes(8 * 1024 * 1024)
            operator.on_kill()

    class EndlessOperator(LangdockExportToS3Operator):
        def open_stream(self, hook, window):
            return Endless()

    operator = EndlessOperator(task_id="a", archive_url=archive_url, usage_date=DAY.isoformat(), compression="none")
    with pytest.raises(SystemExit):
        operator.execute({})
    assert objects() == {}
    assert not s3_server.client().list_multipart_uploads(Bucket=s3_server.bucket).get("Uploads")
    operator.on_kill()  # once it has ended, there is nothing to stop


def test_a_refused_archive_names_the_right_that_is_missing(set_connection, connect_vendors, archive_url, s3_server):
    connect_vendors()
    extra = {"endpoint_url": s3_server.endpoint_url, "config_kwargs": {"s3": {"addressing_style": "path"}}}
    set_connection("aws_default", conn_type="aws", login="demo", password="wrong", extra=extra)
    with pytest.raises(AirflowFailException, match=r"S3 refused ListObjectsV2.*s3:ListBucket") as caught:
        export(archive_url).execute({})
    assert not isinstance(caught.value, ArchiveAccessError)


class Task:
    """What an operator looks at of a task instance."""

    dag_id, run_id, task_id, map_index = "dag", "run", "archive", -1

    def __init__(self, try_number, max_tries):
        self.try_number, self.max_tries = try_number, max_tries


def test_a_retry_repeats_only_the_days_that_are_missing(connect_vendors, archive_url, objects, sandbox):
    connect_vendors()
    operator = export(archive_url, lookback_days=1, retries=2)
    export(archive_url, retries=2).execute({"ti": Task(1, 2)})
    sandbox.clear()
    summaries = operator.execute({"ti": Task(2, 2)})
    assert [summary["usage_date"] for summary in summaries] == [DAY.isoformat(), (DAY - timedelta(days=1)).isoformat()]
    assert sum(request.path == "/export/api-keys" for request in sandbox.requests) == 1
    assert len([key for key in objects() if key.endswith(".json")]) == 2


@pytest.mark.parametrize(
    ("run_id", "try_number", "max_tries"),
    [("run", 2, 3), ("another run", 2, 2), ("run", 1, 2)],
    ids=["cleared", "another run", "deleted and made again"],
)
def test_a_cleared_task_and_another_run_ask_the_vendor_again(
    connect_vendors, archive_url, sandbox, run_id, try_number, max_tries
):
    connect_vendors()
    export(archive_url, retries=2).execute({"ti": Task(1, 2)})
    sandbox.clear()
    task = Task(try_number, max_tries)
    task.run_id = run_id
    (summary,) = export(archive_url, retries=2).execute({"ti": task})
    assert summary["unchanged"]
    assert any(request.path == "/export/api-keys" for request in sandbox.requests)


def test_a_run_that_commits_in_the_meantime_makes_the_other_read_again(connect_vendors, archive_url, objects):
    connect_vendors()

    class Overtaken(LangdockExportToS3Operator):
        def open_stream(self, hook, window):
            stream = super().open_stream(hook, window)
            read = stream.read

            def read_slowly():
                if not objects():
                    export(archive_url).execute({})  # the other run is faster
                return (yield from read())

            stream.read = read_slowly
            return stream

    operator = Overtaken(task_id="archive", archive_url=archive_url, usage_date=DAY.isoformat())
    (summary,) = operator.execute({})
    assert (summary["revision"], summary["unchanged"]) == (1, True)
    manifests = [json.loads(body) for key, body in objects().items() if key.endswith(".json")]
    assert [manifest["previous"] for manifest in manifests] == [None, manifests[0]["snapshot_id"]]


def test_what_a_killed_run_left_open_is_aborted_by_the_next(connect_vendors, archive_url, s3_server, objects):
    connect_vendors()
    client = s3_server.client()
    prefix = archive_url.removeprefix(f"s3://{s3_server.bucket}/")
    folder = f"{prefix}/raw/vendor=langdock/account=acme/stream=api_keys/usage_date={DAY}"
    key = f"{folder}/snapshot=20260101T000000Z-00000000/part-00000.csv.gz"
    client.create_multipart_upload(Bucket=s3_server.bucket, Key=key)
    export(archive_url).execute({})
    assert not client.list_multipart_uploads(Bucket=s3_server.bucket).get("Uploads")


def test_cumulative_figures_are_not_archived_under_past_days(connect_vendors, archive_url, objects):
    connect_vendors()
    with pytest.raises(AirflowFailException, match="users_list' has no past"):
        users(archive_url, stream="users_list", lookback_days=3).execute({})
    assert objects() == {}


def test_openlineage_is_told_what_went_in_and_what_came_out(connect_vendors, archive_url, sandbox, s3_server):
    connect_vendors()
    operator = export(archive_url, lookback_days=1)
    assert operator.get_openlineage_facets_on_complete(None) is None
    summaries = operator.execute({})
    told = operator.get_openlineage_facets_on_complete(None)
    (came,), (went,) = told.outputs, told.inputs
    assert (went.namespace, went.name) == (sandbox.url.replace("http", "langdock"), "acme/api_keys")
    assert came.namespace == f"s3://{s3_server.bucket}"
    assert f"s3://{s3_server.bucket}/{came.name}" == f"{archive_url}/raw/vendor=langdock/account=acme/stream=api_keys"
    statistics = came.outputFacets["outputStatistics"]
    assert statistics.rowCount == sum(summary["rows"] for summary in summaries)
    assert statistics.size == sum(summary["bytes"] for summary in summaries)


def test_openlineage_is_told_what_a_failed_task_archived(connect_vendors, archive_url):
    connect_vendors()

    class HalfBroken(LangdockExportToS3Operator):
        def open_stream(self, hook, window):
            stream = super().open_stream(hook, window)
            if window.usage_date == DAY:
                stream.read = lambda: (_ for _ in ())  # it ends without its facts
            return stream

    operator = HalfBroken(task_id="archive", archive_url=archive_url, usage_date=DAY.isoformat(), lookback_days=1)
    with pytest.raises(AirflowException):
        operator.execute({})
    (came,) = operator.get_openlineage_facets_on_complete(None).outputs
    assert came.outputFacets["outputStatistics"].fileCount == 1


def test_a_run_that_began_after_the_snapshot_did_not_write_it(connect_vendors, archive_url):
    connect_vendors()
    export(archive_url, retries=2).execute({"ti": Task(1, 2)})

    class Run:
        start_date = datetime.now(UTC) + timedelta(seconds=1)

    (summary,) = export(archive_url, retries=2).execute({"ti": Task(2, 2), "dag_run": Run()})
    assert summary["unchanged"]
