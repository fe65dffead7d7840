from __future__ import annotations

import decimal
import json
import re
import threading
import time
import traceback
from datetime import UTC, datetime, timedelta

import airflow
import pandas as pd
import pytest

from airflow_usage_provider.exceptions import (
    ConfigurationError,
    ConnectionLookupError,
    InvalidBodyError,
    TransientError,
)
from airflow_usage_provider.hooks.base import UsageHook
from airflow_usage_provider.hooks.keywordsai import KeywordsAIHook
from airflow_usage_provider.hooks.langdock import LangdockHook
from airflow_usage_provider.models import FileFormat, StreamFacts
from airflow_usage_provider.schema import StreamSchema

DAY = (datetime.now(UTC) - timedelta(days=2)).date()
CANARY = "sk-canary-5f2c"


def skip_where_airflow_reads_no_such_connection():
    if airflow.__version__ < "3.1":
        pytest.skip("Airflow 3.0 takes no such extra from the environment; tests/unit/hooks has it")


def test_the_defaults_are_the_vendors_own(set_connection):
    set_connection("keywordsai_default", conn_type="keywordsai", password="k")
    set_connection("langdock_default", conn_type="langdock", password="k")
    keywordsai, langdock = KeywordsAIHook().connection, LangdockHook().connection
    assert (keywordsai.base_url, keywordsai.requests_per_minute) == ("https://api.keywordsai.co", 60)
    assert (langdock.base_url, langdock.requests_per_minute) == ("https://api.langdock.com", 500)
    assert keywordsai.account == "keywordsai_default"
    assert (keywordsai.connect_timeout, keywordsai.download_timeout) == (10, 3600)


@pytest.mark.parametrize(
    ("fields", "base_url"),
    [
        ({"host": "https://acme.example/api/public/"}, "https://acme.example/api/public"),
        ({"host": "acme.example"}, "https://acme.example"),
        ({"host": "acme.example", "port": 8443}, "https://acme.example:8443"),
        ({"host": "127.0.0.1", "schema": "http", "port": 8090}, "http://127.0.0.1:8090"),
        ({"host": "https://acme.example:9/x", "port": 8443}, "https://acme.example:9/x"),
    ],
)
def test_the_base_url_is_read_however_it_was_entered(set_connection, fields, base_url):
    set_connection("langdock_default", conn_type="langdock", password="k", **fields)
    assert LangdockHook().connection.base_url == base_url


def test_a_connection_may_be_a_uri(monkeypatch):
    monkeypatch.setenv(
        "AIRFLOW_CONN_KEYWORDSAI_DEFAULT", "keywordsai://:the%2Fkey@api.respan.ai/?account=acme&environment=test"
    )
    hook = KeywordsAIHook()
    assert (hook.connection.api_key, hook.connection.base_url) == ("the/key", "https://api.respan.ai")
    assert (hook.account, hook.environment) == ("acme", "test")


