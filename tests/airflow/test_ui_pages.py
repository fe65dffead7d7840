"""The pages of the UI over real tables in a real S3; only who may see them is decided here and not by Airflow."""

from __future__ import annotations

import csv
import io
import logging
import threading
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyarrow")
pytest.importorskip("httpx")

from fastapi import HTTPException
from fastapi.testclient import TestClient

from airflow_usage_provider.archive.catalog import Selection
from airflow_usage_provider.archive.keys import ArchiveLocation, Series
from airflow_usage_provider.exceptions import ArchiveUnavailableError
from airflow_usage_provider.schema import StreamSchema
from airflow_usage_provider.tables.focusfiles import write_focus
from airflow_usage_provider.tables.layout import Month
from airflow_usage_provider.tables.shelf import S3Shelf
from airflow_usage_provider.tables.target import S3Target
from airflow_usage_provider.tables.update import update_tables
from airflow_usage_provider.ui import app as app_module
from airflow_usage_provider.ui import store as store_module
from airflow_usage_provider.ui.app import build_app
from airflow_usage_provider.ui.sources import Sources
from airflow_usage_provider.ui.store import TableStore
from tests.unit.tables.months import MonthArchive

pytestmark = pytest.mark.airflow
MONTH = Month(2026, 10)
COSTS = Series("acme_llm", "team", "costs")
EVIL = "<script>alert(1)</script>\u202egnp.exe" + "x" * 300
SCHEMA = StreamSchema.from_dict(
    {
        "identity": ["who", "model"],
        "columns": {"who": "text", "model": "text", "cost": "money"},
        "roles": {
            "cost": "cost",
            "currency": "USD",
            "principal": "who",
            "principal_kind": "user",
            "model": "model",
            "charges": "usage",
        },
    }
)
ROUTES = ("/", "/spend.csv", "/coverage", "/revisions", "/closes")


@dataclass
class Site:
    """The app, and the place of its tables."""

    browser: TestClient
    client: Any
    location: ArchiveLocation
    requests: list[str]

    def get(self, path: str, status: int = 200) -> str:
        answer = self.browser.get(path)
        assert answer.status_code == status, answer.text
        return answer.text


def write_tables(folder: Path, client: Any, location: ArchiveLocation) -> None:
    archive = MonthArchive(folder)
    archive.store_rows(COSTS, date(2026, 9, 30), [{"who": "a", "model": "m", "cost": "1"}], SCHEMA)
    rows = [{"who": f"user-{n}", "model": "m", "cost": f"0.{n + 1:02}"} for n in range(12)]
    archive.store_rows(COSTS, date(2026, 10, 1), [*rows, {"who": EVIL, "model": "=1+1", "cost": "3"}], SCHEMA)
    archive.store_rows(COSTS, date(2026, 10, 2), [{"who": "a", "model": "m", "cost": "0.1"}], SCHEMA)
    archive.store_rows(
        COSTS,
        date(2026, 10, 2),
        [{"who": "a", "model": "m", "cost": "0.2"}, {"who": "b", "model": "m", "cost": "0.000000000000000001"}],
        SCHEMA,
        at=datetime(2026, 10, 9, 2, tzinfo=UTC),
        revision=2,
    )
    archive.store_rows(
        COSTS, date(2026, 10, 3), [{"who": "a", "model": "m", "cost": "0"}], SCHEMA, maturity="provisional"
    )
    archive.store(COSTS, date(2026, 10, 4), b"", 0, SCHEMA)
    for month in (MONTH, Month(2026, 9)):
        write_focus(archive.objects, month, S3Shelf(client, location))
    list(update_tables(archive.objects, S3Target(client, location), Selection()))


@pytest.fixture(scope="module")
def client(s3_server):
    client = s3_server.client()
    yield client
    client.close()


@pytest.fixture(scope="module")
def tables(client, s3_server, tmp_path_factory):
    location = ArchiveLocation(s3_server.bucket, "ui/tables")
    write_tables(tmp_path_factory.mktemp("archive"), client, location)
    return location


@pytest.fixture
def open_site(client, s3_server, monkeypatch):
    def open_site(location: ArchiveLocation, own_client: Any = client) -> Site:
        monkeypatch.setenv("AIRFLOW__USAGE_PROVIDER__ARCHIVE_URL", f"s3://{s3_server.bucket}/ui")
        monkeypatch.setenv("AIRFLOW__USAGE_PROVIDER__TABLES_URL", location.uri(location.prefix))
        requests: list[str] = []
        own_client.meta.events.register(
            "before-call.s3", lambda model, params, **_: requests.append(f"{model.name} {params['url_path']}"), "count"
        )
        sources = Sources(lambda conn_id: own_client)
        app = build_app(lambda: None, sources)
        return Site(TestClient(app, raise_server_exceptions=False), own_client, location, requests)

    yield open_site
    client.meta.events.unregister("before-call.s3", unique_id="count")


@pytest.fixture
def site(open_site, tables) -> Site:
    return open_site(tables)


