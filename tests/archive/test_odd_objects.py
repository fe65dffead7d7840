"""Whatever lies in a folder: the command ends with 0, 1 or 2, soon, and harms no other day."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from samples import Copy, download, live

from airflow_usage_provider.cli import main

HOSTILE = settings(
    max_examples=15,
    phases=[Phase.explicit, Phase.generate],  # an archive is too slow to look for the smallest
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
DAY = "raw/vendor=langdock/account=eu%2Facme/stream=api_keys/usage_date=2026-01-02"

words = st.sampled_from(
    ["raw", "vendor=langdock", "vendor=", "account=eu%2Facme", "account=%ff", "stream=api_keys", "stream=\x1b[2J",
     "usage_date=2026-01-02", "usage_date=9999-12-31", "usage_date=0000-00-00", "snapshot=20260103T020000Z-00000000",
     "snapshot=20261399T000000Z-0000abcd", "snapshot=99991231T235959Z-00000000", "_manifest.json", "part-00000.csv.gz",
     "part-", "\u202e", "a b"]
)  # fmt: skip
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture
def copy(s3_client: Any, tmp_path: Path) -> Copy:
    return download(live(s3_client)[1], tmp_path / "archive")


def run_all(copy: Copy) -> None:
    """Every command that reads, and the day that nobody touched."""
    folder = str(copy.folder)
    for command in (["ls"], ["ls", "--as-of", "2026-02-01"], ["verify"], ["show", "2026-01-02"]):
        assert main([command[0], folder, *command[1:], "--jobs", "2"]) in (0, 1, 2)
    assert main(["verify", folder, "--jobs", "2", "--vendor", "keywordsai"]) == 0
    sys.stdout.flush()


@given(path=st.lists(words, min_size=1, max_size=7), body=st.binary(max_size=30))
@HOSTILE
def test_a_file_of_any_name(copy: Copy, path: list[str], body: bytes) -> None:
    target = copy.folder.joinpath("raw", *path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(body)
    except OSError:
        return  # a folder is in its place, or the other way round
    run_all(copy)
    target.unlink()


@given(name=st.sampled_from(["snapshot_id", "snapshot_at", "files", "previous", "rows", "maturity", "timezone",
    "columns", "schema", "usage_date", "manifest_version", "vendor_rows"]), value=json_values)  # fmt: skip
@HOSTILE
def test_a_manifest_with_any_member(copy: Copy, name: str, value: Any) -> None:
    path = copy.find(f"{DAY}/*/_manifest.json", -1)
    body = path.read_bytes()
    path.write_text(json.dumps(json.loads(body) | {name: value}))
    run_all(copy)
    path.write_bytes(body)


@pytest.mark.parametrize(
    "body",
    [
        b"[" + b"{}," * 700_000 + b"{}]",
        b'{"files":[' + b"{}," * 700_000 + b"{}]}",
        b'{"columns":[' + b"1," * 1_000_000 + b"1]}",
        b'{"a":' * 100_000,
        b"9" * 2_000_000,
    ],
    ids=["objects", "files", "columns", "depth", "digits"],
)
def test_a_bad_manifest_is_refused_long_before_its_last_fault(
    copy: Copy, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jsonschema import Draft202012Validator

    told: list[Any] = []
    find = Draft202012Validator.iter_errors
    monkeypatch.setattr(
        Draft202012Validator, "iter_errors", lambda self, document: map(told.append, find(self, document))
    )
    copy.find(f"{DAY}/*/_manifest.json", -1).write_bytes(body)
    assert main(["verify", str(copy.folder), "--since", "2026-01-02", "--until", "2026-01-02"]) == 1
    assert len(told) < 100
