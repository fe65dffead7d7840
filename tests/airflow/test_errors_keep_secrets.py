"""Every error a hook raises, in every form it may be written down in, without key, signed URL or the vendor's words."""

from __future__ import annotations

import json
import logging
import pickle
import traceback
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from airflow_usage_provider import exceptions
from airflow_usage_provider.exceptions import FatalError, TransientError, UsageProviderError
from airflow_usage_provider.hooks.keywordsai import KeywordsAIHook
from airflow_usage_provider.hooks.langdock import LangdockHook
from sandbox.canary import find_secrets, make_digits

DAY = (datetime.now(UTC) - timedelta(days=2)).date().isoformat()
OF_THE_ARCHIVE = {"ArchiveAccessError", "SnapshotConflictError", "ArchiveUnavailableError", "ArchiveCorruptError"}
OF_THE_TABLES = {"TableConflictError", "UnreadableValueError", "UnreconciledError"}
BOTH = {
    "AuthenticationError": ["error=401", "error=403", "wrong"],
    "ConfigurationError": ["redirect=other"],
    "RequestRejectedError": ["error=400"],
    "RateLimitedError": ["error=429;retry_after=700"],
    "VendorUnavailableError": ["error=502-html", "error=404-text", "redirect=login", "big_headers=1"],
    "IncompleteSnapshotError": ["body=cut"],
    "InvalidBodyError": ["body=invalid", "body=html"],
}
KEYWORDSAI = {
    "ConfigurationError": ["error=404"],
    "RequestRejectedError": ["error=413", "error=422"],
    "RateLimitedError": ["error=503"],
    "VendorUnavailableError": ["error=500"],
    "ListingChangedError": ["users=3000;drift=insert"],
}
LANGDOCK = {
    "ConfigurationError": ["error=404-other"],
    "ExportTooLargeError": ["error=400-too-large"],
    "VendorUnavailableError": ["download=500"],
    "DownloadExpiredError": [
        "download=403",
        "download=404",
        "download=410",
        "download=400",
        "url_lifetime=0",
        "download=redirect_loop",
    ],
    "IncompleteSnapshotError": ["date_range=day_before", "record_count=+1", "download=cut", "download=cut_chunked"],
    "InvalidBodyError": ["success_false=1", "download=html"],
}
CASES = [
    (hook, name, switches)
    for hook, tables in [(KeywordsAIHook, (BOTH, KEYWORDSAI)), (LangdockHook, (BOTH, LANGDOCK))]
    for table in tables
    for name, cases in table.items()
    for switches in cases
]
DOWNLOAD_URLS = [
    *("{dead}/{canary}.csv?sig={canary}", "http://no-such-host.invalid/{canary}?sig={canary}"),
    *("http://[{canary}/?sig={canary}", "http://127.0.0.1:99999/{canary}", "ftp://127.0.0.1/{canary}"),
    *("http://{canary}:{canary}@127.0.0.1/", "{dead_tls}/{canary}?sig={canary}", "/{canary}", "{canary}"),
    *("{dead}/\n{canary}", "http://127.0.0.1:{canary}/"),
]


@pytest.fixture(autouse=True)
def everything_logged(caplog):
    """Airflow's masker does not see what pytest records: nothing is hidden here but by us."""
    caplog.set_level(logging.DEBUG)
    for name in ("urllib3", "urllib3.connectionpool", "requests", "airflow_usage_provider"):
        caplog.set_level(logging.DEBUG, logger=name)


@pytest.fixture
def raise_through(set_connection, caplog):
    """Ask a hook once for a day's usage and return its error with all that was written about it."""

    def _raise(kind, key, host, **extra):
        extra = {"allow_insecure_download": True, "allow_private_download": True, "requests_per_minute": 0, **extra}
        set_connection(kind.default_conn_name, conn_type=kind.conn_type, host=host, password=key, extra=extra)
        hook = kind()
        hook.open_vendor = partial(hook.open_vendor, max_attempts=1)
        with closing(hook), pytest.raises(UsageProviderError) as caught:
            ask(hook)
        error = caught.value
        return error, {
            "str": str(error).encode(),
            "repr": repr(error).encode(),
            "fields": repr(vars(error)).encode(),
            "pickle": pickle.dumps(error),
            "pickled and back": str(pickle.loads(pickle.dumps(error))).encode(),
            "traceback": "".join(traceback.format_exception(error)).encode(),
            "contexts": "\n".join(map(repr, contexts(error))).encode(),
            "log": caplog.text.encode(),
        }

    return _raise


