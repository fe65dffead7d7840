"""Airflow with one finished run of each DAG, and Debian's chromium to look at it; skipped where either half is missing.

With ``PICTURES=<folder>`` in the environment the tests also leave the pictures of the documentation there.
"""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.airflow_standalone import AirflowStandalone
from sandbox.demo import describe_environment
from sandbox.runs import await_dags, await_runs, switch_on

CHROMIUM = shutil.which("chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--no-proxy-server",
    "--no-first-run",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]
LARGEST_PICTURE = 150_000


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make screenshots")
    if CHROMIUM is None:
        pytest.skip("no chromium here: apt-get install chromium fonts-dejavu-core")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def airflow(browser, running_sandbox, s3_server, tmp_path_factory) -> Iterator[AirflowStandalone]:
    environment = describe_environment(running_sandbox, s3_server) | {
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
    }
    with AirflowStandalone(tmp_path_factory.mktemp("browser"), env=environment, timeout=400) as server:
        await_dags(server)
        switch_on(server)
        await_runs(server, 1)
        yield server


@pytest.fixture
def page(browser, airflow) -> Iterator[Any]:
    """An empty window, large enough to show a whole form."""
    context = browser.new_context(base_url=airflow.url, viewport={"width": 1200, "height": 1500}, locale="en-US")
    context.set_default_timeout(60_000)
    yield context.new_page()
    context.close()


@pytest.fixture
def take_picture() -> Callable[[str, Any], None]:
    """Save what a page or a part of it looks like, when pictures are wanted."""
    folder = os.environ.get("PICTURES")

    def take(name: str, shown: Any, **options: Any) -> None:
        if folder:
            from PIL import Image

            picture = Image.open(io.BytesIO(shown.screenshot(animations="disabled", **options))).convert("RGB")
            path = Path(folder, f"{name}.png")
            picture.quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)
            assert path.stat().st_size < LARGEST_PICTURE

    return take
