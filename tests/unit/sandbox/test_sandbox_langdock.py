"""The sandbox's Langdock validates as documented, and its files are what the envelope says."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import requests

if TYPE_CHECKING:
    from sandbox.server import Sandbox

DAY = (datetime.now(UTC) - timedelta(days=3)).date()


def window(
    first: str = f"{DAY}T00:00:00.000Z", last: str = f"{DAY}T23:59:59.999Z", zone: str = "UTC"
) -> dict[str, Any]:
    return {"from": {"date": first, "timezone": zone}, "to": {"date": last, "timezone": zone}}


def ask(
    sandbox: Sandbox, key: str, body: object = None, path: str = "/export/api-keys", **headers: str
) -> requests.Response:
    headers["Authorization"] = f"Bearer {key}"
    return requests.post(sandbox.url + path, json=body or window(), headers=headers, timeout=10)


def offer(sandbox: Sandbox, key: str, path: str = "/export/api-keys") -> dict[str, Any]:
    data: dict[str, Any] = ask(sandbox, key, path=path).json()["data"]
    return data


def fetch(sandbox: Sandbox, key: str, path: str = "/export/api-keys") -> bytes:
    return requests.get(offer(sandbox, key, path)["downloadUrl"], timeout=10).content


def records(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))


@pytest.mark.parametrize("kind", ["users", "agents", "assistants", "api-keys", "projects", "models", "workflows"])
def test_record_count_is_the_number_of_csv_records_even_with_line_breaks_in_cells(sandbox: Sandbox, kind: str) -> None:
    for switches in ("rows=2500;multiline=1;byok=1", "bom=1;crlf=1;extra_column=1", "final_newline=0;user_data=0"):
        data = offer(sandbox, f"sk-acme;{switches}", f"/export/{kind}/csv")
        content = requests.get(data["downloadUrl"], timeout=10).content
        head, *rows = records(content)
        assert len(rows) == data["recordCount"] > 0
        assert head[:3] == ["period_start", "period_end", "org_id"]
        assert {len(row) for row in rows} == {len(head)}


def test_rows_are_distinct_and_depend_on_the_day_only(sandbox: Sandbox) -> None:
    content = fetch(sandbox, "sk-acme;rows=3000")
    assert content == fetch(sandbox, "sk-acme;rows=3000;latency=0.01")
    keys = [row[3] for row in records(content)[1:]]
    assert len(set(keys)) == 3000
    assert content.startswith(fetch(sandbox, "sk-acme;rows=5"))


def test_the_same_path_answers_under_a_dedicated_deployments_prefix(sandbox: Sandbox) -> None:
    assert fetch(sandbox, "sk-acme", "/api/public/export/users") == fetch(sandbox, "sk-acme", "/export/users")


def test_the_json_route_has_the_rows_of_the_csv_route(sandbox: Sandbox) -> None:
    body = ask(sandbox, "sk-acme;rows=1300", path="/export/users/json").json()
    head, *rows = records(fetch(sandbox, "sk-acme;rows=1300", "/export/users"))
    assert body["metadata"]["recordCount"] == len(body["data"]) == len(rows)
    assert [row["user_id"] for row in body["data"]] == [row[head.index("user_id")] for row in rows]


def test_cells_hold_what_users_type(sandbox: Sandbox) -> None:
    names = {row[4] for row in records(fetch(sandbox, "sk-acme;rows=50"))[1:]}
    assert {"=SUM(A1:A9)", 'Ops, "night shift"', "Vertrieb Zürich 🦊"} <= names


@pytest.mark.parametrize(
    "body",
    [
        {"from": {"date": f"{DAY}T00:00:00.000Z"}, "to": {"date": f"{DAY}T23:59:59.999Z", "timezone": "UTC"}},
        {"from": window()["from"]},
        window(first=f"{DAY}T00:00:00.000+00:00"),
        window(first=f"{DAY}T00:00:00Z"),
        window(first=f"{DAY}T00:00:00.000"),
        window(zone="Mars/Olympus"),
        window(last=f"{DAY - timedelta(days=1)}T23:59:59.999Z"),
        window(first=f"{DAY - timedelta(days=400)}T00:00:00.000Z"),
        window() | {"group_by": "deployment"},
        [1],
    ],
)
def test_a_body_the_documentation_forbids_is_refused(sandbox: Sandbox, body: object) -> None:
    answer = ask(sandbox, "sk-acme", body)
    assert answer.status_code == 400
    assert set(answer.json()) == {"error", "message"}


def test_group_by_is_checked_per_stream(sandbox: Sandbox) -> None:
    grouped = window() | {"group_by": "model"}
    assert ask(sandbox, "sk-acme", grouped).status_code == 200
    assert ask(sandbox, "sk-acme", grouped, "/export/projects").status_code == 400
    deployment = window() | {"group_by": "deployment"}
    assert ask(sandbox, "sk-acme", deployment, "/export/models").status_code == 400
    assert ask(sandbox, "sk-acme;byok=1", deployment, "/export/models").status_code == 200


@pytest.mark.parametrize("header", ["Origin", "Referer", "Sec-Fetch-Mode"])
def test_browsers_are_refused(sandbox: Sandbox, header: str) -> None:
    assert ask(sandbox, "sk-acme", **{header: "https://example.com"}).status_code == 403


def test_a_signed_url_expires(sandbox: Sandbox) -> None:
    answer = requests.get(offer(sandbox, "sk-acme;url_lifetime=0")["downloadUrl"], timeout=10)
    assert answer.status_code == 403
    assert "<Message>Request has expired</Message>" in answer.text


def test_a_signed_url_refuses_authorization_and_tampering(sandbox: Sandbox) -> None:
    url = offer(sandbox, "sk-acme")["downloadUrl"]
    assert requests.get(url, headers={"Authorization": "Bearer sk-acme"}, timeout=10).status_code == 400
    assert requests.get(url[:-1] + ("0" if url[-1] != "0" else "1"), timeout=10).status_code == 403
    assert requests.get(url.partition("?")[0], timeout=10).status_code == 403
    assert requests.get(url, timeout=10).status_code == 200


def test_a_signed_url_may_not_be_there_yet(sandbox: Sandbox) -> None:
    url = offer(sandbox, "sk-acme;ready_after=1000")["downloadUrl"]
    assert requests.get(url, timeout=10).status_code == 404
    later = [offer(sandbox, "sk-acme;ready_after_requests=2")["downloadUrl"] for _ in range(3)]
    assert [requests.get(url, timeout=10).status_code for url in later] == [404, 404, 200]


def test_head_and_ranges_are_answered(sandbox: Sandbox) -> None:
    url = offer(sandbox, "sk-acme;rows=4000")["downloadUrl"]
    whole = requests.get(url, timeout=10).content
    head = requests.head(url, timeout=10)
    assert (head.status_code, head.content, int(head.headers["content-length"])) == (200, b"", len(whole))
    probe = requests.get(url, headers={"Range": "bytes=0-0"}, timeout=10)
    assert (probe.status_code, probe.content) == (206, whole[:1])
    assert probe.headers["content-range"] == f"bytes 0-0/{len(whole)}"
    middle = requests.get(url, headers={"Range": "bytes=300000-400000"}, timeout=10)
    assert middle.content == whole[300000:400001]
    ignored = offer(sandbox, "sk-acme;rows=4000;ignore_range=1")["downloadUrl"]
    assert requests.get(ignored, headers={"Range": "bytes=0-0"}, timeout=10).status_code == 200


@pytest.mark.parametrize(("claim", "count"), [("+1", 6), ("-1", 4), ("99", 99)])
def test_record_count_can_disagree_with_the_file(sandbox: Sandbox, claim: str, count: int) -> None:
    data = offer(sandbox, f"sk-acme;rows=5;record_count={claim}")
    assert data["recordCount"] == count
    assert len(records(requests.get(data["downloadUrl"], timeout=10).content)) == 6


def test_a_claim_that_is_no_number_is_refused_by_name(sandbox: Sandbox) -> None:
    answer = ask(sandbox, "sk-acme;record_count=many")
    assert (answer.status_code, "'record_count'" in answer.json()["message"]) == (400, True)


def test_one_row_can_be_too_short(sandbox: Sandbox) -> None:
    head, *rows = records(fetch(sandbox, "sk-acme;rows=5;ragged=1"))
    assert [len(row) - len(head) for row in rows] == [0, 0, 0, 0, -1]


def test_an_empty_period_has_three_forms(sandbox: Sandbox) -> None:
    missing = ask(sandbox, "sk-acme;empty=404")
    assert (missing.status_code, missing.json()["error"]) == (404, "No data found")
    assert offer(sandbox, "sk-acme;empty=200") | {"dateRange": 0, "dataType": 0} == {
        "filePath": None,
        "downloadUrl": None,
        "dataType": 0,
        "recordCount": 0,
        "dateRange": 0,
    }
    assert len(records(fetch(sandbox, "sk-acme;empty=header"))) == 1


def test_a_day_is_revised_and_then_vanishes(sandbox: Sandbox) -> None:
    key = "sk-acme;revise_after=1;vanish_after=2"
    assert fetch(sandbox, key) != fetch(sandbox, key)
    assert ask(sandbox, key).status_code == 404


def test_errors_have_the_flat_and_the_nested_shape(sandbox: Sandbox) -> None:
    flat = ask(sandbox, "sk-acme;error=400-too-large").json()
    assert (flat["error"], "USAGE_EXPORT_TOO_LARGE" in flat["message"]) == ("Export too large", True)
    nested = ask(sandbox, "sk-acme;error=403;nested_error=1").json()
    assert (nested["type"], nested["error"]["type"]) == ("error", "forbidden")


def test_the_host_of_signed_urls_can_be_chosen(sandbox: Sandbox) -> None:
    assert offer(sandbox, "sk-acme;download_host=localhost")["downloadUrl"].startswith("http://localhost:")


def test_a_broken_download_heals_after_its_number_of_times(sandbox: Sandbox) -> None:
    url = offer(sandbox, "sk-acme;download=500;download_times=1")["downloadUrl"]
    assert [requests.get(url, timeout=10).status_code for _ in range(2)] == [500, 200]


def test_invalid_json_is_invalid(sandbox: Sandbox) -> None:
    with pytest.raises(ValueError, match="Expecting value"):
        json.loads(ask(sandbox, "sk-acme;body=invalid").content)
