"""The pages of the UI in a real API server, below a path: who may see them is Airflow's to say, at every route."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import date

import pytest

from airflow_usage_provider.archive.catalog import Selection
from airflow_usage_provider.archive.keys import ArchiveLocation
from airflow_usage_provider.tables.focusfiles import write_focus
from airflow_usage_provider.tables.layout import Month
from airflow_usage_provider.tables.shelf import S3Shelf
from airflow_usage_provider.tables.target import S3Target
from airflow_usage_provider.tables.update import update_tables
from airflow_usage_provider.testing.leash import Leash
from sandbox.airflow_standalone import AirflowStandalone
from sandbox.demo import describe_environment
from tests.unit.tables.months import MonthArchive

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]
ROUTES = ("", "spend.csv", "coverage", "revisions", "closes", "docs", "openapi.json", "anything/else")
SHOWN = {
    "": "langdock",
    "spend.csv": "langdock,acme,",
    "coverage": "langdock/acme/api_keys",
    "revisions": "None.",
    "closes": "abcd",
}
PASSWORDS = {"admin": "one", "viewer": "two"}
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


class ApiServer:
    """Airflow's API server alone, on a database of its own, below ``/airflow``."""

    def __init__(self, airflow: AirflowStandalone) -> None:
        self.airflow = airflow
        self.url = f"{airflow.url}/airflow"
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def start(self) -> Leash:
        migrated = self.airflow.run("db", "migrate")
        assert migrated.returncode == 0, migrated.stderr
        process, leash = self.airflow._spawn("api-server", log=self.airflow.log)
        deadline = time.monotonic() + 120
        while self.ask("api/v2/version")[0] != 200:
            if process.poll() is not None or time.monotonic() > deadline:
                leash.end(5)
                pytest.fail(self.airflow.logs()[-3000:])
            time.sleep(0.25)
        return leash

    def ask(self, path: str, *, body: object = None, **headers: str) -> tuple[int, str]:
        request = urllib.request.Request(f"{self.url}/{path}", headers=headers)
        if body is not None:
            request.add_header("Content-Type", "application/json")
            request.data = json.dumps(body).encode()
        try:
            with self.opener.open(request, timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def token(self, name: str) -> str:
        _, answer = self.ask("auth/token", body={"username": name, "password": PASSWORDS[name]})
        return json.loads(answer)["access_token"]


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
    key = "ui-live/closes/2026-10/20261110T130000Z-abcd/close.json"
    client.put_object(Bucket=s3_server.bucket, Key=key, Body=json.dumps(close).encode())
    client.close()
    return f"s3://{s3_server.bucket}/ui-live"


@pytest.fixture(scope="module")
def server(archive_url, running_sandbox, s3_server, tmp_path_factory) -> Iterator[ApiServer]:
    home = tmp_path_factory.mktemp("ui")
    (home / "strict_auth.py").write_text(AUTH)
    airflow = AirflowStandalone(home, env=describe_environment(running_sandbox, s3_server))
    airflow.env |= {
        "AIRFLOW__API__BASE_URL": f"{airflow.url}/airflow",
        "AIRFLOW__CORE__AUTH_MANAGER": "strict_auth.Strict",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin,viewer:viewer",
        "AIRFLOW__USAGE_PROVIDER__ARCHIVE_URL": archive_url,
        "PYTHONPATH": f"{home}:{airflow.env.get('PYTHONPATH', '')}".rstrip(":"),
    }
    airflow._prepare_home()
    (home / "simple_auth_manager_passwords.json.generated").write_text(json.dumps(PASSWORDS))
    server = ApiServer(airflow)
    leash = server.start()
    yield server
    leash.end(5)


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
