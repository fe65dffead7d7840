from __future__ import annotations

import asyncio
import json
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from airflow_usage_provider.compat import AirflowFailException, AirflowSensorTimeout
from airflow_usage_provider.hooks.langdock import LangdockHook
from airflow_usage_provider.sensors.langdock import LangdockExportSensor
from airflow_usage_provider.triggers import langdock
from airflow_usage_provider.triggers.langdock import LangdockExportTrigger
from airflow_usage_provider.triggers.shared_hooks import POLLS_AT_ONCE, SharedHooks

try:
    from airflow.sdk.exceptions import TaskDeferred
except ImportError:  # before Airflow 3.2
    from airflow.exceptions import TaskDeferred

DAY = (datetime.now(UTC) - timedelta(days=2)).date().isoformat()


def sensor(**kwargs):
    return LangdockExportSensor(task_id="wait", **{"usage_date": DAY, "poke_interval": 0.05, **kwargs})


def trigger(seconds=10.0, **kwargs):
    deadline = (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()
    defaults = {"langdock_conn_id": "langdock_default", "stream": "api_keys", "usage_date": DAY, "poll_interval": 0.05}
    return LangdockExportTrigger(deadline=deadline, **{**defaults, **kwargs})


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
    "key", ["nonsense", "sk-a;error=403", "sk-a;error=404-other", "sk-a;error=400", "sk-a;redirect=other"]
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
        "sk-a;error=404-text",
        "sk-a;body=html",
        "sk-a;redirect=login",
        "sk-a;date_range=day_before",
        "sk-a;download=400",
        "sk-a;download=redirect_loop",
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


def test_a_connection_that_airflow_does_not_give_is_waited_for(connect_vendors, sandbox):
    async def wait_for_it():
        waiting = asyncio.ensure_future(anext(trigger().run()))
        await asyncio.sleep(0.3)
        connect_vendors()
        return await waiting

    assert asyncio.run(wait_for_it()).payload["status"] == "ready"


def test_a_connection_that_never_comes_is_named_at_the_deadline():
    payload = fire(trigger(seconds=0.3))
    assert payload["status"] == "timeout"
    assert payload["message"].startswith("Connection 'langdock_default' does not exist, or its secrets backend did not")


def test_a_sensor_that_pokes_waits_for_its_connection_too(connect_vendors):
    assert sensor(deferrable=False).poke({}) is False


def test_what_nobody_foresaw_is_told_and_waited_out(connect_vendors, monkeypatch, caplog, capsys):
    connect_vendors()
    failures = [RuntimeError("https://signed.example/?secret"), KeyError("x")]
    is_ready = LangdockHook.is_export_ready

    def fail_first(hook, query, **options):
        if failures:
            raise failures.pop()
        return is_ready(hook, query, **options)

    monkeypatch.setattr(LangdockHook, "is_export_ready", fail_first)
    with caplog.at_level("INFO"):
        assert fire(trigger())["status"] == "ready"
    told = capsys.readouterr().out + caplog.text
    assert "The export could not be polled: RuntimeError." in told
    assert "secret" not in told


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


def test_a_key_that_was_replaced_is_found_after_a_while(connect_vendors):
    now = [0.0]
    hooks = SharedHooks(LangdockHook, clock=lambda: now[0])

    async def replace():
        keys = []
        async with hooks.hold("langdock_default") as shared:
            for moment, key in ((0.0, "sk-old"), (299.0, "sk-new"), (301.0, "sk-new")):
                now[0] = moment
                connect_vendors(key)
                keys.append((await shared.open()).connection.api_key)
        return keys

    assert asyncio.run(replace()) == ["sk-old", "sk-old", "sk-new"]


class Vendor:
    """A Langdock with one key that is taken, whose exports are not ready before it says so."""

    def __init__(self) -> None:
        self.key, self.is_ready, self.refused = "sk-old", False, 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                is_taken = self.headers["Authorization"] == f"Bearer {outer.key}"
                outer.refused += not is_taken
                status = (200 if outer.is_ready else 500) if is_taken else 401
                body = b'{"success": true, "data": {"recordCount": 0}}'
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.fields = {"conn_type": "langdock", "host": f"http://127.0.0.1:{self._server.server_address[1]}"}
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def test_a_key_that_is_replaced_and_then_revoked_ends_no_wait(set_connection):
    async def revoke(vendor):
        waiting = [asyncio.ensure_future(anext(trigger().run())) for _ in range(20)]
        await asyncio.sleep(0.3)
        set_connection("langdock_default", **vendor.fields, password="sk-new")
        vendor.key = "sk-new"
        await asyncio.sleep(0.3)
        vendor.is_ready = True
        return await asyncio.gather(*waiting)

    with closing(Vendor()) as vendor:
        set_connection("langdock_default", **vendor.fields, password="sk-old")
        assert {event.payload["status"] for event in asyncio.run(revoke(vendor))} == {"ready"}
        assert vendor.refused >= 1


def test_nothing_is_left_of_a_connection_whose_triggers_have_ended(connect_vendors):
    connect_vendors("sk-a;error=500")
    assert fire_together(5, seconds=0.3) == ["timeout"] * 5
    assert len(langdock._HOOKS) == 0


@pytest.mark.parametrize(("key", "is_slow"), [("sk-a;error=429;retry_after=600", False), ("sk-a;latency=4", True)])
def test_a_connection_that_is_throttled_or_hangs_keeps_no_other_waiting(set_connection, sandbox, key, is_slow):
    extra = {"allow_insecure_download": True, "allow_private_download": True}
    stuck_one = f"langdock_stuck_{is_slow}"
    set_connection(stuck_one, conn_type="langdock", host=sandbox.url, password=key, extra=extra)
    names = [f"langdock_{number}" for number in range(60)]
    for name in names:
        set_connection(name, conn_type="langdock", host=sandbox.url, password=f"sk-{name}", extra=extra)

    async def wait_beside():
        stuck = [asyncio.ensure_future(anext(trigger(seconds=60, langdock_conn_id=stuck_one).run())) for _ in range(70)]
        await asyncio.sleep(1.0)
        asked = len(sandbox.requests)
        events = await asyncio.gather(*(anext(trigger(seconds=60, langdock_conn_id=name).run()) for name in names))
        threads = langdock._HOOKS._shared[stuck_one].line.threads
        is_done = any(each.done() for each in stuck)
        for each in stuck:
            each.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)
        return {event.payload["status"] for event in events}, asked, threads, is_done

    sandbox.clear()
    statuses, asked, threads, is_done = asyncio.run(wait_beside())
    assert statuses == {"ready"}
    assert not is_done
    assert bool(threads) == is_slow
    assert asked <= POLLS_AT_ONCE
