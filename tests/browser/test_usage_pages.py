"""The pages *LLM usage* within Airflow's own, below a path, as a browser shows them that runs none of our scripts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_usage_provider.archive.catalog import Selection
from airflow_usage_provider.archive.keys import ArchiveLocation
from airflow_usage_provider.tables.focusfiles import write_focus
from airflow_usage_provider.tables.layout import Month
from airflow_usage_provider.tables.shelf import S3Shelf
from airflow_usage_provider.tables.target import S3Target
from airflow_usage_provider.tables.update import update_tables
from sandbox.airflow_api import ApiServer
from sandbox.demo import describe_environment
from tests.unit.tables.months import OCTOBER, MonthArchive

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def server(browser, running_sandbox, s3_server, tmp_path_factory) -> Iterator[ApiServer]:
    archive, client = MonthArchive(tmp_path_factory.mktemp("pages") / "archive"), s3_server.client()
    for day in OCTOBER:
        if day.day != 19:
            archive.store_export(day)
        archive.store_export(day, "model")
        archive.store_users(day, revision=2 if day.day in (7, 8) else 1)
    tables = ArchiveLocation(s3_server.bucket, "pages/tables")
    write_focus(archive.objects, Month(2026, 10), S3Shelf(client, tables))
    assert all(not outcome.error for outcome in update_tables(archive.objects, S3Target(client, tables), Selection()))
    client.close()
    environment = describe_environment(running_sandbox, s3_server)
    environment["AIRFLOW__USAGE_PROVIDER__ARCHIVE_URL"] = f"s3://{s3_server.bucket}/pages"
    with ApiServer(tmp_path_factory.mktemp("home"), env=environment) as server:
        yield server


@pytest.fixture
def frame(browser, server) -> Iterator[Any]:
    """Airflow, opened at the pages by its navigation."""
    context = browser.new_context(viewport={"width": 1200, "height": 960}, locale="en-US")
    context.set_default_timeout(60_000)
    page = context.new_page()
    page.goto(f"{server.url}/")
    page.get_by_text("LLM usage").first.click()
    page.wait_for_selector("iframe")
    yield page.frame_locator("iframe")
    context.close()


def test_the_navigation_leads_to_what_a_month_cost(frame, take_picture: Callable[..., None]):
    frame.get_by_role("heading", name="Spend").wait_for()
    assert frame.locator("svg rect").count() == 62
    take_picture("usage-spend", frame.owner.page)
    frame.get_by_role("button", name="Show").click()
    frame.get_by_role("heading", name="By principal").wait_for()


def test_coverage_and_revisions_are_a_click_away(frame, take_picture: Callable[..., None]):
    frame.get_by_role("link", name="Coverage").click()
    frame.get_by_role("heading", name="Days and streams").wait_for()
    assert frame.locator("td.missing").count() == 1
    take_picture("usage-coverage", frame.owner.page)
    frame.get_by_role("link", name="Revisions").click()
    frame.get_by_role("heading", name="What changed after it was first archived").wait_for()
    frame.get_by_role("link", name="Closes").click()
    frame.get_by_text("No month is closed yet.").wait_for()