def ask(hook):
    if isinstance(hook, KeywordsAIHook):
        hook.get_users_df(usage_date=DAY)
    else:
        hook.get_export_df(stream="api_keys", usage_date=DAY)


def contexts(error):
    """What an error came from, also what ``from None`` keeps out of tracebacks."""
    while (error := error.__context__) is not None:
        yield error


@pytest.mark.parametrize(("kind", "name", "switches"), CASES)
def test_an_error_of_the_vendor_shows_neither_key_nor_signed_url(kind, name, switches, raise_through, sandbox):
    canary = make_digits()
    key = f"nope-{canary}" if switches == "wrong" else f"sk-acme;latency=0.000000{canary};{switches}"
    error, forms = raise_through(kind, key, sandbox.url)
    assert type(error).__name__ == name
    signed = {request.query.get("X-Sandbox-Signature") for request in sandbox.requests} - {None}
    paths = {request.path.rpartition("-")[2].removesuffix(".csv") for request in sandbox.requests if request.query}
    assert bool(signed) == ("download=" in switches or "record_count" in switches or "url_lifetime" in switches)
    tokens = {path for path in paths if len(path) == 16} if signed else set()
    assert find_secrets({canary} | signed | tokens, forms.items()) == {}


@pytest.mark.parametrize("setting", ["allow_insecure_download", "allow_private_download"])
def test_a_signed_url_that_is_not_allowed_is_not_shown(setting, raise_through, canned_server, canned, canary):
    url = f"http://127.0.0.1:9/{canary}?sig={canary}"
    server = canned_server([canned(body=envelope(url))])
    error, forms = raise_through(LangdockHook, "sk-acme", server.url, **{setting: False})
    assert setting in str(error)
    assert find_secrets([canary], forms.items()) == {}


@pytest.mark.parametrize("url", DOWNLOAD_URLS)
def test_a_signed_url_that_cannot_be_reached_is_not_shown(url, raise_through, canned_server, canned, canary, dead_url):
    url = url.format(canary=canary, dead=dead_url, dead_tls=dead_url.replace("http:", "https:"))
    server = canned_server([canned(body=envelope(url))])
    _, forms = raise_through(LangdockHook, "sk-acme", server.url)
    assert find_secrets([canary], forms.items()) == {}


@pytest.mark.parametrize("kind", [KeywordsAIHook, LangdockHook])
@pytest.mark.parametrize("status", [301, 307, 400, 401, 403, 404, 413, 422, 429, 500, 503])
def test_what_an_error_answer_says_is_not_shown(kind, status, raise_through, canned_server, canned, canary):
    headers = {"Location": f"https://elsewhere.example/{canary}?key={canary}", "WWW-Authenticate": canary}
    body = json.dumps({"error": "no", "message": f"Bearer {canary} is not known"}).encode()
    server = canned_server([canned(status, body, headers={**headers, "Retry-After": canary})])
    _, forms = raise_through(kind, canary, server.url)
    assert find_secrets([canary], forms.items()) == {}


@pytest.mark.parametrize("kind", [KeywordsAIHook, LangdockHook])
def test_a_host_that_cannot_be_reached_does_not_show_the_key(kind, raise_through, canary, dead_url):
    for host in (dead_url, dead_url.replace("http:", "https:"), "https://no-such-host.invalid"):
        _, forms = raise_through(kind, canary, host, connect_timeout=2)
        assert find_secrets([canary], forms.items()) == {}


def test_every_kind_of_error_but_the_archives_is_among_them():
    groups = {UsageProviderError, FatalError, TransientError}
    kinds = {
        name
        for name, kind in vars(exceptions).items()
        if isinstance(kind, type) and issubclass(kind, UsageProviderError) and kind not in groups
    }
    without_a_key = {"ConnectionLookupError", "UnforeseenError"} | OF_THE_TABLES
    assert kinds - OF_THE_ARCHIVE - without_a_key == {name for _, name, _ in CASES}


def test_the_search_would_find_a_secret_in_each_form(canary):
    error = UsageProviderError(f"GET /?sig={canary}", url=canary)
    forms = {"str": str(error).encode(), "pickle": pickle.dumps(error), "repr": repr(error).encode()}
    assert find_secrets([canary], forms.items()) == {canary: {"str", "pickle", "repr"}}


def envelope(url):
    return json.dumps({"success": True, "data": {"recordCount": 1, "downloadUrl": url}}).encode()
