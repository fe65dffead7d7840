"""The pages of the UI in a real API server, below a path: who may see them is Airflow's to say, at every route."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date

import pytest

from airflow_usage_provider.archive.catalog import Selection
from airflow_usage_provider.archive.keys import ArchiveLocation
from airflow_usage_provider.tables.focusfiles import write_focus
from airflow_usage_provider.tables.layout import Month
from airflow_usage_provider.tables.shelf import S3Shelf
from airflow_usage_provider.tables.target_s3 import S3Target
from airflow_usage_provider.tables.update import update_tables
from sandbox.airflow_api import ApiServer
from sandbox.demo import describe_environment
from tests.unit.tables.months import MonthArchive

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]
DAY = "day?vendor=langdock&account=acme&stream=api_keys&date=2026-10-01"
REPORT = "report?month=2026-10&close=20261110T130000Z-abcd"
ROUTES = ("", "spend.csv", "coverage", "revisions", DAY, "closes", REPORT, "docs", "openapi.json", "anything/else")
SHOWN = {
    "": "langdock",
    "spend.csv": "langdock,acme,",
    "coverage": "langdock/acme/api_keys",
    "revisions": "None.",
    DAY: "2026-10-01, langdock/acme/api_keys",
    "closes": "abcd",
    REPORT: "What October was",
}
AUTH = '''
from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager


class Strict(SimpleAuthManager):
    """Viewers see no plugins."""

    def is_authorized_view(self, *, access_view, user):
        if access_view is AccessView.PLUGINS and user.role != "admin":
            return False
        return super().is_authorized_view(access_view=access_view, user=user)
'''


@pytest.fixture(scope="module")
def archive_url(s3_server, tmp_path_factory) -> str:
    """An archive with two days in its tables, and a close."""
    archive, client = MonthArchive(tmp_path_factory.mktemp("archive")), s3_server.client()
    for day in (date(2026, 10, 1), date(2026, 10, 2)):
        archive.store_export(day)
    tables = ArchiveLocation(s3_server.bucket, "ui-live/tables")
    write_focus(archive.objects, Month(2026, 10), S3Shelf(client, tables))
    assert all(not outcome.error for outcome in update_tables(archive.objects, S3Target(client, tables), Selection()))
    close = {"month": "2026-10", "as_of": "2026-11-10T13:00:00+00:00", "root": "abcd", "totals": {"USD": "1"}}
    folder = "ui-live/closes/2026-10/20261110T130000Z-abcd"
    client.put_object(Bucket=s3_server.bucket, Key=f"{folder}/close.json", Body=json.dumps(close).encode())
    client.put_object(Bucket=s3_server.bucket, Key=f"{folder}/report.html", Body=b"<h1>What October was</h1>")
    client.close()
    return f"s3://{s3_server.bucket}/ui-live"


@pytest.fixture(scope="module")
def server(archive_url, running_sandbox, s3_server, tmp_path_factory) -> Iterator[ApiServer]:
    home = tmp_path_factory.mktemp("ui")
    (home / "strict_auth.py").write_text(AUTH)
    environment = describe_environment(running_sandbox, s3_server) | {
        "AIRFLOW__CORE__AUTH_MANAGER": "strict_auth.Strict",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin,viewer:viewer",
        "AIRFLOW__USAGE_PROVIDER__ARCHIVE_URL": archive_url,
    }
    with ApiServer(home, env=environment, passwords={"admin": "one", "viewer": "two"}) as server:
        yield server


@pytest.mark.parametrize("route", ROUTES)
def test_nobody_sees_anything(server, route):
    status, text = server.ask(f"llm-usage/{route}")
    assert status == 401
    assert "usage" not in text.lower()


@pytest.mark.parametrize("route", ROUTES)
def test_a_viewer_without_the_right_sees_nothing(server, route):
    assert server.ask(f"llm-usage/{route}", Authorization=f"Bearer {server.token('viewer')}")[0] == 403


@pytest.mark.parametrize("route", ROUTES)
def test_who_has_the_right_sees_every_page_also_by_the_cookie(server, route):
    token = server.token("admin")
    for header in ({"Authorization": f"Bearer {token}"}, {"Cookie": f"_token={token}"}):
        status, text = server.ask(f"llm-usage/{route}", **header)
        assert status == (200 if route in SHOWN else 404)
        assert SHOWN.get(route, "no such page") in text


def test_the_navigation_has_the_pages_at_a_relative_address(server):
    _, answer = server.ask("api/v2/plugins", Authorization=f"Bearer {server.token('admin')}")
    plugins = {plugin["name"]: plugin for plugin in json.loads(answer)["plugins"]}
    assert [view["href"] for view in plugins["llm_usage"]["external_views"]] == ["llm-usage/"]