def test_spend_is_exact_and_says_what_changed_to_the_month_before(site):
    page = site.get("/?month=2026-10")
    assert "exactly 3.980000000000000001; +2.98 to the month before, +298.0 %" in page
    assert "2026-10-02 acme_llm: 0.200000000000000001 USD" in page
    assert "<option selected>2026-10</option><option>2026-09</option>" in page


def test_the_top_ten_is_shown_and_all_below_it(site):
    page = site.get("/?month=2026-10")
    assert page.index("By principal") < page.index("All 15") < page.index("user-0<")


def test_names_are_text_and_neither_script_nor_turn_the_line_around(site):
    page = site.get("/")
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\\u202egnp.exe" in page
    assert "\u202e" not in page


def test_the_csv_has_every_row_and_no_formula(site):
    rows = list(csv.DictReader(io.StringIO(site.get("/spend.csv?by=principal"))))
    assert len(rows) == 15
    assert rows[0]["principal"] == EVIL
    assert rows[0]["cost"] == "3"
    assert {row["model"] for row in csv.DictReader(io.StringIO(site.get("/spend.csv?by=model")))} == {"m", "'=1+1"}
    assert "2026-10-02,acme_llm,USD,0.200000000000000001" in site.get("/spend.csv?by=day")


def test_coverage_says_of_each_day_what_is_there(site):
    page = site.get("/coverage?month=2026-10")
    for day, state in {1: "complete", 2: "revised", 3: "provisional", 4: "empty", 5: "missing"}.items():
        assert f'class="{state}" title="2026-10-{day:02} {state}"' in page


def test_revisions_say_what_took_the_place_of_what(site):
    page = site.get("/revisions")
    assert "2026-10-09 02:00 UTC</td><td>acme_llm/team/costs</td><td>2026-10-02" in page
    assert "</td><td>2026-10-01</td>" not in page


def test_closes_are_listed_with_totals_and_root(site):
    assert "No month is closed yet" in site.get("/closes", 404)
    name = "ui/closes/2026-10/20261110T130000Z-abcd/close.json"
    body = b'{"month": "2026-10", "as_of": "2026-11-10T13:00:00+00:00", "root": "abcd", "totals": {"USD": "3.98"}}'
    site.client.put_object(Bucket=site.location.bucket, Key=name, Body=body)
    try:
        page = site.get("/closes")
    finally:
        site.client.delete_object(Bucket=site.location.bucket, Key=name)
    assert "3.98 USD" in page
    assert "abcd</td>" in page


def test_an_object_is_read_once_and_again_when_it_is_another(site):
    site.get("/?month=2026-10")
    site.requests.clear()
    page = site.get("/?month=2026-10")
    assert not [each for each in site.requests if each.startswith("GetObject")]
    assert not [each for each in site.requests if "/raw" in each]
    key = "ui/tables/focus/1.4/billing_month=2026-10/acme_llm.team.parquet"
    other = "ui/tables/focus/1.4/billing_month=2026-09/acme_llm.team.parquet"
    kept = site.client.get_object(Bucket=site.location.bucket, Key=key)["Body"].read()
    site.client.copy_object(Bucket=site.location.bucket, Key=key, CopySource=f"{site.location.bucket}/{other}")
    try:
        assert site.get("/?month=2026-10") != page
    finally:
        site.client.put_object(Bucket=site.location.bucket, Key=key, Body=kept)


def test_nothing_but_the_page_itself_is_allowed(site):
    answer = site.browser.get("/")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'self'" in policy
    assert "unsafe" not in policy
    assert answer.headers["cache-control"] == "no-store"
    for outside in ('src="', "http://", "https://", 'href="/', "style="):
        assert outside not in answer.text


@pytest.mark.parametrize(
    ("path", "status", "sentence"),
    [
        ("/?month=2026-08", 404, "no cost of 2026-08"),
        ("/?currency=EUR", 404, "Ask for USD"),
        ("/?month=October", 400, "is not a month"),
        ("/?month=%E2%80%AE%0a2026-10", 400, "is not a month"),
        ("/?month=" + "9" * 3000, 400, "too long"),
        ("/coverage?month=2026-13", 400, "is not a month"),
        ("/coverage?month=2020-01", 404, "no table of snapshots"),
        ("/spend.csv?by=owner", 400, "is no breakdown"),
        ("/docs", 404, "no such page"),
        ("/openapi.json", 404, "no such page"),
    ],
)
def test_bad_input_is_a_sentence_and_at_most_one_line_of_the_log(site, caplog, path, status, sentence):
    with caplog.at_level(logging.WARNING):
        assert sentence in site.get(path, status)
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("airflow_usage_provider")]
    assert len(lines) == (0 if sentence == "no such page" else 1)
    assert not any("\n" in line for line in lines)


def test_without_tables_a_sentence_says_how_to_make_them(open_site, s3_server):
    site = open_site(ArchiveLocation(s3_server.bucket, "ui/none"))
    assert "usage_month_close" in site.get("/", 404)
    assert "usage_tables" in site.get("/coverage", 404)


