from __future__ import annotations

import decimal
import threading
import time
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from airflow_usage_provider.exceptions import ConfigurationError
from airflow_usage_provider.hooks.keywordsai import KeywordsAIHook
from airflow_usage_provider.hooks.langdock import LangdockHook

DAY = (datetime.now(UTC) - timedelta(days=2)).date()
CANARY = "sk-canary-5f2c"


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
    ],
)
def test_a_connection_that_cannot_be_right_is_refused_by_name(set_connection, fields, sentence):
    set_connection("langdock_default", conn_type="langdock", **fields)
    with pytest.raises(ConfigurationError, match=f"'langdock_default'.*{sentence}") as caught:
        _ = LangdockHook().connection
    assert CANARY not in str(caught.value)


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
