"""What people see in Airflow's own pages: connection forms, the Test button, the DAGs, a finished task."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from airflow_usage_provider.get_provider_info import get_provider_info

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]
FORMS = {form["connection-type"]: form for form in get_provider_info()["connection-types"]}
TASKS = {
    "keywordsai_users_daily": ["plan", "wait_until_settled", "archive_users", "tell", "complete"],
    "langdock_usage_daily": [
        "plan",
        "wait_until_settled",
        "api_keys",
        "api_keys_by_model",
        "models",
        "tell",
        "complete",
    ],
}


def open_form(page, vendor, conn_id):
    """Begin a new connection of a vendor's type; return its dialog."""
    page.goto("/connections")
    page.get_by_role("button", name="Add Connection").click()
    dialog = page.get_by_role("dialog")
    dialog.locator("input[name=connection_id]").fill(conn_id)
    dialog.get_by_role("combobox").first.click()
    page.keyboard.type(FORMS[vendor]["hook-name"])
    page.get_by_role("option", name=FORMS[vendor]["hook-name"], exact=True).click()
    dialog.locator("input[name=host]").wait_for()
    return dialog


def open_run(page, airflow, dag_id):
    """Open the page of the scheduled run that has finished; return its id."""
    (run,) = airflow.api("GET", f"/api/v2/dags/{dag_id}/dagRuns?run_type=scheduled")["dag_runs"]
    page.goto(f"/dags/{dag_id}/runs/{run['dag_run_id']}")
    return run["dag_run_id"]


@pytest.mark.parametrize("vendor", FORMS)
def test_a_form_has_the_vendors_words_and_no_field_of_no_use(page, vendor, take_picture):
    form = FORMS[vendor]
    dialog = open_form(page, vendor, f"{vendor}_acme")
    for name, placeholder in form["ui-field-behaviour"]["placeholders"].items():
        assert dialog.locator(f"input[name={name}]").get_attribute("placeholder") == placeholder
    assert dialog.locator("input[name=password]").get_attribute("type") == "password"
    for label in ("Base URL", "API key", "Port"):
        assert dialog.get_by_text(label, exact=True).is_visible()
    for name in ("login", "schema"):
        assert dialog.locator(f"input[name={name}]").count() == 0
    if vendor == "langdock":
        take_picture("connection", dialog)

    dialog.get_by_text("Extra Fields", exact=True).click()
    dialog.get_by_text(form["conn-fields"]["account"]["description"]).wait_for()
    fields = [name.removeprefix("element_") for name in names_of_inputs(dialog) if name.startswith("element_")]
    assert fields == list(form["conn-fields"])
    for field in form["conn-fields"].values():
        assert dialog.get_by_text(field["label"], exact=True).first.is_visible()
        assert dialog.get_by_text(field["description"], exact=True).is_visible()
    assert not dialog.get_by_text("null", exact=True).is_visible()


def names_of_inputs(dialog):
    return [element.get_attribute("name") or "" for element in dialog.locator("input").all()]


@pytest.mark.parametrize("vendor", FORMS)
def test_the_test_button_tells_a_right_key_from_a_wrong_one(page, airflow, running_sandbox, vendor, take_picture):
    page.set_viewport_size({"width": 1200, "height": 680})
    for conn_id, key in ((f"{vendor}_right", "sk-acme"), (f"{vendor}_wrong", "no-such-key")):
        dialog = open_form(page, vendor, conn_id)
        for name, value in (
            ("host", running_sandbox.url),
            ("port", running_sandbox.url.rpartition(":")[2]),
            ("password", key),
        ):
            dialog.locator(f"input[name={name}]").fill(value)
        dialog.get_by_role("button", name="Save").click()
        dialog.wait_for(state="detached")
    page.goto("/connections")  # without what it said of the new connections
    try:
        right, right_icon = test_connection(page, f"{vendor}_right", "Test Connection Successful")
        wrong, wrong_icon = test_connection(page, f"{vendor}_wrong", "Test Connection Failed")
        if vendor == "langdock":
            take_picture("connection-test", page)
    finally:
        for conn_id in (f"{vendor}_right", f"{vendor}_wrong"):
            airflow.api("DELETE", f"/api/v2/connections/{conn_id}")
    assert right == f"{running_sandbox.url} accepted the API key."
    assert re.fullmatch(r"The API key was refused \(vendor .*status 401.*\)\. Check .*", wrong)
    assert "no-such-key" not in page.content()
    assert (right_icon, wrong_icon) == ("green", "red")