def test_a_bucket_that_is_gone_is_said(open_site):
    site = open_site(ArchiveLocation("not-there", "tables"))
    assert "Bucket &#x27;not-there&#x27; does not exist" in site.get("/", 502)


def test_no_right_to_s3_is_said(open_site, s3_server, tables):
    client = s3_server.client(aws_access_key_id="nobody", aws_secret_access_key="wrong")
    assert "S3 refused ListObjectsV2" in open_site(tables, client).get("/", 502)
    client.close()


@pytest.mark.parametrize("body", [b"PAR1 half", b""], ids=["half", "empty"])
def test_half_written_tables_are_said(open_site, client, s3_server, body):
    for name in ("focus/1.4/billing_month=2026-10/a.b.parquet", "snapshots/usage_month=2026-10/a.b.c.parquet"):
        client.put_object(Bucket=s3_server.bucket, Key=f"ui/half/{name}", Body=body)
    site = open_site(ArchiveLocation(s3_server.bucket, "ui/half"))
    assert "is no Parquet" in site.get("/", 502)
    assert "is no Parquet" in site.get("/coverage", 502)


def test_tables_of_another_version_are_said(open_site, client, s3_server, tables):
    source = f"{s3_server.bucket}/ui/tables/snapshots/usage_month=2026-10/acme_llm.team.costs.parquet"
    key = "ui/other/focus/1.4/billing_month=2026-10/a.b.parquet"
    client.copy_object(Bucket=s3_server.bucket, Key=key, CopySource=source)
    assert "lacks BilledCost" in open_site(ArchiveLocation(s3_server.bucket, "ui/other")).get("/", 502)


@pytest.mark.parametrize("path", [*ROUTES, "/docs", "/anything/else"])
def test_every_route_asks_who_it_is(path):
    def refuse() -> None:
        raise HTTPException(403, "Forbidden")

    def never(conn_id: str) -> Any:
        raise AssertionError("it was read before it was asked")

    app = build_app(refuse, Sources(never))
    assert TestClient(app).get(path).status_code == 403


def test_the_routes_that_are_tested_are_all_there_are(site):
    assert {route.path for route in site.browser.app.routes} == {*ROUTES, "/{path:path}"}


def test_ten_thousand_principals_are_a_page_of_bounded_length(open_site, client, s3_server, tmp_path):
    archive, location = MonthArchive(tmp_path / "many"), ArchiveLocation(s3_server.bucket, "ui/many")
    rows = [{"who": f"user-{n:05}", "model": "m", "cost": "0.01"} for n in range(10_000)]
    archive.store_rows(COSTS, date(2026, 10, 1), rows, SCHEMA)
    write_focus(archive.objects, MONTH, S3Shelf(client, location))
    site = open_site(location)
    page = site.get("/")
    assert "1,000 of 10,000 are shown." in page
    assert len(page) < 400_000
    assert site.get("/spend.csv?by=principal").count("\r\n") == 10_001


def test_pages_take_few_of_the_threads_that_airflow_answers_with(site, monkeypatch):
    monkeypatch.setattr(app_module, "_SEATS", threading.BoundedSemaphore(1))
    app_module._SEATS.acquire()
    assert "too many at once" in site.get("/", 503)
    app_module._SEATS.release()
    site.get("/")
    site.get("/?month=October", 400)
    site.get("/")


def test_a_connection_that_was_changed_is_noticed_and_what_is_kept_stays(monkeypatch, fake_time):
    monkeypatch.setenv("AIRFLOW__USAGE_PROVIDER__TABLES_URL", "s3://bucket/tables")
    made: list[object] = []
    sources = Sources(lambda conn_id: made.append(object()) or made[-1], fake_time.clock)
    store = sources.tables()
    assert sources.tables().client is made[0]
    fake_time.sleep(301)
    assert sources.tables() is store
    assert store.client is made[1]


def reduce_rows(batches: Any) -> list[Any]:
    return [row for batch in batches for row in batch.to_pylist()]


def test_a_read_that_takes_too_long_is_said_and_what_was_read_is_kept(client, tables, fake_time):
    store = TableStore(client, tables, fake_time.clock)
    found = [replace(store.find("snapshots/")[0], etag=str(version)) for version in range(20)]

    def slow(batches: Any) -> list[Any]:
        rows = reduce_rows(batches)
        fake_time.sleep(30)
        return rows

    with pytest.raises(ArchiveUnavailableError, match="within 25 s"):
        store.load(found, ("vendor",), slow)
    assert 0 < len(store._kept) < 20
    assert store.load(found[:1], ("vendor",), slow)


def test_what_is_kept_is_bounded(client, tables, monkeypatch):
    monkeypatch.setattr(store_module, "MOST_KEPT", 3)
    store = TableStore(client, tables)
    rows = store.load(
        store.find("snapshots/"), ("vendor",), lambda batches: [row for b in batches for row in b.to_pylist()]
    )
    assert len(rows) > 3
    assert len(store._kept) == 1
