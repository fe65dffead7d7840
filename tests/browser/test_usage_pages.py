"""The pages *LLM usage* within Airflow's own, below a path, as a browser shows them that runs none of our scripts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from typing import Any

import pytest

from airflow_usage_provider.archive.catalog import Selection
from airflow_usage_provider.archive.keys import ArchiveLocation
from airflow_usage_provider.tables.close import seal_month, write_close
from airflow_usage_provider.tables.focusfiles import write_focus
from airflow_usage_provider.tables.layout import Month
from airflow_usage_provider.tables.owners import parse_owners
from airflow_usage_provider.tables.shelf import S3Shelf
from airflow_usage_provider.tables.target_s3 import S3Target
from airflow_usage_provider.tables.update import update_tables
from sandbox.airflow_api import ApiServer
from sandbox.demo import describe_environment
from tests.unit.tables.months import OCTOBER, MonthArchive

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
SEPTEMBER = [date(2026, 9, number) for number in range(1, 31)]
OWNERS = b"vendor,principal,owner,cost_center\nlangdock,,Platform,4711\nkeywordsai,team/berlin/*,Berlin,4712\n"
VIEWS = {
    "spend": "./",
    "coverage": "coverage",
    "day": "day?vendor=langdock&account=acme&stream=api_keys&date=2026-10-07",
    "revisions": "revisions",
    "closes": "closes",
}


def fill(archive: MonthArchive) -> None:
    """Archive two months: a day is missing, one lags, and two were revised a week later."""
    for day in (*SEPTEMBER, *OCTOBER):
        answers = [archive.store_export(day, "model", **run_of(day))]
        if day != date(2026, 10, 19):
            maturity = "provisional" if day == date(2026, 10, 24) else "final"
            answers.append(archive.store_export(day, maturity=maturity, **run_of(day)))
        archive.store_users(day)
        if day in (date(2026, 10, 7), date(2026, 10, 8)):
            later = datetime(2026, 10, day.day + 8, 2, tzinfo=UTC)
            for group_by, answer in zip(("model", None), answers, strict=True):
                revised = {"revision": 2, "previous": answer.snapshot_id, **run_of(later.date())}
                archive.store_export(day, group_by, at=later, **revised)


def run_of(day: date) -> dict[str, Any]:
    """Return what a manifest says of the run that wrote it."""
    return {"airflow": {"dag_id": "langdock_usage_daily", "run_id": f"scheduled__{day}T00:00:00+00:00"}}


@pytest.fixture(scope="module")
def server(browser, running_sandbox, s3_server, tmp_path_factory) -> Iterator[ApiServer]:
    archive, client = MonthArchive(tmp_path_factory.mktemp("pages") / "archive"), s3_server.client()
    tables = ArchiveLocation(s3_server.bucket, "pages/tables")
    fill(archive)
    for month in (Month(2026, 9), Month(2026, 10)):
        closed_at = datetime(2026, month.number + 1, 10, 13, tzinfo=UTC)
        sealed = seal_month(archive.objects, month, now=closed_at)
        write_close(archive.objects, month, as_of=closed_at, now=closed_at, owners=parse_owners(OWNERS), sealed=sealed)
        write_focus(archive.objects, month, S3Shelf(client, tables))
    outcomes = update_tables(archive.objects, S3Target(client, tables), Selection())
    assert all(not outcome.error for outcome in outcomes)
    for path in archive.folder.rglob("*.*"):
        if path.is_file():
            key = f"pages/{path.relative_to(archive.folder)}"
            client.put_object(Bucket=s3_server.bucket, Key=key, Body=path.read_bytes())
    client.put_object(Bucket=s3_server.bucket, Key="pages/owners.csv", Body=OWNERS)
    client.close()
    environment = describe_environment(running_sandbox, s3_server) | {
        "AIRFLOW__USAGE_PROVIDER__ARCHIVE_URL": f"s3://{s3_server.bucket}/pages",
        "AIRFLOW__USAGE_PROVIDER__OWNERS_URL": f"s3://{s3_server.bucket}/pages/owners.csv",
        "AIRFLOW__USAGE_PROVIDER__BUDGETS": "USD:150",
    }
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
    assert frame.locator("svg line.limit").count() == 1
    assert frame.get_by_role("cell", name="Platform").count() == 1
    take_picture("usage-spend", frame.owner.page)
    frame.get_by_role("button", name="Show").click()
    frame.get_by_role("heading", name="By principal").wait_for()


def test_a_field_of_coverage_leads_to_its_day_and_on_to_the_run(frame, server, take_picture: Callable[..., None]):
    frame.get_by_role("link", name="Coverage").click()
    frame.get_by_role("heading", name="Days and streams").wait_for()
    assert [frame.locator(f"td.{state}").count() for state in ("missing", "lagging", "revised")] == [1, 1, 4]
    take_picture("usage-coverage", frame.owner.page)
    frame.get_by_role("link", name="2026-10-07 revised").first.click()
    frame.get_by_role("heading", name="Snapshots of the day").wait_for()
    take_picture("usage-day", frame.owner.page)
    frame.get_by_role("link", name="scheduled__2026-10-15").first.click()
    frame.get_by_text("DagRun with dag_id: `langdock_usage_daily` and run_id: `scheduled__2026-10-15").wait_for()


def test_revisions_tell_amounts_and_lead_to_their_days(frame, take_picture: Callable[..., None]):
    frame.get_by_role("link", name="Revisions").click()
    frame.get_by_role("heading", name="What changed after it was first archived").wait_for()
    assert frame.get_by_role("row").filter(has_text="USD").count() == 4
    take_picture("usage-revisions", frame.owner.page)


def test_a_close_leads_to_its_report(frame, take_picture: Callable[..., None]):
    frame.get_by_role("link", name="Closes").click()
    frame.get_by_role("heading", name="Closed months").wait_for()
    take_picture("usage-closes", frame.owner.page)
    frame.get_by_role("link", name="2026-10").click()
    frame.get_by_role("heading", name="LLM usage and cost, 2026-10").wait_for()
    assert frame.locator("svg rect").first.evaluate("shape => getComputedStyle(shape).fill") == "rgb(47, 109, 181)"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_every_view_fits_a_narrow_window_in_any_light(browser, server, view: str, scheme: str):
    context = browser.new_context(
        viewport={"width": 400, "height": 800}, color_scheme=scheme, java_script_enabled=False
    )
    page = context.new_page()
    told: list[str] = []
    page.on("console", lambda message: told.append(message.text))
    page.goto(f"{server.url}/llm-usage/{VIEWS[view]}")
    page.get_by_role("navigation", name="Views").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 27, 34)"
    assert dark is (scheme == "dark")
    assert told == []
    page.screenshot(path=f"/tmp/ui-{view}-{scheme}.png", full_page=True)
    context.close()
