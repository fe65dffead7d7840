"""The pages of the UI over real tables in a real S3; only who may see them is decided here and not by Airflow."""

from __future__ import annotations

import base64
import csv
import hashlib
import html
import io
import logging
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
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
from airflow_usage_provider.tables.target_s3 import S3Target
from airflow_usage_provider.tables.update import update_tables
from airflow_usage_provider.ui import app as app_module
from airflow_usage_provider.ui import closes as closes_module
from airflow_usage_provider.ui import store as store_module
from airflow_usage_provider.ui import views
from airflow_usage_provider.ui.app import build_app
from airflow_usage_provider.ui.snapshots import Expected, read_coverage
from airflow_usage_provider.ui.sources import Sources
from airflow_usage_provider.ui.store import Table, TableStore
from tests.unit.tables.months import MonthArchive

pytestmark = pytest.mark.airflow
MONTH = Month(2026, 10)
COSTS = Series("acme_llm", "team", "costs")
EVIL = "<script>alert(1)</script>\u202egnp.exe" + "x" * 300
SCHEMA = StreamSchema.from_dict(
    {
        "identity": ["who", "model"],
        "columns": {"who": "text", "known_as": "text", "model": "text", "cost": "money", "budget": "money"},
        "roles": {
            "cost": "cost",
            "currency": "USD",
            "principal": "who",
            "principal_kind": "user",
            "principal_name": "known_as",
            "model": "model",
            "charges": "usage",
        },
    }
)
ROUTES = ("/", "/spend.csv", "/coverage", "/revisions", "/day", "/closes", "/report")
DAY = "/day?vendor=acme_llm&account=team&stream=costs&date="
RUN = {"dag_id": "costs & more", "run_id": "manual__2026-10-09T02:00:00+00:00"}


@dataclass
class Site:
    """The app, and the place of its tables."""

    browser: TestClient
    client: Any
    location: ArchiveLocation
    requests: list[str]
    archive: Callable[[str], None]

    def get(self, path: str, status: int = 200) -> str:
        answer = self.browser.get(path)
        assert answer.status_code == status, answer.text
        return answer.text


def write_tables(folder: Path, client: Any, location: ArchiveLocation) -> None:
    archive = MonthArchive(folder)
    archive.store_rows(COSTS, date(2026, 9, 30), [{"who": "a", "model": "m", "cost": "1"}], SCHEMA)
    rows = [{"who": f"user-{n}", "model": "m", "cost": f"0.{n + 1:02}", "known_as": f"Ann {n}"} for n in range(12)]
    archive.store_rows(COSTS, date(2026, 10, 1), [*rows, {"who": EVIL, "model": "=1+1", "cost": "3"}], SCHEMA)
    archive.store_rows(COSTS, date(2026, 10, 2), [{"who": "a", "model": "m", "cost": "0.1"}], SCHEMA)
    archive.store_rows(
        COSTS,
        date(2026, 10, 2),
        [{"who": "a", "model": "m", "cost": "0.2"}, {"who": "b", "model": "m", "cost": "0.000000000000000001"}],
        SCHEMA,
        at=datetime(2026, 10, 9, 2, tzinfo=UTC),
        revision=2,
        airflow=RUN,
    )
    archive.store_rows(
        COSTS, date(2026, 10, 3), [{"who": "a", "model": "m", "cost": "0"}], SCHEMA, maturity="provisional"
    )
    archive.store(COSTS, date(2026, 10, 4), b"", 0, SCHEMA)
    for month in (MONTH, Month(2026, 9)):
        write_focus(archive.objects, month, S3Shelf(client, location), names=True)
    list(update_tables(archive.objects, S3Target(client, location), Selection()))
    for path in folder.rglob("_manifest.json"):
        key = f"{location.prefix.rpartition('/')[0]}/{path.relative_to(folder)}"
        client.put_object(Bucket=location.bucket, Key=key, Body=path.read_bytes())


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

        def note(model: Any, params: Any, **_: Any) -> None:
            requests.append(f"{model.name} {params['url_path']} {params['query_string'].get('prefix', '')}")

        own_client.meta.events.register("before-call.s3", note, "count")
        sources = Sources(lambda conn_id: own_client)
        app = build_app(lambda: None, sources)

        def set_archive(prefix: str) -> None:
            monkeypatch.setenv("AIRFLOW__USAGE_PROVIDER__ARCHIVE_URL", f"s3://{s3_server.bucket}/{prefix}")

        return Site(TestClient(app, raise_server_exceptions=False), own_client, location, requests, set_archive)

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
    for day, state in {1: "complete", 2: "revised", 3: "lagging", 4: "empty", 5: "missing"}.items():
        assert f'class="{state}" title="2026-10-{day:02} {state}"' in page


