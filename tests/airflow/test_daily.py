"""``daily_dag`` for vendors of one's own; ``test_dags.py`` runs it for ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from airflow_usage_provider.configuration import Options, plan_settled_at, plan_window
from airflow_usage_provider.daily import daily_dag, longest_task, plan_accounts
from airflow_usage_provider.exceptions import ConfigurationError
from airflow_usage_provider.hooks.base import UsageHook
from airflow_usage_provider.models import UsageWindow
from airflow_usage_provider.operators.langdock import LangdockExportToS3Operator
from airflow_usage_provider.operators.snapshot import UsageSnapshotToS3Operator
from airflow_usage_provider.sensors.langdock import LangdockExportSensor

DAY = (datetime.now(UTC) - timedelta(days=2)).date()
WINDOW = UsageWindow(DAY)


class AcmeHook(UsageHook):
    conn_type = "acme"
    base_url = "https://api.acme.example"
    default_requests_per_minute = 60


class AcmeOperator(UsageSnapshotToS3Operator):
    vendor = "acme"
    hook_class = AcmeHook
    timezones = ("UTC",)

    def __init__(self, *, stream="invoices", group_by=None, **kwargs):
        super().__init__(**kwargs)
        self.stream, self.group_by = stream, group_by


@pytest.fixture
def configure(monkeypatch):
    def _configure(section, **options):
        for name, value in options.items():
            monkeypatch.setenv(f"AIRFLOW__{section.upper()}__{name.upper()}", str(value))

    return _configure


def plan(operator=AcmeOperator, section="acme", streams=("invoices",), window=WINDOW):
    return plan_accounts(operator, Options(section, operator.vendor), window, default_streams=list(streams))


def test_a_vendor_of_ones_own_has_the_bundled_dags_pattern(configure):
    configure("acme", streams="invoices, usage:model", pool="slow", lookback_days="3")
    dag = daily_dag("acme_daily", AcmeOperator, section="acme", streams=["invoices"], tags=["billing"])
    assert sorted(dag.task_ids) == [
        "complete", "invoices.archive", "plan", "tell", "usage_by_model.archive", "wait_until_settled",
    ]  # fmt: skip
    archive = dag.get_task("invoices.archive")
    assert (archive.pool, archive.emit_events, archive.stream) == ("slow", False, "invoices")
    assert archive.execution_timeout == timedelta(hours=2, minutes=40)
    assert archive.max_active_tis_per_dag is None
    assert {"usage", "acme", "billing"} == set(dag.tags)
    assert dag.is_paused_upon_creation
    assert {outlet.name for outlet in dag.get_task("tell").outlets} == {"acme_usage"}


def test_arguments_for_s3_that_a_dag_gives_go_before_those_of_the_configuration():
    given = {"StorageClass": "STANDARD_IA"}
    dag = daily_dag("acme_daily", AcmeOperator, section="acme", streams=["invoices"], s3_extra_args=given)
    assert dag.get_task("invoices.archive").s3_extra_args == given


def test_a_sensor_waits_before_each_archive():
    dag = daily_dag(
        "mine",
        LangdockExportToS3Operator,
        section="mine",
        streams=["models"],
        sensor=LangdockExportSensor,
        sensor_arguments={"timeout": 60},
    )
    assert dag.get_task("models.archive").upstream_task_ids >= {"models.wait"}
    assert dag.get_task("models.wait").timeout == 60


def test_an_operator_that_finds_its_connection_itself_has_one_group():
    class Fixed(UsageSnapshotToS3Operator):
        vendor = "fixed"

        def get_hook(self):
            return AcmeHook("acme_default")

    dag = daily_dag("fixed_daily", Fixed, section="fixed")
    assert {task_id for task_id in dag.task_ids if "." in task_id} == {"fixed.archive"}


def test_an_operator_with_a_connection_id_under_a_name_of_its_own_is_mapped_over_its_accounts(configure):
    class Named(UsageSnapshotToS3Operator):
        vendor = "named"

        def __init__(self, *, named_usage_conn_id="named_usage_default", **kwargs):
            super().__init__(**kwargs)
            self.named_usage_conn_id = named_usage_conn_id

    configure("usage_provider", archive_url="s3://ours/archive")
    assert [account["conn_id"] for account in plan(Named, "named", ())] == ["named_usage_default"]
    archive = daily_dag("named_daily", Named, section="named").get_task("named.archive")
    assert archive.map_index_template == "{{ ti.task.named_usage_conn_id }}"
    assert "named_usage_conn_id" in archive.template_fields


def test_streams_that_the_operator_cannot_take_do_not_keep_the_dag_away_and_are_refused_by_the_plan(configure):
    class Single(UsageSnapshotToS3Operator):
        vendor = "single"
        hook_class = AcmeHook

    configure("usage_provider", archive_url="s3://ours/archive")
    configure("single", streams="invoices:model")
    dag = daily_dag("single_daily", Single, section="single")
    assert {task_id for task_id in dag.task_ids if "." in task_id} == {"single.archive"}
    with pytest.raises(ConfigurationError, match=r"\[single\] streams names 'invoices:model'.*has no stream"):
        plan(Single, "single", ())


def test_a_section_of_its_own_overrides_ours_option_by_option(configure):
    configure("usage_provider", archive_url="s3://ours/archive", timezone="Europe/Berlin", lookback_days=7)
    configure("acme", lookback_days=2, timezone="UTC", conn_ids="acme_eu,acme_us,acme_eu")
    assert plan() == [
        {
            "archive_url": "s3://ours/archive",
            "aws_conn_id": "aws_default",
            "usage_date": str(DAY),
            "timezone": "UTC",
            "lookback_days": 2,
            "s3_extra_args": {},
            "conn_id": conn_id,
        }
        for conn_id in ("acme_eu", "acme_us")
    ]
    assert plan_window({"params": {"usage_date": str(DAY)}}, Options("acme", "acme")).timezone == "UTC"
    assert plan_window({"params": {"usage_date": str(DAY)}}).timezone == "Europe/Berlin"


def test_without_connections_the_hooks_default_is_asked(configure):
    configure("usage_provider", archive_url="s3://ours/archive")
    assert [account["conn_id"] for account in plan()] == ["acme_default"]


def test_a_thousand_accounts_are_one_mapping_for_every_stream(configure):
    configure("usage_provider", archive_url="s3://ours/archive")
    configure("usage_provider", langdock_conn_ids=",".join(f"langdock_{number:04}" for number in range(1000)))
    accounts = plan(LangdockExportToS3Operator, "usage_provider", ("api_keys", "users", "models"))
    assert len(accounts) == 1000 <= 1024  # Airflow's max_map_length
    assert len(json.dumps(accounts)) < 300_000


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"timezone": "Europe/Berlin"}, r"acme: it knows no days of the time zone 'Europe/Berlin'"),
        ({"conn_ids": " , "}, r"\[acme\] conn_ids names nothing"),
        ({"lookback_days": "1.5"}, r"\[acme\] lookback_days is 1.5. Set a whole number"),
        ({"lookback_days": "many"}, r"\[acme\] lookback_days is 'many'"),
        ({"s3_extra_args": "{'a': 1}"}, r"\[acme\] s3_extra_args is no JSON object: Expecting property name.*Set one"),
        ({"s3_extra_args": "[]"}, r"\[acme\] s3_extra_args is no JSON object\. Set one"),
        (
            {"s3_extra_args": '{"SSECustomerKey": "k"}'},
            r"\[acme\] s3_extra_args holds SSECustomerKey, which is",
        ),
    ],
)
def test_what_cannot_be_is_refused_by_the_plan_where_it_is_set(configure, options, sentence):
    configure("usage_provider", archive_url="s3://ours/archive")
    configure("acme", **options)
    zone = Options("acme", "acme").read("timezone")
    with pytest.raises(ConfigurationError, match=sentence):
        plan(window=UsageWindow(DAY, zone))


def test_an_option_that_is_nowhere_is_named_where_airflow_documents_it():
    with pytest.raises(ConfigurationError, match=r"\[usage_provider\] archive_url is not set"):
        plan()


@pytest.mark.parametrize(
    ("day", "sentence"),
    [
        ("2006-11-20", "before 2015-01-01"),
        ("2062-11-20", "in the future"),
        ("2020-01-01", "older than what the vendor"),
    ],
)
def test_a_day_that_cannot_be_is_refused_by_the_plan(configure, day, sentence):
    configure("usage_provider", archive_url="s3://ours/archive")
    with pytest.raises(ConfigurationError, match=sentence):
        plan(LangdockExportToS3Operator, "usage_provider", ("models",), UsageWindow.parse(day))


@pytest.mark.parametrize(
    ("zone", "day", "settled_at"),
    [
        ("UTC", "2026-03-28", "2026-03-29T06:00:00+00:00"),
        ("Europe/Berlin", "2026-03-28", "2026-03-29T05:00:00+00:00"),  # clocks go forward at two
        ("Europe/Berlin", "2026-10-24", "2026-10-25T04:00:00+00:00"),  # and back at three
        ("Europe/Berlin", "2026-03-29", "2026-03-30T04:00:00+00:00"),
        ("America/New_York", "2026-03-07", "2026-03-08T11:00:00+00:00"),
    ],
)
def test_hours_to_settle_are_hours_that_pass_also_where_clocks_change(zone, day, settled_at):
    settled = plan_settled_at(UsageWindow.parse(day, zone))
    assert settled.astimezone(UTC).isoformat() == settled_at


def test_hours_beyond_all_reason_are_refused(configure):
    configure("usage_provider", settle_hours="1e300")
    with pytest.raises(ConfigurationError, match=r"settle_hours is 1e\+300"):
        plan_settled_at(WINDOW)


@pytest.mark.parametrize(
    ("lookback_days", "days_in_flight", "rate", "longest"),
    [
        (0, 4, 0, timedelta(hours=2)),
        (7, 4, 500, timedelta(hours=3, minutes=10)),
        (7, 4, 60, timedelta(hours=4, minutes=20)),
        (7, 1, 500, timedelta(hours=9, minutes=10)),
    ],
)
def test_how_long_a_task_may_take_grows_with_its_days_and_the_vendors_rate(
    lookback_days, days_in_flight, rate, longest
):
    assert longest_task(lookback_days, days_in_flight, rate) == longest


def test_building_a_dag_imports_nothing_heavy_and_opens_nothing(tmp_path):
    code = """
import socket, sys, airflow.sdk, airflow.timetables.interval, airflow.providers.standard.sensors.date_time
def refuse(*_): raise AssertionError("a socket while parsing")
socket.socket.connect = refuse
before = set(sys.modules)
from airflow_usage_provider.daily import daily_dag
from airflow_usage_provider.operators.langdock import LangdockExportToS3Operator
daily_dag("x", LangdockExportToS3Operator, section="acme", streams=["models"])
print({"requests", "boto3", "pandas", "pyarrow", "numpy"} & (set(sys.modules) - before))
"""
    env = {**os.environ, "AIRFLOW__ACME__LOOKBACK_DAYS": "nonsense"}
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True)
    assert answer.stdout.splitlines()[-1] == "set()"
