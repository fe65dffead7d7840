"""The report of a month as a reader's browser shows it: light, dark and on paper, without a network or a script."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_usage_provider.tables.layout import Month
from airflow_usage_provider.tables.owners import parse_owners
from airflow_usage_provider.tables.report import gather_report, render_report
from tests.unit.tables.months import OCTOBER, MonthArchive

pytestmark = pytest.mark.browser
OWNERS = b"vendor,principal,owner,cost_center\nlangdock,,Platform,4711\nkeywordsai,team/berlin/*,Berlin,4712\n"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    archive = MonthArchive(tmp_path_factory.mktemp("report") / "archive")
    for day in OCTOBER:
        if day.day != 19:
            archive.store_export(day)
        archive.store_export(day, "model")
        archive.store_users(day, revision=2 if day.day in (7, 8) else 1)
    found = gather_report(
        archive.objects, Month(2026, 10), owners=parse_owners(OWNERS), now=datetime(2026, 11, 10, tzinfo=UTC)
    )
    path = archive.folder.parent / "report.html"
    path.write_text(render_report(found).replace(str(archive.folder), "s3://company-llm-usage/archive"))
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_shows_its_figures_in_any_light(
    browser: Any, report: Path, take_picture: Callable[..., None], scheme: str
) -> None:
    context = browser.new_context(
        viewport={"width": 1000, "height": 900}, color_scheme=scheme, java_script_enabled=False, offline=True
    )
    page = context.new_page()
    told: list[str] = []
    page.on("console", lambda message: told.append(message.text))
    page.goto(report.as_uri())
    assert page.locator("svg rect").count() == 62
    assert page.locator("svg").first.bounding_box()["width"] > 700
    assert page.evaluate("document.documentElement.scrollWidth") <= 1000
    assert told == []
    if scheme == "light":
        take_picture("report", page)
    context.close()


def test_the_report_prints_on_pages_that_are_wide_enough(browser: Any, report: Path) -> None:
    context = browser.new_context(offline=True)
    page = context.new_page()
    page.goto(report.as_uri())
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.pdf(format="A4").startswith(b"%PDF")
    context.close()