def test_a_day_is_late_only_when_what_should_be_there_is_not(client, tables):
    store = TableStore(client, tables)
    settled = {"settled_at": lambda day: datetime.combine(day, time(6), UTC) + timedelta(days=1)}

    def judge(*now: int) -> dict[int, str]:
        coverage = read_coverage(store, MONTH, Expected(datetime(2026, 10, *now, tzinfo=UTC), 7, **settled))
        return {day.day: state for day, state in zip(coverage.days, coverage.states[COSTS], strict=True)}

    assert judge(6, 5) == {1: "complete", 2: "revised", 3: "provisional", 4: "empty", 5: "awaited"}
    assert judge(6, 6)[5] == "missing"
    assert judge(12, 5)[3] == "provisional"
    assert judge(12, 6)[3] == "lagging"


def test_of_too_many_streams_those_are_shown_that_lack_something(monkeypatch, tmp_path, client, open_site, s3_server):
    monkeypatch.setattr(views, "MOST_SERIES", 1)
    archive, location = MonthArchive(tmp_path / "many"), ArchiveLocation(s3_server.bucket, "ui/streams")
    for account, days in (("a", 31), ("b", 30), ("c", 31)):
        for number in range(1, days + 1):
            archive.store(Series("acme_llm", account, "costs"), date(2026, 10, number), b"", 0, SCHEMA)
    list(update_tables(archive.objects, S3Target(client, location), Selection()))
    page = open_site(location).get("/coverage")
    assert re.findall(r'<th scope="row">([^<]*)</th>', page) == ["acme_llm/b/costs"]
    assert "1 of 3 are shown." in page
    assert "Empty<b>92</b>" in page


def test_settings_that_cannot_be_are_said(site, monkeypatch):
    monkeypatch.setenv("AIRFLOW__USAGE_PROVIDER__SETTLE_HOURS", "some")
    assert "settle_hours is &#x27;some&#x27;" in site.get("/coverage", 503)


def test_a_field_of_coverage_leads_to_the_snapshots_of_its_day(site):
    page = site.get("/coverage?month=2026-10")
    (href,) = re.findall(r'<td class="revised"[^>]*><a href="([^"]*)"', page)
    assert f"/{html.unescape(href)}" == f"{DAY}2026-10-02"
    assert re.search(r'<td class="missing"[^>]*>m</td>', page)
    site.requests.clear()
    day = site.get(f"{DAY}2026-10-02")
    listed = [each for each in site.requests if each.startswith("ListObjects")]
    assert [each.rpartition(" ")[2] for each in listed] == [
        "ui/tables/snapshots/usage_month=2026-10/acme_llm.team.costs.parquet"
    ]
    assert day.index("20261009T020000Z") < day.index("20261003T020000Z")
    assert f"s3://{site.location.bucket}/ui/raw/vendor=acme_llm/account=team/stream=costs/usage_date=2026-10-02/" in day
    run = "../dags/costs%20%26%20more/runs/manual__2026-10-09T02%3A00%3A00%2B00%3A00"
    assert day.count(f'<a href="{run}">') == 1
    assert "(no run of Airflow)" in day
    sent = len('{"who": "a", "model": "m", "cost": 0.1}\n')
    assert re.search(rf'<td class="number">\d+</td><td class="number">{sent}</td>', day)


