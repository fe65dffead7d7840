"""What Airflow loads of the UI in every process, on 3.0 as well."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from airflow import __version__ as version
from fastapi.testclient import TestClient

from airflow_usage_provider.ui.plugin import LazyApp, UsagePlugin

pytestmark = pytest.mark.airflow
ROUTES = ("/", "/spend.csv", "/coverage", "/revisions", "/day", "/closes", "/report")


def test_a_page_stays_closed_if_airflow_cannot_be_asked(caplog):
    def fail() -> Any:
        raise ImportError("cannot import name 'requires_access_view'")

    browser = TestClient(LazyApp(fail))
    assert [browser.get(path).status_code for path in ROUTES] == [503] * len(ROUTES)
    assert caplog.text.count("stay closed") == len(ROUTES)


def test_the_plugin_is_made_of_names_alone():
    if version.split(".")[:2] == ["3", "0"]:  # which knows no such views
        assert (UsagePlugin.fastapi_apps, UsagePlugin.external_views) == ([], [])
        return
    (app,), (view,) = UsagePlugin.fastapi_apps, UsagePlugin.external_views
    assert app["url_prefix"] == "/llm-usage"
    assert view["href"] == "llm-usage/"


def test_the_plugin_costs_processes_nothing_that_show_no_pages():
    code = (
        "import sys; import airflow.plugins_manager, asgiref.sync; before = set(sys.modules)\n"
        "import airflow_usage_provider.ui.plugin\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    own = {"airflow_usage_provider", "airflow_usage_provider.ui", "airflow_usage_provider.ui.plugin"}
    assert set(done.stdout.splitlines()[-1].split()) <= own