def test_keywords_ai_takes_a_base_url_that_ends_in_api(set_connection, sandbox):
    set_connection("keywordsai_default", conn_type="keywordsai", host=f"{sandbox.url}/api", password="sk-a")
    assert KeywordsAIHook().test_connection()[0]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({}, "has no API key"),
        ({"password": f"{CANARY}\r\nX-Evil: 1"}, "white space or control characters"),
        ({"password": CANARY, "host": "https://user:pw@acme.example"}, "credentials within its base URL"),
        ({"password": CANARY, "host": "https://acme.example\r\nX: 1"}, "white space or control characters"),
        ({"password": CANARY, "host": "ftp://acme.example"}, "without https:// or host"),
        ({"password": CANARY, "host": "http://acme.example"}, "would show the API key to the network"),
        ({"password": CANARY, "host": "https://acme.example/?a=b"}, "query or fragment"),
        ({"password": CANARY, "extra": {"timeout": "soon"}}, "timeout 'soon'.*number of seconds"),
        ({"password": CANARY, "extra": {"requests_per_minute": -1}}, "requests_per_minute -1"),
        ({"password": CANARY, "extra": {"allow_http": "perhaps"}}, "allow_http 'perhaps'.*true or false"),
        ({"password": CANARY, "extra": {"timeout": True}}, "timeout True.*number of seconds"),
        ({"password": CANARY, "extra": '{"timeout": 1e400}'}, "timeout inf.*number of seconds"),
        ({"password": CANARY, "extra": '{"connect_timeout": NaN}'}, "connect_timeout nan.*number of seconds"),
        ({"password": CANARY, "extra": {"download_timeout": 1e300}}, "download_timeout 1e\\+300.*604800 at most"),
        ({"password": CANARY, "extra": '{"requests_per_minute": 1e400}'}, "requests_per_minute inf.*whole number"),
        ({"password": CANARY, "extra": {"requests_per_minute": 1e300}}, "requests_per_minute 1e\\+300.*whole number"),
        ({"password": CANARY, "extra": {"requests_per_minute": 10**400}}, "requests_per_minute 1000.*whole number"),
        ({"password": CANARY, "extra": {"requests_per_minute": 0.5}}, "requests_per_minute 0.5.*whole number"),
        ({"password": CANARY, "extra": {"account": ["acme"]}}, "account \\['acme'\\].*text"),
        ({"password": CANARY, "extra": {"ca_bundle": {}}}, "ca_bundle {}.*text"),
        ({"password": CANARY, "extra": ["account", "acme"]}, "no JSON object"),
        ({"password": CANARY, "extra": "5"}, "no JSON object"),
        ({"password": CANARY, "extra": "null"}, "no JSON object"),
        ({"password": CANARY, "extra": '"acme"'}, "no JSON object"),
        ({"password": CANARY, "extra": f'{{"admin_token": "{CANARY}"'}, "no JSON object"),
    ],
)
def test_a_connection_that_cannot_be_right_is_refused_by_name(set_connection, fields, sentence):
    if sentence == "no JSON object":
        skip_where_airflow_reads_no_such_connection()
    set_connection("langdock_default", conn_type="langdock", **fields)
    with pytest.raises(ConfigurationError, match=f"'langdock_default'.*{sentence}") as caught:
        _ = LangdockHook().connection
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("extra", [["account", "acme"], "5", "null", '{"account": ', '{"timeout": 1e400}'])
def test_the_test_button_names_an_extra_that_cannot_be_right(set_connection, extra):
    skip_where_airflow_reads_no_such_connection()
    set_connection("langdock_default", conn_type="langdock", password=CANARY, extra=extra)
    works, sentence = LangdockHook().test_connection()
    assert not works
    assert sentence.startswith("Connection 'langdock_default' has ")
    assert CANARY not in sentence


def test_no_frame_of_an_error_shows_the_key_or_an_extra_of_another_name(set_connection):
    extra = {"admin_token": CANARY, "timeout": "soon"}
    set_connection("langdock_default", conn_type="langdock", password=CANARY, extra=extra)
    with pytest.raises(ConfigurationError) as caught:
        _ = LangdockHook().connection
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    ours = [frame for frame in shown.stack if "airflow_usage_provider" in frame.filename]
    assert ours
    assert CANARY not in repr([frame.locals for frame in ours])


def test_a_secrets_backend_that_fails_is_no_word_of_its_error_and_may_pass(monkeypatch):
    def fail(conn_id):
        raise OSError(f"https://vault.example/?token={CANARY}")

    monkeypatch.setattr(LangdockHook, "get_connection", staticmethod(fail))
    with pytest.raises(ConnectionLookupError, match="'langdock_default' could not be read: OSError") as caught:
        _ = LangdockHook().connection
    assert CANARY not in "".join(traceback.format_exception(caught.value))
    assert isinstance(caught.value, TransientError)


class AcmeHook(UsageHook):
    conn_type = "acme"
    base_url = "https://api.acme.example"
    check_path = "/me"
    extras = {"project": "text", "seats": "count", "beta": "flag"}  # noqa: RUF012

    def open_stream(self, stream, window, **options):
        return Invoices(self.get_conn(), stream)


class Invoices:
    name, file_format, request = "invoices", FileFormat.CSV, {"method": "GET", "path": "/invoices"}
    schema = StreamSchema(("id",), {"id": "text", "total": "money"})

    def __init__(self, http, stream):
        self.http, self.stream = http, stream

    def read(self):
        yield self.http.request("GET", f"/{self.stream}", stream=self.name).body
        return StreamFacts(rows=1)


def test_a_hook_of_ones_own_takes_its_id_under_its_own_name_by_position_or_by_default():
    hooks = [AcmeHook(acme_conn_id="ours"), AcmeHook("ours"), AcmeHook()]
    assert [hook.conn_id for hook in hooks] == [hook.acme_conn_id for hook in hooks] == ["ours", "ours", "acme_default"]
    assert (AcmeHook.conn_name_attr, AcmeHook.hook_name) == ("acme_conn_id", "Acme")


def test_the_test_button_of_a_hook_of_ones_own_asks_for_its_check_path(set_connection, canned_server, canned):
    server = canned_server([canned(), canned(401)])
    set_connection("acme_default", conn_type="acme", host=server.url, password=CANARY)
    assert AcmeHook().test_connection() == (True, f"{server.url} accepted the API key.")
    works, sentence = AcmeHook().test_connection()
    assert not works
    assert "API key was refused" in sentence
    assert [path for path, _ in server.requests] == ["/me", "/me"]
    assert server.requests[0][1]["authorization"] == f"Bearer {CANARY}"


