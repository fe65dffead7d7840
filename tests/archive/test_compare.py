"""Two answers are compared row by row: exactly, in memory for the keys, whatever the format."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
from collections import Counter
from datetime import date
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from samples import API_KEYS

from airflow_usage_provider.archive.catalog import Day
from airflow_usage_provider.archive.compare import Change, choose_key, compare_snapshots
from airflow_usage_provider.archive.manifest import FileEntry
from airflow_usage_provider.archive.objects import FolderObjects, StoredObject
from airflow_usage_provider.exceptions import ArchiveCorruptError
from airflow_usage_provider.records import rows
from airflow_usage_provider.schema import StreamSchema

SNAPSHOT = (
    "raw/vendor=langdock/account=eu%2Facme/stream=api_keys/usage_date=2026-01-01/snapshot=20260102T000000Z-0000000"
)


def compare(folder: Path, old: bytes | None, new: bytes | None, *key: str, formats: str = "cc") -> list[Change]:
    """Compare two answers; formats are c for CSV, j for JSON Lines."""
    parts, manifests = {}, []
    for number, (body, code) in enumerate(zip((old, new), formats, strict=True)):
        extension, media = ("csv", "text/csv") if code == "c" else ("jsonl", "application/x-ndjson")
        if body is None:
            manifests.append(SimpleNamespace(files=()))
            continue
        name = f"{SNAPSHOT}{number}/part-00000.{extension}.gz"
        stored = gzip.compress(body)
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(stored)
        parts[name] = StoredObject(name, len(stored))
        entry = FileEntry(
            key=f"prefix/{name}",
            bytes=len(stored),
            sha256="",
            raw_bytes=len(body),
            raw_sha256=hashlib.sha256(body).hexdigest(),
            rows=0,
            content_type=media,
            compression="gzip",
        )
        manifests.append(SimpleNamespace(files=(entry,)))
    day = Day(API_KEYS, date(2026, 1, 1), {}, parts)
    changes: Any = compare_snapshots(FolderObjects(folder), day, manifests[0], manifests[1], key)
    return list(changes)


def summary(changes: list[Change]) -> list[tuple[Any, ...]]:
    return [(c.kind, dict(c.key), dict(c.old), dict(c.new)) for c in changes if c.kind != "same"]


def test_rows_are_added_removed_and_changed_by_key(tmp_path: Path) -> None:
    old = b"\xef\xbb\xbfid,name,cost\r\na,x,1\r\nb,y,2\r\nc,z,3\r\n"
    new = b"id,name,cost\nd,w,4\nc,z,3\na,x,1.01"
    assert summary(compare(tmp_path, old, new, "id")) == [
        ("added", {"id": "d"}, {}, {"id": "d", "name": "w", "cost": "4"}),
        ("changed", {"id": "a"}, {"cost": "1"}, {"cost": "1.01"}),
        ("removed", {"id": "b"}, {"id": "b", "name": "y", "cost": "2"}, {}),
    ]


@pytest.mark.parametrize(
    ("before", "after", "is_same"),
    [
        ("0.10", "0.1", True),
        ("100", "1e2", True),
        ("-0.0", "0", True),
        ("1.00000000000000000000000000000000000001", "1.00000000000000000000000000000000000002", False),
        ("0.1", "0.10000000000000001", False),
        ("007", "7", False),
        ("", "0", False),
        ("1,5", "1.5", False),
        ("x", "x ", False),
        ("1e999999999", "1e999999998", False),
        ("1e9999999999999999999", "1", False),
        ("٣", "3", False),
    ],
)
def test_cells_are_compared_as_decimals_exactly(tmp_path: Path, before: str, after: str, is_same: bool) -> None:
    old, new = (f'id,cost\na,"{cell}"\n'.encode() for cell in (before, after))
    for key in (["id"], []):
        assert (summary(compare(tmp_path, old, new, *key)) == []) is is_same


@pytest.mark.parametrize(
    ("before", "after", "is_same"),
    [
        ("0.10", "0.1", True),
        ("1", "1.0", True),
        ("1", "true", False),
        ('"1"', "1", False),
        ('"0.10"', '"0.1"', False),
        ("null", '""', False),
        ('{"a":1,"b":[1.0,{"c":2}]}', '{"b":[1,{"c":2.0}],"a":1}', True),
        ("[1,2]", "[2,1]", False),
        ('"\\u00e9"', '"é"', True),
        ('"half \\ud83d"', '"half \\ud83e"', False),
        ("123456789012345678901234567890", "123456789012345678901234567891", False),
    ],
)
def test_json_values_are_compared_by_what_they_mean(tmp_path: Path, before: str, after: str, is_same: bool) -> None:
    old, new = (f'{{"id":"a","x":{value}}}\n'.encode() for value in (before, after))
    for key in (["id"], []):
        assert (summary(compare(tmp_path, old, new, *key, formats="jj")) == []) is is_same


def test_an_answer_that_changed_its_format_is_compared_all_the_same(tmp_path: Path) -> None:
    old = b"id,cost,flag,note\na,0.10,true,\n"
    new = b'{"id":"a","cost":0.1,"flag":true,"note":null}\n'
    assert summary(compare(tmp_path, old, new, "id", formats="cj")) == []


def test_a_column_that_came_or_went_is_told_from_an_empty_one(tmp_path: Path) -> None:
    changes = compare(tmp_path, b"id,a\n1,x\n", b"id,b\n1,\n", "id")
    assert summary(changes) == [("changed", {"id": "1"}, {"a": "x"}, {"b": ""})]


def test_without_a_key_rows_are_counted(tmp_path: Path) -> None:
    changes = compare(tmp_path, b"a\nx\nx\ny\n", b"a\nx\ny\nx\nx\n")
    assert summary(changes) == [("added", {}, {}, {"a": "x"})]
    assert Counter(change.kind for change in changes)["same"] == 3


def test_rows_that_share_a_key_are_paired_in_order_and_marked(tmp_path: Path) -> None:
    changes = compare(tmp_path, b"id,n\na,1\na,2\n", b"id,n\na,1\na,3\na,4\n", "id")
    assert [(change.kind, change.is_repeated) for change in changes] == [
        ("same", False),
        ("changed", True),
        ("added", True),
    ]


def test_a_day_revised_from_or_to_nothing_is_all_removed_or_added(tmp_path: Path) -> None:
    body = b"id\na\nb\n"
    assert [change.kind for change in compare(tmp_path, body, None, "id")] == ["removed", "removed"]
    assert [change.kind for change in compare(tmp_path, None, body, "id")] == ["added", "added"]
    assert compare(tmp_path, None, None, "id") == []


def test_cells_may_hold_line_breaks_quotes_and_megabytes(tmp_path: Path) -> None:
    limit, big = csv.field_size_limit(), "x" * 3_000_000
    old = f'id,text\n"a\n""b""","{big}"\n'.encode()
    (change,) = compare(tmp_path, old, old.replace(b"xx\n", b"xy\n").replace(b'x"', b'y"'), "id")
    assert change.kind == "changed"
    assert change.key == {"id": 'a\n"b"'}
    csv.field_size_limit(limit)


