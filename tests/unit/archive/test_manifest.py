"""A manifest is read back as it was written; what a reader would misread is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from airflow_usage_provider.archive.manifest import MANIFEST_VERSION, FileEntry, Manifest, load_manifest_schema
from airflow_usage_provider.exceptions import ArchiveCorruptError

ENTRY = FileEntry(
    key="raw/part-00000.csv.gz",
    bytes=10,
    sha256="0" * 64,
    raw_bytes=20,
    raw_sha256="f" * 64,
    rows=2,
    content_type="text/csv",
    compression="gzip",
)
MANIFEST = Manifest(
    vendor="langdock",
    account="eu/acme",
    stream="api_keys",
    usage_date="2026-11-20",
    timezone="Europe/Berlin",
    window_requested={"start": "2026-11-20T00:00:00+01:00", "end": "2026-11-21T00:00:00+01:00", "timezone": "UTC"},
    window_returned=None,
    snapshot_id="20261121T020003Z-7f3a91c2",
    snapshot_at="2026-11-21T02:00:05+00:00",
    maturity="final",
    revision=2,
    previous="20261121T010003Z-00000000",
    unchanged=False,
    empty=False,
    rows=2,
    vendor_rows=None,
    pages=1,
    duplicates=0,
    files=(ENTRY,),
    columns=("a", "größe"),
    columns_added=("größe",),
    columns_removed=(),
    envelope={"monthly_cost": "5.2e-05", "name": "half an emoji: \ud83d"},
    request={"method": "POST", "path": "/export/api-keys"},
    airflow={"dag_id": "daily", "map_index": -1},
    tool={"name": "airflow-usage-provider", "version": "1"},
)


def change(**members: Any) -> bytes:
    return json.dumps(json.loads(MANIFEST.to_json()) | members).encode()


def is_valid(document: bytes) -> bool:
    return jsonschema.Draft202012Validator(load_manifest_schema()).is_valid(json.loads(document))


def test_a_manifest_is_read_as_it_was_written() -> None:
    assert Manifest.from_json(MANIFEST.to_json(), key="k") == MANIFEST
    assert is_valid(MANIFEST.to_json())


def test_a_manifest_is_utf8_json_for_people() -> None:
    text = MANIFEST.to_json().decode()
    assert text.startswith('{\n  "manifest_version": 1,\n')
    assert text.endswith("}\n")
    assert "größe" in text
    assert r"half an emoji: \ud83d" in text


def test_fields_a_reader_does_not_know_are_ignored() -> None:
    document = json.loads(MANIFEST.to_json())
    document["novelty"] = {"a": 1}
    document["files"][0]["etag"] = "x"
    assert Manifest.from_json(json.dumps(document).encode(), key="k") == MANIFEST
    assert is_valid(json.dumps(document).encode())


def test_a_manifest_without_the_later_fields_is_still_read() -> None:
    document = json.loads(MANIFEST.to_json())
    del document["airflow"], document["tool"]
    assert Manifest.from_json(json.dumps(document).encode(), key="k") == replace(MANIFEST, airflow={}, tool={})


def test_a_later_version_is_refused_with_the_advice_to_upgrade() -> None:
    with pytest.raises(ArchiveCorruptError, match=r"version 2 is newer.*Upgrade"):
        Manifest.from_json(change(manifest_version=2), key="k")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"<Error/>",
        b"[]",
        b'"text"',
        b"{}",
        b"{\x22manifest_version\x22: 1}",
        change(manifest_version="1"),
        change(files=None),
        change(files=[{"key": "k"}]),
        change(files=["k"]),
        change(columns=None),
    ],
)
def test_what_is_no_manifest_is_refused_and_named(body: bytes) -> None:
    with pytest.raises(ArchiveCorruptError) as caught:
        Manifest.from_json(body, key="raw/x/_manifest.json")
    assert "raw/x/_manifest.json" in str(caught.value) or "newer" in str(caught.value)


@pytest.mark.parametrize(
    "members",
    [
        {"empty": True},
        {"rows": 0},
        {"files": []},
        {"revision": 0},
        {"snapshot_id": "latest"},
        {"unchanged": True, "previous": None},
        {"maturity": "done"},
        {"request": {"method": "GET"}},
    ],
)
def test_the_schema_knows_a_contradiction(members: dict[str, Any]) -> None:
    assert not is_valid(change(**members))


#: Came after version 1 was settled: written by us, and optional for readers.
OPTIONAL = {"previous_sha256", "question", "end", "conflicts", "schema"}


def test_the_schema_has_every_field_and_requires_those_of_the_first_version() -> None:
    schema = load_manifest_schema()
    written = set(json.loads(MANIFEST.to_json()))
    assert set(schema["properties"]) == set(schema["required"]) | OPTIONAL == written
    assert set(schema["properties"]["files"]["items"]["required"]) == set(json.loads(MANIFEST.to_json())["files"][0])
    jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("version", range(1, MANIFEST_VERSION + 1))
def test_manifests_of_every_earlier_version_are_read(version: int) -> None:
    body = (Path(__file__).parent / "data" / f"manifest-v{version}.json").read_bytes()
    manifest = Manifest.from_json(body, key="k")
    assert (manifest.manifest_version, manifest.usage_date, manifest.revision) == (version, "2026-11-20", 2)
    assert [entry.rows for entry in manifest.files] == [manifest.rows]
    assert is_valid(body)


def test_the_documentation_describes_every_field_as_the_schema_does() -> None:
    page = (Path(__file__).parents[3] / "docs" / "manifest.md").read_text()
    schema = load_manifest_schema()
    for fields in (schema["properties"], schema["properties"]["files"]["items"]["properties"]):
        for name, described in fields.items():
            assert f"| `{name}` |" in page
            assert described["description"] in page