def test_declared_extras_come_as_what_they_are_and_are_not_warned_of(set_connection, capsys):
    extra = {"project": "p1", "seats": "12", "colour": "blue"}
    set_connection("acme_default", conn_type="acme", password="k", extra=extra)
    hook = AcmeHook()
    _ = hook.connection
    assert [hook.read_extra(name) for name in AcmeHook.extras] == ["p1", 12, None]
    warned = "".join(capsys.readouterr())
    assert "unknown extra 'colour'" in warned
    assert "'project'" not in warned
    set_connection("acme_default", conn_type="acme", password="k", extra={"seats": "many"})
    with pytest.raises(ConfigurationError, match="seats 'many'"):
        AcmeHook().read_extra("seats")


def test_a_stream_of_a_hook_of_ones_own_comes_as_a_frame_of_its_schema_and_the_hook_is_closed(
    set_connection, canned_server, canned
):
    server = canned_server([canned(body=b"id,total\n007,0.10\n")])
    set_connection("acme_default", conn_type="acme", host=server.url, password="k")
    hook = AcmeHook()
    frame = hook.get_df("invoices", usage_date=DAY)
    assert frame.to_dict("records") == [{"id": "007", "total": decimal.Decimal("0.10")}]
    assert hook._vendor is None


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        ({}, "Lost has no connection type"),
        ({"conn_type": " "}, "Lost has no connection type"),
        ({"conn_type": "lost", "extras": {"seats": "integer"}}, "extra 'seats' is of kind 'integer'"),
        ({"conn_type": "lost", "extras": {"timeout": "number"}}, "extra 'timeout'.*own names"),
    ],
)
def test_a_hook_that_cannot_be_is_refused_when_its_class_is_made(members, sentence):
    with pytest.raises(ConfigurationError, match=sentence):
        type("Lost", (UsageHook,), members)


def test_the_form_of_a_hook_of_ones_own_is_in_the_class_itself_with_its_extras():
    assert {"get_connection_form_widgets", "get_ui_field_behaviour"} <= set(vars(AcmeHook))
    assert AcmeHook.get_ui_field_behaviour()["placeholders"]["host"] == "https://api.acme.example"
    pytest.importorskip("wtforms")
    assert {"account", "project", "seats", "beta", "timeout"} <= set(AcmeHook.get_connection_form_widgets())


def test_allow_http_allows_a_base_url_without_tls(set_connection):
    set_connection(
        "langdock_default", conn_type="langdock", password="k", host="http://acme.example", extra={"allow_http": True}
    )
    assert LangdockHook().connection.base_url == "http://acme.example"


def test_an_unknown_extra_is_ignored_with_one_warning(set_connection, capsys):
    set_connection("langdock_extra", conn_type="langdock", password="k", extra={"colour": "blue", "proxies": {}})
    for _ in range(2):
        _ = LangdockHook("langdock_extra").connection
    warning = "Connection 'langdock_extra' has an unknown extra 'colour', which is ignored"
    assert "".join(capsys.readouterr()).count(warning) == 1


@pytest.mark.parametrize("hook", [KeywordsAIHook, LangdockHook])
def test_test_connection_tells_success_from_every_kind_of_failure(set_connection, sandbox, hook):
    def answer(key=f"{CANARY};", host=sandbox.url, **extra):
        set_connection(
            hook.default_conn_name, conn_type=hook.conn_type, host=host, password=key.rstrip(";"), extra=extra
        )
        works, sentence = hook().test_connection()
        assert isinstance(sentence, str)
        assert CANARY not in sentence
        return works, sentence

    assert answer() == (True, f"{sandbox.url} accepted the API key.")
    for key, told in [
        (CANARY[3:], "API key was refused"),
        (f"{CANARY};error=403", "lacks a scope"),
        (f"{CANARY};body=html", "HTML"),
        (f"{CANARY};error=500", "could not answer"),
    ]:
        works, sentence = answer(key)
        assert not works
        assert told in sentence
    works, sentence = answer(host="http://127.0.0.1:9")
    assert not works
    assert "Check that the host is right" in sentence
    works, sentence = answer(host="https://no-such-host.invalid")
    assert not works
    works, sentence = answer(host=sandbox.url.replace("http://", "https://"))
    assert not works
    assert "SSL" in sentence


def test_test_connection_never_raises_when_there_is_no_connection():
    works, sentence = LangdockHook("nowhere").test_connection()
    assert not works
    assert sentence.startswith("Connection 'nowhere' does not exist, or its secrets backend did not answer. If it does")


