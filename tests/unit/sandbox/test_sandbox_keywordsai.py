"""The sandbox's Keywords AI keeps to the documentation, and every switch turns what it says."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import requests

from sandbox.__main__ import build_parser
from sandbox.server import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator


def ask(sandbox: Sandbox, key: str, **query: Any) -> requests.Response:
    query = {"summary_type": "daily", "date": "2026-11-20", **query}
    headers = {"Authorization": f"Bearer {key}"}
    return requests.get(f"{sandbox.url}/api/users/", params=query, headers=headers, timeout=10)


def pages(sandbox: Sandbox, key: str, **query: Any) -> Iterator[list[dict[str, Any]]]:
    number = 1
    while True:
        body = ask(sandbox, key, page=number, **query).json()
        yield body["results"]
        if not body["next"]:
            return
        number += 1


def identifiers(sandbox: Sandbox, key: str, **query: Any) -> list[str]:
    return [row["customer_identifier"] for rows in pages(sandbox, key, **query) for row in rows]


def test_the_same_seed_gives_the_same_data_in_another_process(sandbox: Sandbox) -> None:
    program = (
        "import sys, requests; from sandbox.server import Sandbox\n"
        "with Sandbox(seed=7) as sandbox:\n"
        "    query = {'summary_type': 'daily', 'date': '2026-11-20'}\n"
        "    answer = requests.get(sandbox.url + '/api/users/', query, headers={'Authorization': 'Bearer sk-acme'})\n"
        "    sys.stdout.write(answer.text)\n"
    )
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30)
    assert json.loads(other.stdout)["results"] == ask(sandbox, "sk-acme").json()["results"]


def test_another_seed_account_or_day_gives_other_data(sandbox: Sandbox) -> None:
    text = ask(sandbox, "sk-acme").text
    assert text != ask(sandbox, "sk-other").text
    assert text != ask(sandbox, "sk-acme", date="2026-11-19").text
    with Sandbox(seed=8) as other:
        assert ask(other, "sk-acme").json()["results"] != json.loads(text)["results"]


def test_pages_add_up_whatever_their_size(sandbox: Sandbox) -> None:
    whole = identifiers(sandbox, "sk-acme;users=250", page_size=1000)
    assert len(whole) == len(set(whole)) == 250
    assert identifiers(sandbox, "sk-acme;users=250", page_size=7) == whole
    assert len(ask(sandbox, "sk-acme;users=250").json()["results"]) == 100


def test_the_number_of_active_users_varies_by_day(sandbox: Sandbox) -> None:
    days = [len(ask(sandbox, "sk-acme", date=f"2026-11-{day:02d}").json()["results"]) for day in range(1, 11)]
    assert len(set(days)) > 2
    assert all(25 <= count <= 48 for count in days)


def test_small_costs_are_printed_in_scientific_notation(sandbox: Sandbox) -> None:
    assert 'e-05,"total_cost"' in ask(sandbox, "sk-acme;users=300", page_size=1000).text


def test_rows_have_the_documented_columns_in_the_documented_order(sandbox: Sandbox) -> None:
    assert list(ask(sandbox, "sk-acme").json()["results"][0])[:6] == [
        "id",
        "organization_name",
        "email",
        "name",
        "customer_identifier",
        "active_days",
    ]


def test_a_week_is_the_sum_of_its_days(sandbox: Sandbox) -> None:
    week = ask(sandbox, "sk-acme;users=3", summary_type="weekly").json()["results"]
    days = [ask(sandbox, "sk-acme;users=3", date=f"2026-11-{day}").json()["results"] for day in range(16, 23)]
    assert [row["requests"] for row in week] == [sum(day[i]["requests"] for day in days) for i in range(3)]


@pytest.mark.parametrize(
    ("flavour", "status", "body"),
    [
        ("200", 200, None),
        ("404", 404, {"detail": "Invalid page."}),
        ("400", 400, {"detail": "Invalid page number"}),
    ],
)
def test_after_the_last_page_comes_each_flavour_of_end(
    sandbox: Sandbox, flavour: str, status: int, body: dict[str, str] | None
) -> None:
    answer = ask(sandbox, f"sk-acme;users=10;past_end={flavour}", page=3, page_size=5)
    assert answer.status_code == status
    assert answer.json()["results"] == [] if body is None else answer.json() == body


@pytest.mark.parametrize(("flavour", "count"), [("page", 5), ("total", 8), ("page_size_plus_one", 6)])
def test_count_means_what_the_switch_says(sandbox: Sandbox, flavour: str, count: int) -> None:
    assert ask(sandbox, f"sk-acme;users=8;count={flavour}", page_size=5).json()["count"] == count


def test_next_has_each_flavour(sandbox: Sandbox) -> None:
    def link(flavour: str) -> Any:
        return ask(sandbox, f"sk-acme;users=8;next={flavour}", page_size=5).json().get("next", "missing")

    assert "page_size=5" in link("complete")
    assert link("page_only") == f"{sandbox.url}/api/users/?page=2"
    assert link("http") == f"{sandbox.download_url}/api/users/?page=2"
    assert link("missing") == "missing"
    assert link("loop").endswith("page=1")


def test_an_insertion_repeats_a_user_and_a_deletion_skips_one(sandbox: Sandbox) -> None:
    still = identifiers(sandbox, "sk-acme;users=20", page_size=5)
    inserted = identifiers(sandbox, "sk-acme;users=20;drift=insert", page_size=5)
    deleted = identifiers(sandbox, "sk-acme;users=20;drift=delete", page_size=5)
    assert inserted == [*still[:5], *still[4:]]
    assert deleted == [*still[:5], *still[6:]]


def test_drift_ends_after_its_number_of_passes(sandbox: Sandbox) -> None:
    key = "sk-acme;users=20;drift=both;drift_times=1"
    first, second, third = (identifiers(sandbox, key, page_size=5) for _ in range(3))
    assert len(first) != len(set(first)) or first != second
    assert second == third
    assert len(second) == len(set(second)) == 20


def test_a_day_is_revised_and_then_vanishes(sandbox: Sandbox) -> None:
    key = "sk-acme;revise_after=1;vanish_after=2"
    first, second, third = (ask(sandbox, key).json()["results"] for _ in range(3))
    assert [row["customer_identifier"] for row in first] == [row["customer_identifier"] for row in second]
    assert first != second
    assert third == []


def test_the_list_is_cumulative_sorted_and_filtered(sandbox: Sandbox) -> None:
    url, headers = f"{sandbox.url}/api/users/list/", {"Authorization": "Bearer sk-acme"}
    body = {"filters": {"number_of_requests": {"operator": "gte", "value": [1000]}}}
    rows = requests.post(url, {}, body, params={"sort_by": "-total_cost"}, headers=headers, timeout=10).json()[
        "results"
    ]
    assert rows
    assert all(row["number_of_requests"] >= 1000 for row in rows)
    assert [row["total_cost"] for row in rows] == sorted((row["total_cost"] for row in rows), reverse=True)
    assert requests.get(url, headers=headers, timeout=10).json()["results"][0]["environment"] == "prod"


@pytest.mark.parametrize(
    ("key", "status", "word"),
    [
        ("nonsense", 401, "Invalid API key"),
        ("sk-acme;bad_key=403", 403, "Invalid API key"),
        ("sk-acme;colour=red", 400, "'colour'"),
        ("sk-acme;past_end=500", 400, "200|404|400"),
    ],
)
def test_a_key_that_does_not_parse_is_refused_by_name(sandbox: Sandbox, key: str, status: int, word: str) -> None:
    answer = ask(sandbox, key)
    assert answer.status_code == status
    assert word in answer.json()["detail"]


def test_a_fault_ends_after_its_number_of_requests(sandbox: Sandbox) -> None:
    key = "sk-acme;error=500;error_times=2"
    assert [ask(sandbox, key).status_code for _ in range(3)] == [500, 500, 200]


def test_a_fault_can_belong_to_one_page(sandbox: Sandbox) -> None:
    key = "sk-acme;users=8;error=502-html;error_page=2"
    assert [ask(sandbox, key, page=page, page_size=5).status_code for page in (1, 2)] == [200, 502]


def test_the_rate_limit_really_counts_and_belongs_to_the_account(sandbox: Sandbox) -> None:
    answers = [ask(sandbox, f"sk-acme;rate_limit=3;users={n}") for n in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert 0 < answers[-1].json()["retry_after"] <= 60
    assert "retry-after" not in answers[-1].headers


@pytest.mark.parametrize(
    ("place", "header", "body"), [("header", "7", None), ("both", "7", 7), ("neither", None, None)]
)
def test_retry_after_is_where_the_switch_says(sandbox: Sandbox, place: str, header: str, body: int | None) -> None:
    answer = ask(sandbox, f"sk-acme;error=429;retry_after=7;retry_after_in={place}")
    assert answer.headers.get("retry-after") == header
    assert answer.json().get("retry_after") == body


def test_a_body_that_is_not_json_has_the_documentations_own_mistake(sandbox: Sandbox) -> None:
    assert '{"results":[{"id":00001,' in ask(sandbox, "sk-acme;body=invalid").text


def test_requests_of_both_ports_are_recorded_in_order(sandbox: Sandbox) -> None:
    ask(sandbox, "sk-acme;redirect=other")
    first, second = sandbox.requests
    assert (first.port_role, first.path, first.query["date"]) == ("api", "/api/users/", "2026-11-20")
    assert first.headers["authorization"] == "Bearer sk-acme;redirect=other"
    assert (second.port_role, second.path) == ("download", "/api/users/")
    assert first.at <= second.at
    seen = requests.get(f"{sandbox.url}/_sandbox/requests", timeout=10).json()
    assert [record["port_role"] for record in seen] == ["api", "download"]


def test_the_help_names_every_switch() -> None:
    text = build_parser().format_help()
    assert all(word in text for word in ("past_end=200|404|400", "url_lifetime=N", "curl", "--public-host"))