@pytest.mark.parametrize(
    ("body", "formats"),
    [
        (b"[1]\n", "jj"),
        (b"{\n", "jj"),
        (b"[" * 100_000 + b"\n", "jj"),
        (b'{"a":' + b"[" * 450 + b"]" * 450 + b"}\n", "jj"),
        (b'{"a":"' + b"x" * 5000 + b'"}\n', "jj"),
        (b"a,b\n1\n", "cj"),
        (b'a,b\n1,"' + b"x" * 5000, "cj"),
    ],
)
def test_a_part_that_holds_no_rows_is_an_error_that_names_part_and_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: bytes, formats: str
) -> None:
    monkeypatch.setattr(rows, "_MOST_BYTES", 4000)
    limit = csv.field_size_limit()
    with pytest.raises(ArchiveCorruptError, match=r"part-00000\.\S+ holds no rows: Record 1 cannot be read"):
        compare(tmp_path, body, b'{"a":1}\n', formats=formats)
    csv.field_size_limit(limit)


def test_numbers_of_any_length_are_compared(tmp_path: Path) -> None:
    old, new = (f'{{"id":1,"n":{"9" * 5000}{last},"e":1e20000000000000000000}}\n'.encode() for last in (1, 2))
    (change,) = compare(tmp_path, old, new, "id", formats="jj")
    assert list(change.old) == ["n"]


def test_a_part_that_was_tampered_with_is_an_error(tmp_path: Path) -> None:
    class Other(FolderObjects):
        def chunks(self, name: str) -> Any:
            return iter([gzip.compress(b"id\nb\n")])

    entry = FileEntry(
        key=f"{SNAPSHOT}0/part-00000.csv.gz",
        bytes=1,
        sha256="",
        raw_bytes=5,
        raw_sha256=hashlib.sha256(b"id\na\n").hexdigest(),
        rows=1,
        content_type="text/csv",
        compression="gzip",
    )
    manifest: Any = SimpleNamespace(files=(entry,))
    day = Day(API_KEYS, date(2026, 1, 1), {}, {entry.key: StoredObject(entry.key, 1)})
    with pytest.raises(ArchiveCorruptError, match="is not what its manifest says"):
        list(compare_snapshots(Other(tmp_path), day, manifest, manifest, ["id"]))
    lost = Day(API_KEYS, date(2026, 1, 1), {}, {})
    with pytest.raises(ArchiveCorruptError, match="is missing"):
        list(compare_snapshots(Other(tmp_path), lost, manifest, manifest, ["id"]))


def test_the_key_is_what_the_schema_of_the_manifest_says() -> None:
    def manifest(*identity: str) -> Any:
        schema = StreamSchema(identity, dict.fromkeys(identity, "text")).as_dict()
        return SimpleNamespace(schema=schema if identity else None)

    known = StreamSchema(("api_key_id",), {"api_key_id": "text"})
    assert choose_key(manifest("a"), manifest("a", "b")) == ("a", "b")
    assert choose_key(manifest("a"), manifest(), known) == ("a",)
    assert choose_key(manifest(), manifest(), known) == ("api_key_id",)
    assert choose_key(manifest(), manifest()) == ()


