"""What an operator finds in the archive: another question, another connection, odd manifests; what it asks of S3."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from airflow_usage_provider.compat import AirflowFailException
from airflow_usage_provider.exceptions import ArchiveUnavailableError, ConfigurationError
from airflow_usage_provider.operators.langdock import LangdockExportToS3Operator

DAY = (datetime.now(UTC) - timedelta(days=3)).date()


class Task:
    dag_id, run_id, task_id, map_index, try_number, max_tries = "dag", "run", "archive", -1, 2, 2


def export(archive_url, **kwargs):
    return LangdockExportToS3Operator(
        task_id="archive", archive_url=archive_url, **{"usage_date": DAY.isoformat(), **kwargs}
    )


def test_another_question_is_refused_before_the_vendor_is_asked_and_may_be_accepted(
    connect_vendors, archive_url, objects, sandbox, capsys
):
    connect_vendors()
    export(archive_url).execute({})
    before = objects()
    sandbox.clear()
    with pytest.raises(
        AirflowFailException,
        match=r'answers another question: .*timezone was "UTC" and is "Europe/Berlin".*new_question="accept"',
    ):
        export(archive_url, timezone="Europe/Berlin").execute({})
    assert sandbox.requests == []
    assert objects() == before
    (summary,) = export(archive_url, timezone="Europe/Berlin", new_question="accept").execute({})
    assert "begins anew with another question" in capsys.readouterr().out
    manifests = {key: json.loads(body) for key, body in objects().items() if key.endswith(".json")}
    latest = next(body for key, body in manifests.items() if summary["snapshot_id"] in key)
    assert latest["previous"] in "".join(before)
    with pytest.raises(AirflowFailException, match=r'timezone was "Europe/Berlin" and is "UTC"'):
        export(archive_url).execute({})


def test_another_question_of_one_day_leaves_the_other_days_be(connect_vendors, archive_url, objects):
    connect_vendors()
    export(archive_url).execute({})
    with pytest.raises(Exception, match=rf"1 of 3 days.*{DAY}.*another question") as caught:
        export(
            archive_url, timezone="Europe/Berlin", usage_date=(DAY + timedelta(days=1)).isoformat(), lookback_days=2
        ).execute({})
    assert isinstance(caught.value, AirflowFailException)
    assert {key.split("usage_date=")[1][:10] for key in objects()} == {
        (DAY + timedelta(days=number)).isoformat() for number in (-1, 0, 1)
    }


def test_a_word_that_says_nothing_of_new_questions_is_refused_when_the_dag_is_parsed(archive_url):
    with pytest.raises(ConfigurationError, match=r"new_question is 'yes'.*refuse or accept"):
        export(archive_url, new_question="yes")


def test_one_account_through_two_connections_is_warned_of(
    connect_vendors, set_connection, sandbox, archive_url, objects, capsys
):
    connect_vendors()
    extra = {"account": "acme", "allow_insecure_download": True, "allow_private_download": True}
    set_connection("langdock_twin", conn_type="langdock", host=sandbox.url, password="sk-acme", extra=extra)
    for conn_id in ("langdock_default", "langdock_default", "langdock_twin"):
        assert "through connection" not in capsys.readouterr().out
        export(archive_url, langdock_conn_id=conn_id).execute({})
    told = f"{DAY} was archived through connection 'langdock_default' before, now through 'langdock_twin'"
    assert told in capsys.readouterr().out
    manifests = [json.loads(body) for key, body in objects().items() if key.endswith(".json")]
    assert [manifest["airflow"]["conn_id"] for manifest in manifests] == [*["langdock_default"] * 2, "langdock_twin"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("snapshot_at", "yesterday"),
        ("snapshot_at", ""),
        ("snapshot_at", "2026-11-21T02:00:03"),
        ("airflow", {"dag_id": "dag", "run_id": "run", "task_id": "archive", "map_index": -1, "try_number": "one"}),
        ("usage_date", "20.11.2026"),
        ("account", "other"),
    ],
)
def test_an_odd_manifest_is_followed_by_the_next_and_ends_no_run(
    connect_vendors, archive_url, objects, s3_server, name, value
):
    class Run:
        start_date = datetime.now(UTC) - timedelta(hours=1)

    connect_vendors()
    export(archive_url).execute({"ti": Task()})
    (key,) = (key for key in objects() if key.endswith("_manifest.json"))
    odd = {**json.loads(objects()[key]), name: value}
    prefix = archive_url.removeprefix(f"s3://{s3_server.bucket}/")
    body = json.dumps(odd).encode()
    s3_server.client().put_object(Bucket=s3_server.bucket, Key=f"{prefix}/{key}", Body=body)

    class Retry(Task):
        try_number, max_tries = 3, 3

    (summary,) = export(archive_url, retries=2).execute({"ti": Retry(), "dag_run": Run()})
    assert summary["usage_date"] == DAY.isoformat()
    assert summary["unchanged"]


def test_customer_keys_among_the_s3_arguments_are_masked_given_or_rendered(archive_url):
    from airflow.sdk._shared.secrets_masker import redact

    given, rendered, encoded = "given" + 27 * "g", "rendered" + 24 * "r", "cmVuZGVyZWRycnJycnJycnJycnJycnJycnJycnJycnI="
    operator = export(
        archive_url,
        s3_extra_args={"SSECustomerKey": "{{ params.key }}", "SSECustomerKeyMD5": given, "StorageClass": "STANDARD"},
    )
    operator.render_template_fields({"params": {"key": rendered}})
    assert operator.s3_extra_args["SSECustomerKey"] == rendered
    shown = str(redact({"s3_extra_args": operator.s3_extra_args, "log": f"sent {encoded}"}))
    assert not any(secret in shown for secret in (given, rendered, encoded))
    assert "STANDARD" in shown


@pytest.mark.parametrize("disabled", [False, True])
def test_a_metadata_service_that_fails_to_answer_is_tried_again_and_one_that_is_switched_off_is_not(
    connect_vendors, set_connection, s3_server, canned_server, canned, archive_url, monkeypatch, tmp_path, disabled
):
    connect_vendors()
    metadata = canned_server([canned(503, b"")])
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata.url)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", str(disabled).lower())
    extra = {"endpoint_url": s3_server.endpoint_url, "region_name": "us-east-1"}
    set_connection("aws_default", conn_type="aws", extra=extra)
    kind = AirflowFailException if disabled else ArchiveUnavailableError
    with pytest.raises(kind, match="NoCredentialsError"):
        export(archive_url).execute({})
    assert bool(metadata.requests) is not disabled


def test_a_role_that_cannot_be_assumed_now_is_an_error_of_the_archive(
    connect_vendors, set_connection, canned_server, canned, archive_url
):
    connect_vendors()
    sts = canned_server([canned(503, b"<ErrorResponse><Error><Code>ServiceUnavailable</Code></Error></ErrorResponse>")])
    extra = {
        "role_arn": "arn:aws:iam::123456789012:role/archive",
        "region_name": "us-east-1",
        "service_config": {"sts": {"endpoint_url": sts.url}},
        "config_kwargs": {"retries": {"max_attempts": 0}},
    }
    set_connection("aws_default", conn_type="aws", login="key", password="secret", extra=extra)
    with pytest.raises(ArchiveUnavailableError, match="AssumeRole"):
        export(archive_url).execute({})


def test_a_look_back_asks_s3_three_times_a_day_and_twice_a_run(connect_vendors, archive_url):
    class Counted(LangdockExportToS3Operator):
        def _open_archive(self):
            archive = super()._open_archive()
            archive.client.meta.events.register("before-send.s3", lambda event_name, **_: calls.update([event_name]))
            return archive

    connect_vendors()
    for first in (True, False):
        calls: Counter[str] = Counter()
        summaries = Counted(
            task_id="archive", archive_url=archive_url, usage_date=DAY.isoformat(), lookback_days=7
        ).execute({})
        assert all(summary["unchanged"] is not first for summary in summaries)
        assert sum(calls.values()) == 2 + 8 * 3
        assert calls["before-send.s3.ListMultipartUploads"] == 1