def test_a_day_whose_manifest_cannot_be_read_shows_what_the_table_has(open_site, client, s3_server, tmp_path):
    location = ArchiveLocation(s3_server.bucket, "ui-lost/tables")
    write_tables(tmp_path / "archive", client, location)
    site = open_site(location)
    (key,) = [
        each["Key"]
        for each in client.list_objects_v2(Bucket=s3_server.bucket, Prefix="ui-lost/raw/")["Contents"]
        if "usage_date=2026-10-01/" in each["Key"]
    ]
    site.archive("ui-lost")
    body = client.get_object(Bucket=s3_server.bucket, Key=key)["Body"].read()
    client.put_object(Bucket=s3_server.bucket, Key=key, Body=body.replace(b"costs", b"c0sts"))
    assert "is not the manifest that the table was made from" in site.get(f"{DAY}2026-10-01")
    client.delete_object(Bucket=s3_server.bucket, Key=key)
    page = site.get(f"{DAY}2026-10-01")
    assert f"There is no s3://{s3_server.bucket}/{key}" in page
    assert '<td class="number">13</td><td class="number">1</td><td>final</td>' in page


def test_revisions_say_what_took_the_place_of_what(site):
    page = site.get("/revisions")
    assert re.search(r"2026-10-09 02:00 UTC</td><td>acme_llm/team/costs</td><td><a [^>]*>2026-10-02</a>", page)
    assert "2026-10-01</a>" not in page
    amounts = ("0.1", "0.200000000000000001", "0.100000000000000001")
    assert "".join(["<td>USD</td>", *(f'<td class="number">{each}</td>' for each in amounts)]) in page


def test_revisions_are_shown_without_amounts_if_there_are_none_to_read(site, caplog):
    key = "ui/tables/history/acme_llm_costs/usage_month=2026-10/team.parquet"
    kept = site.client.get_object(Bucket=site.location.bucket, Key=key)["Body"].read()
    site.client.put_object(Bucket=site.location.bucket, Key=key, Body=kept[:-8])
    try:
        page = site.get("/revisions")
    finally:
        site.client.put_object(Bucket=site.location.bucket, Key=key, Body=kept)
    assert "There are no amounts. " in page
    assert "2026-10-02</a>" in page
    assert caplog.text.count("revisions without amounts") == 1


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
    assert '<a href="report?month=2026-10&amp;close=20261110T130000Z-abcd">2026-10</a>' in page


def test_the_report_of_a_close_has_its_own_style_and_can_do_nothing(site):
    key, style = "ui/closes/2026-10/20261110T130000Z-abcd/report.html", "h1 { color: red }"
    body = f"<html><style>{style}</style><h1>Müller</h1></html>".encode()
    site.client.put_object(Bucket=site.location.bucket, Key=key, Body=body)
    try:
        answer = site.browser.get("/report?month=2026-10&close=20261110T130000Z-abcd")
    finally:
        site.client.delete_object(Bucket=site.location.bucket, Key=key)
    assert (answer.status_code, answer.content) == (200, body)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    rules = answer.headers["content-security-policy"].split("; ")
    assert {"default-src 'none'", f"style-src 'sha256-{digest}'", "sandbox"} <= set(rules)


def test_a_report_that_is_too_large_is_said(site, monkeypatch):
    key = "ui/closes/2026-10/20261110T130000Z-abcd/report.html"
    monkeypatch.setattr(closes_module, "_LARGEST_REPORT", 3)
    site.client.put_object(Bucket=site.location.bucket, Key=key, Body=b"1234")
    try:
        assert "is larger than 3 bytes" in site.get("/report?month=2026-10&close=20261110T130000Z-abcd", 502)
    finally:
        site.client.delete_object(Bucket=site.location.bucket, Key=key)


@pytest.fixture
def set_owners(site, monkeypatch):
    def set_owners(text: str) -> None:
        site.client.put_object(Bucket=site.location.bucket, Key="ui/owners.csv", Body=text.encode())
        monkeypatch.setenv("AIRFLOW__USAGE_PROVIDER__OWNERS_URL", f"s3://{site.location.bucket}/ui/owners.csv")

    return set_owners


def test_what_a_month_cost_by_owner_is_as_the_owners_file_says_now(site, set_owners):
    assert "No owners file is set" in site.get("/")
    assert "No owners file is set" in site.get("/spend.csv?by=owner", 404)
    header = "principal,owner,cost_center,valid_from,valid_to\n"
    set_owners(f"{header}user-*,Platform,4711,,\na,Berlin,4712,,2026-10-01\na,Munich,4713,2026-10-02,\n")

    def read() -> dict[str, list[str]]:
        rows = csv.DictReader(io.StringIO(site.get("/spend.csv?by=owner&month=2026-10")))
        return {row["owner"]: [row["cost center"], row["cost"], row["change_to_month_before"]] for row in rows}

    assert read() == {
        "": ["", "3.000000000000000001", "3.000000000000000001"],
        "Platform": ["4711", "0.78", "0.78"],
        "Munich": ["4713", "0.2", "0.2"],
        "Berlin": ["4712", "0", "-1"],
    }
    assert "<td>(nobody)</td>" in site.get("/?month=2026-10")
    set_owners("principal,owner\na,Berlin\n")
    assert read()["Berlin"] == ["", "0.2", "-0.8"]


