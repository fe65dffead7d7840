from __future__ import annotations

import json
import os
import urllib.error
import urllib.request

import pytest

from benchmarks.measure import Server
from benchmarks.triggerer import format_results
from benchmarks.watching import Polls, Tree


@pytest.fixture
def vendor():
    with Server("polls") as server:
        yield f"http://127.0.0.1:{server.port}", Polls(server.port)


def ask(url, data=None):
    with urllib.request.urlopen(urllib.request.Request(url, data=data)) as answer:
        return json.loads(answer.read())


def status(url, data=None):
    with pytest.raises(urllib.error.HTTPError) as caught:
        ask(url, data)
    caught.value.close()
    return caught.value.code


def body(day):
    return json.dumps({"from": {"date": f"{day}T00:00:00.000Z", "timezone": "UTC"}}).encode()


def test_the_vendor_exports_what_is_never_there_and_remembers_who_asked(vendor):
    url, polls = vendor
    export = ask(f"{url}/export/api-keys", body("2026-01-02"))
    assert status(export["data"]["downloadUrl"]) == 404
    assert status(f"{url}/wait/7") == 404
    assert status(f"{url}/wait/7") == 404
    assert polls.look() == 3
    assert {key: len(times) for key, times in polls.times.items()} == {"2026-01-02": 1, "7": 2}
    assert len(polls.gaps(since=0.0)) == 1


def test_the_vendor_refuses_all_when_told_to(vendor):
    url, polls = vendor
    polls.refuse()
    assert status(f"{url}/export/api-keys", body("2026-01-02")) == 401
    assert status(f"{url}/wait/7") == 401
    assert polls.look() == 2


def test_a_tree_tells_cpu_and_memory():
    tree = Tree(os.getpid())
    tree.watch(0.01)
    assert tree.cpu() > 0
    assert tree.largest > 5
    assert tree.peak > 5


def test_a_trigger_that_does_not_poll_has_empty_cells():
    table = format_results({"idle": {"memory": 160.4, "largest": 140.0, "cpu": 0.011, "started": 1.0}}, 1000)
    assert table.splitlines()[-1] == "| none |  |  | 160, 140 | 1.1 |  |  |  |"