def test_connection(page, conn_id, title):
    """Press the button; return what it says, and the colour it turns."""
    button = page.get_by_role("row").filter(has_text=conn_id).get_by_role("button", name="Test Connection")
    button.click()
    toast = page.locator("[data-scope=toast][data-part=root]").filter(has_text=title).first
    toast.wait_for()
    page.mouse.move(0, 0)  # else the button's tooltip would cover the next one
    heading, _, sentence = toast.inner_text().partition("\n")
    assert heading == title
    return sentence, button.locator("svg").get_attribute("color")


test_connection.__test__ = False


@pytest.mark.parametrize("dag_id", TASKS)
def test_the_graph_shows_every_task_of_a_run_in_success(page, airflow, dag_id, take_picture):
    page.set_viewport_size({"width": 1500, "height": 640})
    open_run(page, airflow, dag_id)
    page.get_by_role("button", name="Show Graph").click()
    graph = page.locator(".react-flow")
    page.get_by_role("button", name="Expand all task groups").click()
    for task_id in TASKS[dag_id]:
        node = graph.locator(".react-flow__node").filter(has_text=task_id).first
        node.get_by_text("success").wait_for()
    graph.locator(".react-flow__edge").nth(len(TASKS[dag_id]) - 2).wait_for(state="attached")
    page.get_by_role("button", name="Fit View").click()
    page.wait_for_timeout(1000)  # the graph glides into its place
    if dag_id == "langdock_usage_daily":
        take_picture("graph", graph)


@pytest.mark.parametrize("dag_id", TASKS)
def test_the_dags_documentation_is_rendered(page, dag_id):
    page.goto(f"/dags/{dag_id}")
    page.get_by_role("button", name="Dag Docs").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("heading", level=3).wait_for()
    assert dialog.get_by_role("listitem").count() == 4
    text = dialog.inner_text()
    assert "usage_date" in text
    assert not re.search(r"[*`#]", text)


def test_one_day_is_archived_by_hand(page, airflow, take_picture):
    day = (datetime.now(UTC) - timedelta(days=9)).date().isoformat()
    page.goto("/dags/keywordsai_users_daily")
    page.get_by_role("button", name="Trigger").first.click()
    dialog = page.get_by_role("dialog")
    field = dialog.locator("input[name=element_usage_date]")
    field.fill(day)
    assert field.get_attribute("type") == "date"
    assert dialog.get_by_text("The day to archive. Left empty: the day before the run's date.").is_visible()
    take_picture("trigger", dialog)
    with page.expect_response(lambda answer: answer.request.method == "POST" and "dagRuns" in answer.url) as posted:
        dialog.get_by_role("button", name="Trigger").click()
    assert posted.value.json()["conf"] == {"usage_date": day}
    run = f"/api/v2/dags/keywordsai_users_daily/dagRuns/{posted.value.json()['dag_run_id']}"
    for _ in range(120):
        if airflow.api("GET", run)["state"] == "success":
            break
        page.wait_for_timeout(1000)
    result = f"{run}/taskInstances/users.archive_users/xcomEntries/return_value?map_index=0&stringify=false"
    assert airflow.api("GET", result)["value"][0]["usage_date"] == day


def test_a_finished_task_has_a_log_to_follow_and_a_link_to_s3(page, airflow, s3_server, take_picture):
    page.set_viewport_size({"width": 1500, "height": 640})
    run_id = open_run(page, airflow, "langdock_usage_daily")
    task = f"/dags/langdock_usage_daily/runs/{run_id}/tasks/api_keys_by_model.archive_export/mapped/0"
    page.goto(task)
    page.get_by_text("Archived langdock/acme/api_keys_by_model of").first.wait_for()
    assert page.get_by_text("langdock_default").first.is_visible()
    take_picture("task-log", page)

    page.goto(f"{task}/details")
    link = page.get_by_role("link", name="Snapshot in S3")
    link.wait_for()
    folder = r"llm-usage/raw/vendor%3Dlangdock/account%3Dacme/stream%3Dapi_keys_by_model/usage_date%3D[\d-]{10}/"
    console = rf"https://console\.aws\.amazon\.com/s3/buckets/{s3_server.bucket}\?prefix={folder}snapshot%3D[\w-]+/"
    assert re.fullmatch(console, link.get_attribute("href"))
    take_picture("task-link", page)