def test_a_row_of_another_vendors_stream_that_went_is_one_row_that_went(tmp_path: Path) -> None:
    old = b"project_id,line_item,cost\np,a,1\np,b,2\np,c,3\n"
    changes = compare(tmp_path, old, old.replace(b"p,a,1\n", b""), "project_id", "line_item")
    assert summary(changes) == [
        ("removed", {"project_id": "p", "line_item": "a"}, {"project_id": "p", "line_item": "a", "cost": "1"}, {})
    ]


def test_the_second_column_of_one_name_is_compared_too(tmp_path: Path) -> None:
    old, new = (f"api_key_id,requests,cost,requests\nk,5,1,{count}\n".encode() for count in (5, 6))
    assert summary(compare(tmp_path, old, new, "api_key_id")) == [
        ("changed", {"api_key_id": "k"}, {"requests_2": "5"}, {"requests_2": "6"})
    ]
    old, new = (f'{{"id":"k","requests":5,"requests":{count}}}\n'.encode() for count in (5, 6))
    assert summary(compare(tmp_path, old, new, "id", formats="jj")) == [
        ("changed", {"id": "k"}, {"requests_2": 5}, {"requests_2": 6})
    ]


@pytest.mark.parametrize(
    ("old", "new", "names"),
    [
        ("id,a,env\nx,1,\ny,1,\n", "id,a,env\nx,2,\ny,1,\n", ["id"]),
        ("id,a\nx,1\ny,1\n", "id,a,env\nx,2,p\ny,1,p\n", ["id"]),
        ("id,a,env\nx,1,p\ny,1,\n", "id,a,env\nx,2,p\ny,1,\n", ["id", "env"]),
        ("id,a,env\n,1,\n,1,\n", "id,a,env\n,2,\n,1,\n", []),
        ("id,a,env\n", "id,a,env\nx,2,p\n", ["id", "env"]),
    ],
)
def test_a_column_that_is_null_in_every_row_or_not_there_is_no_key(
    tmp_path: Path, old: str, new: str, names: list[str]
) -> None:
    changes = compare(tmp_path, old.encode(), new.encode(), "id", "env")
    assert {tuple(change.key) for change in changes} == {tuple(names)}


def test_a_nested_value_is_told_by_its_path_and_may_be_a_key(tmp_path: Path) -> None:
    old = b'{"amount":{"value":1.0,"currency":"usd"},"of":{"id":"a"},"l":[1]}\n'
    new = b'{"amount":{"value":2,"currency":"usd","tax":{"rate":0.1}},"of":{"id":"a"},"l":[1,2]}\n'
    (change,) = compare(tmp_path, old, new, "of.id", formats="jj")
    assert change.key == {"of.id": "a"}
    assert change.old == {"amount.value": Decimal("1.0"), "l": [1]}
    assert change.new == {"amount.value": 2, "amount.tax": {"rate": Decimal("0.1")}, "l": [1, 2]}


def test_a_path_that_is_also_a_name_is_told_as_the_whole_value(tmp_path: Path) -> None:
    old, new = (f'{{"a":{{"b":{n}}},"a.b":{n}}}\n'.encode() for n in (1, 2))
    assert summary(compare(tmp_path, old + old, new + old, "x", formats="jj"))[0][0] == "added"
    (_, _, before, after), *_ = summary(
        compare(tmp_path, b'{"id":1,' + old[1:], b'{"id":1,' + new[1:], "id", formats="jj")
    )
    assert before == {"a": {"b": 1}, "a.b": 1}
    assert after == {"a": {"b": 2}, "a.b": 2}


cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=5)
tables = st.dictionaries(cells.filter(bool), cells, max_size=8)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(old=tables, new=tables, formats=st.sampled_from(["cc", "jj"]))
def test_any_two_tables_differ_as_they_do_in_memory(
    tmp_path: Path, old: dict[str, str], new: dict[str, str], formats: str
) -> None:
    bodies = []
    for table in (old, new):
        text = io.StringIO(newline="")
        if formats == "cc":
            writer = csv.writer(text, quoting=csv.QUOTE_ALL)
            writer.writerow(["id", "value"])
            writer.writerows(table.items())
        else:
            text.writelines(json.dumps({"id": key, "value": value}) + "\n" for key, value in table.items())
        bodies.append(text.getvalue().encode())
    changes = compare(tmp_path, bodies[0], bodies[1], "id", formats=formats)
    found = {kind: {c.key["id"] for c in changes if c.kind == kind} for kind in ("added", "removed", "changed")}
    assert found["added"] == new.keys() - old.keys()
    assert found["removed"] == old.keys() - new.keys()
    differing = {key for key in old.keys() & new.keys() if old[key] != new[key]}
    assert found["changed"] <= differing
    if formats == "jj":
        assert found["changed"] == differing