def test_users_come_as_a_frame_with_exact_money(connect_vendors):
    connect_vendors("sk-a;users=40")
    frame = KeywordsAIHook().get_users_df(usage_date=DAY.isoformat(), page_size=15)
    assert len(frame) == 40
    assert frame["customer_identifier"].dtype == "string"
    assert frame["requests"].dtype == "Int64"
    assert str(frame["first_seen"].dtype) == "datetime64[us, UTC]"
    assert all(isinstance(cost, decimal.Decimal) for cost in frame["cost"].dropna())


def test_user_pages_come_one_by_one(connect_vendors):
    connect_vendors("sk-a;users=40")
    pages = list(KeywordsAIHook().iter_user_pages(usage_date=DAY, page_size=15))
    assert [len(page) for page in pages] == [15, 15, 10]
    assert pages[0][0]["customer_identifier"]


def test_a_page_iterator_that_is_left_early_ends_its_threads(connect_vendors):
    connect_vendors("sk-a;users=400")
    before = threading.active_count()
    pages = KeywordsAIHook().iter_user_pages(usage_date=DAY, page_size=10)
    next(pages)
    next(pages)
    pages.close()
    deadline = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before


def test_an_export_comes_as_a_frame_with_exact_money(connect_vendors):
    connect_vendors("sk-a;byok=1;multiline=1;bom=1")
    frame = LangdockHook().get_export_df(stream="api_keys", usage_date=DAY.isoformat(), group_by="model")
    assert list(frame.columns[:3]) == ["period_start", "period_end", "org_id"]
    assert frame["api_key_id"].dtype == "string"
    assert frame["requests"].dtype == "Int64"
    assert str(frame["period_start"].dtype) == "datetime64[us, UTC]"
    assert isinstance(frame["total_cost_usd"].dropna().iloc[0], decimal.Decimal)


def test_a_period_without_data_is_an_empty_frame(connect_vendors):
    connect_vendors("sk-a;empty=404")
    frame = LangdockHook().get_export_df(stream="projects", usage_date=DAY)
    assert isinstance(frame, pd.DataFrame)
    assert frame.empty


def test_an_exports_repr_hides_its_signed_url(connect_vendors, sandbox):
    connect_vendors()
    export = LangdockHook().create_export(stream="api_keys", usage_date=DAY)
    assert export.download_url.startswith(sandbox.download_url)
    assert sandbox.download_url not in repr(export)
    assert export.download_url not in f"{export}"


def test_an_export_streams_as_bytes(connect_vendors):
    connect_vendors()
    body = b"".join(LangdockHook().iter_export_chunks(stream="models", usage_date=DAY))
    assert body.startswith(b"period_start,")


@pytest.fixture
def export_of(set_connection, canned_server, canned):
    """A Langdock that exports this CSV."""

    def serve(body: bytes, records: int) -> None:
        server = canned_server()
        data = {"downloadUrl": f"{server.url}/file", "recordCount": records, "dateRange": {}}
        server.answers = [canned(body=json.dumps({"success": True, "data": data}).encode()), canned(body=body)]
        extra = {"allow_insecure_download": True, "allow_private_download": True}
        set_connection("langdock_default", conn_type="langdock", host=server.url, password="k", extra=extra)

    return serve


def test_an_export_in_windows_1252_is_a_frame(export_of):
    export_of("api_key_id,api_key_name,requests,requests\nk1,Schlüssel,5,6\n".encode("cp1252"), 1)
    frame = LangdockHook().get_export_df(stream="api_keys", usage_date=DAY)
    assert frame.to_dict("records") == [
        {"api_key_id": "k1", "api_key_name": "Schlüssel", "requests": 5, "requests_2": "6"}
    ]


@pytest.mark.parametrize("cost", ["1,234.56", "0,05", "$1.20", "1e200000000", "9" * 5000])
def test_a_cost_that_cannot_be_read_is_named_with_its_day_row_and_column(export_of, cost):
    export_of(f'api_key_id,total_cost_usd\nk1,1.00\nk2,"{cost}"\n'.encode(), 2)
    shown = re.escape(cost[:60])
    with pytest.raises(InvalidBodyError, match=rf"Row 2 of {DAY}: column 'total_cost_usd' holds '{shown}"):
        LangdockHook().get_export_df(stream="api_keys", usage_date=DAY)


def test_users_are_dicts_with_all_that_was_sent(set_connection, canned_server, canned):
    body = b'{"results":[{"customer_identifier":"a","requests":5,"requests":6,"cost":0.10,"n":%s}],"next":null}'
    server = canned_server([canned(body=body % (b"9" * 5000))])
    set_connection("keywordsai_default", conn_type="keywordsai", host=server.url, password="k")
    ((user,),) = KeywordsAIHook().iter_user_pages(usage_date=DAY)
    assert (user["requests"], user["requests_2"], str(user["cost"])) == (5, 6, "0.10")
    assert user["n"] == decimal.Decimal("9" * 5000)