def test_what_two_lines_claim_is_a_line_of_its_own(site, set_owners):
    set_owners("principal,owner\na,Berlin\n*,Munich\n")
    page = site.get("/spend.csv?by=owner&month=2026-10")
    assert "(two lines of the owners file claim it),,USD,0.2," in page


def test_an_owners_file_that_cannot_be_read_hides_nothing_else(site, set_owners):
    set_owners("who,pays\n")
    page = site.get("/")
    assert "The owners file has no column principal, owner" in page
    assert "exactly 3.98" in page
    assert "The owners file has no column" in site.get("/spend.csv?by=owner", 503)


def test_a_budget_is_a_line_and_a_share(site, monkeypatch):
    assert "<line class=" not in site.get("/")
    monkeypatch.setenv("AIRFLOW__USAGE_PROVIDER__BUDGETS", "EUR:1, USD:31")
    page = site.get("/?month=2026-10")
    assert "<b>31.00</b>" in page
    assert "12.8 % used by day 3 of 31" in page
    assert re.search(r'<line class="limit"[^>]*><title>budget, an even share a day: 1.00 USD</title>', page)
    monkeypatch.setenv("AIRFLOW__USAGE_PROVIDER__BUDGETS", "plenty")
    assert "budgets has &#x27;plenty&#x27;" in site.get("/", 503)


def test_names_are_shown_only_if_the_setting_says_so(site, monkeypatch):
    pages = ("/", "/spend.csv?by=principal")
    assert not any("Ann" in site.get(path) for path in pages)
    monkeypatch.setenv("AIRFLOW__USAGE_PROVIDER__PRINCIPAL_NAMES", "True")
    assert "<td>user-11</td><td>Ann 11</td>" in site.get(pages[0])
    assert "user-11,Ann 11,USD,0.12" in site.get(pages[1])


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
    for path in ("/", "/coverage", "/revisions", f"{DAY}2026-10-02"):
        for outside in ('src="', "http://", "https://", 'href="/', "style="):
            assert outside not in site.get(path)


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
        ("/spend.csv?by=colour", 400, "is no breakdown"),
        ("/day", 400, "usage_date"),
        (f"{DAY}2026-10-05", 404, "no snapshot of that stream and 2026-10-05"),
        (f"{DAY}2026-13-01", 400, "2026-13-01"),
        ("/day?vendor=..%2F..&account=a&stream=s&date=2026-10-01", 404, "no snapshot"),
        ("/report", 400, "No month is given"),
        ("/report?month=2026-10&close=20261110T130000Z-none", 404, "There is no s3://"),
        ("/report?month=2026-10&close=..%2F..", 404, "is no close"),
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


def reduce_rows(table: Table) -> list[Any]:
    return [row for batch in table.batches("vendor") for row in batch.to_pylist()]


def test_a_read_that_takes_too_long_is_said_and_what_was_read_is_kept(client, tables, fake_time):
    store = TableStore(client, tables, fake_time.clock)
    found = [replace(store.find("snapshots/")[0], etag=str(version)) for version in range(20)]

    def slow(table: Table) -> list[Any]:
        rows = reduce_rows(table)
        fake_time.sleep(30)
        return rows

    with pytest.raises(ArchiveUnavailableError, match="within 25 s"):
        store.load(found, "slow", slow)
    assert 0 < len(store._kept) < 20
    assert store.load(found[:1], "slow", slow)


def test_what_is_kept_is_bounded(client, tables, monkeypatch):
    monkeypatch.setattr(store_module, "MOST_KEPT", 3)
    store = TableStore(client, tables)
    rows = store.load(store.find("snapshots/"), "rows", reduce_rows)
    assert len(rows) > 3
    assert len(store._kept) == 1
