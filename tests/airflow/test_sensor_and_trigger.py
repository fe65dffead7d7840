from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest

from airflow_usage_provider.compat import AirflowFailException, AirflowSensorTimeout
from airflow_usage_provider.hooks.langdock import LangdockHook
from airflow_usage_provider.sensors.langdock import LangdockExportSensor
from airflow_usage_provider.triggers.langdock import LangdockExportTrigger
from airflow_usage_provider.triggers.shared_hooks import SharedHooks

try:
    from airflow.sdk.exceptions import TaskDeferred
except ImportError:  # before Airflow 3.2
    from airflow.exceptions import TaskDeferred

DAY = (datetime.now(UTC) - timedelta(days=2)).date().isoformat()


def sensor(**kwargs):
    return LangdockExportSensor(task_id="wait", **{"usage_date": DAY, "poke_interval": 0.05, **kwargs})


def trigger(seconds=10.0, **kwargs):
    deadline = (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()
    kwargs = {"stream": "api_keys", "usage_date": DAY, "poll_interval": 0.05, **kwargs}
    return LangdockExportTrigger(langdock_conn_id="langdock_default", deadline=deadline, **kwargs)


def fire(one):
    async def collect():
        return [event async for event in one.run()]

    (event,) = asyncio.run(collect())
    return event.payload


@pytest.mark.parametrize("deferrable", [True, False])
def test_an_export_that_serves_is_ready_at_the_first_probe(connect_vendors, sandbox, deferrable):
    connect_vendors()
    sandbox.clear()
    assert sensor(deferrable=deferrable).execute({}) is None
    probe = sandbox.requests[-1]
    assert probe.port_role == "download"
    assert probe.headers["range"] == "bytes=0-0"
    assert "authorization" not in probe.headers


def test_a_server_that_ignores_ranges_counts_and_its_body_is_not_read(connect_vendors):
    connect_vendors("sk-a;ignore_range=1;rows=3000000")
    started = datetime.now(UTC)
    sensor(deferrable=False).execute({})
    assert datetime.now(UTC) - started < timedelta(seconds=5)  # three million rows take ten


def test_a_deferring_sensor_stores_nothing_secret(connect_vendors, sandbox):
    connect_vendors("sk-a;ready_after_requests=1")
    with pytest.raises(TaskDeferred) as caught:
        sensor(deferrable=True, group_by="model").execute({})
    path, kwargs = caught.value.trigger.serialize()
    assert path == "airflow_usage_provider.triggers.langdock.LangdockExportTrigger"
    stored = json.dumps(kwargs)
    assert "sk-a" not in stored
    assert sandbox.download_url not in stored
    assert LangdockExportTrigger(**kwargs).serialize() == (path, kwargs)
    assert caught.value.method_name == "execute_complete"


@pytest.mark.parametrize("deferrable", [True, False])
@pytest.mark.parametrize(
    "key", ["nonsense", "sk-a;error=403", "sk-a;error=404-other", "sk-a;error=400", "sk-a;body=html"]
)
def test_what_waiting_cannot_mend_fails_at_once(connect_vendors, key, deferrable):
    connect_vendors(key)
    with pytest.raises(AirflowFailException, match="connection langdock_default"):
        sensor(deferrable=deferrable).execute({})


@pytest.mark.parametrize(
    "key",
    [
        "sk-a;error=500",
        "sk-a;error=429",
        "sk-a;error=502-html",
        "sk-a;download=404",
        "sk-a;download=403",
        "sk-a;no_url=1",
    ],
)
def test_everything_passing_keeps_waiting(connect_vendors, key):
    connect_vendors(key)
    assert sensor(deferrable=False).poke({}) is False


def test_a_vendor_that_is_away_keeps_the_sensor_waiting(connect_vendors, set_connection):
    set_connection("langdock_default", conn_type="langdock", host="http://127.0.0.1:9", password="sk-a")
    assert sensor(deferrable=False).poke({}) is False


@pytest.mark.parametrize(("on_empty", "is_ready"), [("ready", True), ("wait", False)])
@pytest.mark.parametrize("empty", ["404", "200", "header"])
def test_a_period_without_data_is_what_on_empty_says(connect_vendors, empty, on_empty, is_ready):
    connect_vendors(f"sk-a;empty={empty}")
    assert sensor(on_empty=on_empty).poke({}) is is_ready


def test_poking_waits_until_the_export_is_there_and_asks_once_each_time(connect_vendors, sandbox):
    connect_vendors("sk-a;ready_after_requests=2")
    sandbox.clear()
    sensor(deferrable=False).execute({})
    assert sum(request.port_role == "api" for request in sandbox.requests) == 3


def test_poking_ends_at_the_timeout(connect_vendors):
    connect_vendors("sk-a;error=500")
    with pytest.raises(AirflowSensorTimeout):
        sensor(deferrable=False, timeout=0.2).execute({})


@pytest.mark.parametrize(
    ("event", "error"),
    [
        ({"status": "timeout", "message": "x"}, AirflowSensorTimeout),
        ({"status": "error", "message": "x"}, AirflowFailException),
        (None, AirflowFailException),
    ],
)
def test_a_bad_event_fails_the_sensor(event, error):
    with pytest.raises(error):
        sensor().execute_complete({}, event)


def test_a_good_event_ends_the_wait():
    sensor().execute_complete({}, {"status": "ready", "message": "x"})


def test_on_empty_is_checked_when_the_dag_is_parsed():
    with pytest.raises(ValueError, match="on_empty is 'maybe'"):
        sensor(on_empty="maybe")


def test_deferrable_defaults_to_airflows_setting():
    import os
    import subprocess
    import sys

    code = "from airflow_usage_provider.sensors import langdock as m; s = m.LangdockExportSensor(task_id='t')"
    code += "; print(s.deferrable)"
    for setting in ("True", "False"):
        env = {**os.environ, "AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE": setting}
        answer = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
        assert answer.stdout.split()[-1] == setting


def test_the_trigger_fires_when_the_export_is_ready(connect_vendors, sandbox):
    connect_vendors("sk-a;ready_after_requests=2")
    sandbox.clear()
    payload = fire(trigger())
    assert payload["status"] == "ready"
    assert sandbox.download_url not in json.dumps(payload)
    assert sum(request.port_role == "api" for request in sandbox.requests) == 3


def test_the_trigger_fires_an_error_when_waiting_cannot_help(connect_vendors):
    connect_vendors("nonsense")
    payload = fire(trigger())
    assert payload["status"] == "error"
    assert "API key was refused" in payload["message"]


def test_the_trigger_fires_at_its_deadline_whatever_the_vendor_answers(connect_vendors):
    connect_vendors("sk-a;error=500")
    payload = fire(trigger(seconds=0.3))
    assert payload["status"] == "timeout"
    assert "could not answer" in payload["message"]


def test_the_trigger_sleeps_after_every_poll(connect_vendors, sandbox):
    connect_vendors("sk-a;error=500")
    sandbox.clear()
    fire(trigger(seconds=0.5, poll_interval=0.1))
    assert 1 <= len(sandbox.requests) <= 6


def test_the_trigger_tells_what_keeps_it_waiting_once_and_not_at_every_poll(connect_vendors, sandbox, caplog, capsys):
    connect_vendors("sk-a;error=500")
    sandbox.clear()
    with caplog.at_level("INFO"):
        fire(trigger(seconds=1.0, poll_interval=0.1))
    assert len(sandbox.requests) >= 3
    told = capsys.readouterr().out or caplog.text
    assert told.count("Not ready: ") == told.count("It is polled every 0.1 s.") == 1


def test_the_trigger_names_a_missing_connection_without_a_traceback():
    payload = fire(trigger())
    assert payload["status"] == "error"
    assert payload["message"].startswith("Connection 'langdock_default' does not exist.")


def fire_together(count, **kwargs):
    async def collect(one):
        return [event async for event in one.run()]

    async def gather():
        return await asyncio.gather(*(collect(trigger(**kwargs)) for _ in range(count)))

    return [event.payload["status"] for (event,) in asyncio.run(gather())]


def test_triggers_of_one_connection_share_its_lookup_and_its_session(connect_vendors, sandbox, monkeypatch):
    connect_vendors("sk-a;error=500")
    opened = []
    open_vendor = LangdockHook.open_vendor
    monkeypatch.setattr(LangdockHook, "open_vendor", lambda hook: opened.append(hook.connection) or open_vendor(hook))
    assert fire_together(50, seconds=1.0, poll_interval=0.3) == ["timeout"] * 50
    assert len(sandbox.requests) >= 50
    assert len(opened) == 1


def test_a_key_that_was_replaced_is_found_after_a_while(connect_vendors, monkeypatch):
    connect_vendors("nonsense")
    hooks = SharedHooks(LangdockHook, clock=iter([0.0, 0.0, 10.0, 301.0, 301.0, 301.0]).__next__)
    first = hooks.resolve("langdock_default")
    connect_vendors("sk-good")
    assert hooks.find("langdock_default") is first
    assert hooks.find("langdock_default") is None
    assert hooks.resolve("langdock_default").connection.api_key == "sk-good"
