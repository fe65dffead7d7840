"""Whatever lies under a manifest's name: a manifest that can be relied on, or ``ArchiveCorruptError``."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_usage_provider.archive.manifest import FileEntry, Manifest
from airflow_usage_provider.exceptions import ArchiveCorruptError

ENTRY = dict.fromkeys([entry.name for entry in fields(FileEntry)], "x") | {"bytes": 1, "raw_bytes": 2, "rows": 3}
DOCUMENT: dict[str, Any] = {
    "manifest_version": 1, "vendor": "langdock", "account": "acme", "stream": "api_keys", "usage_date": "2026-11-20",
    "timezone": "UTC", "window_requested": {}, "window_returned": None, "snapshot_id": "20261121T020003Z-7f3a91c2",
    "snapshot_at": "2026-11-21T02:00:05+00:00", "maturity": "final", "revision": 1, "previous": None,
    "unchanged": False, "empty": False, "rows": 3, "vendor_rows": 3, "pages": 1, "duplicates": 0, "files": [ENTRY],
    "columns": ["a"], "columns_added": [], "columns_removed": [], "envelope": {}, "request": {}, "airflow": {},
    "tool": {},
}  # fmt: skip
BODY = json.dumps(DOCUMENT).encode()
HOSTILE = settings(max_examples=150, derandomize=True, database=None, deadline=None)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


def read(body: bytes) -> Manifest | None:
    """The manifest, with members that those who read it can rely on; None if it was refused."""
    try:
        manifest = Manifest.from_json(body, key="raw/x/_manifest.json")
    except ArchiveCorruptError:
        return None
    assert isinstance(manifest.revision + sum(entry.bytes for entry in manifest.files), int)
    assert all(isinstance(name, str) for name in (manifest.snapshot_id, manifest.usage_date, *manifest.columns))
    assert manifest.empty in {True, False}
    return manifest


def test_the_document_the_others_break_is_a_manifest() -> None:
    assert read(BODY) is not None


@given(where=st.integers(0, len(BODY)), length=st.integers(0, 20), noise=st.binary(max_size=20))
@HOSTILE
def test_a_manifest_with_other_bytes_in_it_is_read_or_refused(where: int, length: int, noise: bytes) -> None:
    read(BODY[:where] + noise + BODY[where + length :])


@given(where=st.integers(0, len(BODY) - 1))
@HOSTILE
def test_a_cut_manifest_is_refused(where: int) -> None:
    assert read(BODY[:where]) is None


@given(name=st.sampled_from(sorted(DOCUMENT)), value=json_values)
@HOSTILE
def test_a_manifest_with_a_member_of_another_kind_is_read_or_refused(name: str, value: Any) -> None:
    read(json.dumps(DOCUMENT | {name: value}).encode())


@given(name=st.sampled_from(sorted(ENTRY)), value=json_values)
@HOSTILE
def test_a_manifest_with_an_odd_file_is_read_or_refused(name: str, value: Any) -> None:
    read(json.dumps(DOCUMENT | {"files": [ENTRY | {name: value}]}).encode())


@given(value=json_values)
@HOSTILE
@example(value=[])
@example(value={"manifest_version": True})
def test_any_other_json_is_refused(value: Any) -> None:
    assert read(json.dumps(value).encode()) is None


@given(body=st.binary(max_size=100))
@HOSTILE
def test_any_other_bytes_are_refused(body: bytes) -> None:
    assert read(body) is None


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        BODY.replace(b'"envelope": {}', b'"envelope": {"a": ' + b"[" * 700 + b"]" * 700 + b"}"),
        BODY.replace(b'"envelope": {}', b'"envelope": {"a": ' + b"[" * 900 + b"]" * 900 + b"}"),
        BODY.replace(b'"revision": 1', b'"revision": 1' + b"0" * 5000),
        BODY.replace(b'"manifest_version": 1', b'"manifest_version": 1' + b"0" * 4000),
        BODY.decode().encode("utf-16"),
    ],
    ids=["deep", "deep and closed", "deep envelope", "deeper envelope", "long number", "long version", "UTF-16"],
)
def test_what_a_parser_chokes_on_is_read_or_refused(body: bytes) -> None:
    read(body)
