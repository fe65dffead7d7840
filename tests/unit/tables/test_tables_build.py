from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from folders import DAY, USERS, FolderArchive

from airflow_usage_provider.archive.keys import Series
from airflow_usage_provider.exceptions import ArchiveCorruptError, UnreadableValueError
from airflow_usage_provider.schema import StreamSchema
from airflow_usage_provider.tables import records


@pytest.fixture
def archive(tmp_path) -> FolderArchive:
    return FolderArchive(tmp_path / "archive")


def cost_schema(**more: str) -> StreamSchema:
    return StreamSchema(columns={"key": "text", "cost": "money", **more})


def current(archive: FolderArchive, body: bytes, rows: int = 1, **settings) -> list[dict]:
    archive.store(body, rows, **settings)
    archive.build()
    return archive.read("current")


def test_the_columns_are_the_day_the_account_the_declared_ones_in_order_and_where_they_come_from(archive):
    archive.store(b"cost,key\n1,a\n", 1)
    archive.build()
    (path,) = (archive.folder / "tables/current/langdock_api_keys/usage_month=2026-10").iterdir()
    schema = pq.read_schema(path)
    assert path.name == "acme.parquet"
    assert {name: str(schema.field(name).type) for name in schema.names} == {
        "usage_date": "date32[day]",
        "account": "string",
        "key": "string",
        "active": "bool",
        "day": "date32[day]",
        "seen": "timestamp[us, tz=UTC]",
        "requests": "int64",
        "score": "double",
        "cost": "decimal128(38, 18)",
        "tags": "string",
        "other_columns": "string",
        "snapshot_id": "string",
        "revision": "int64",
    }
    history = pq.read_schema(archive.folder / "tables/history/langdock_api_keys/usage_month=2026-10/acme.parquet")
    assert history.names == [*schema.names, "known_from", "known_to"]


def test_an_account_of_any_name_is_one_segment_of_the_names(archive):
    archive.store(b"cost,key\n1,a\n", 1, series=Series("langdock", "Müller/eu", "api_keys"))
    archive.build()
    names = {path.relative_to(archive.folder / "tables").as_posix() for path in archive.folder.rglob("*.parquet")}
    assert names == {
        "current/langdock_api_keys/usage_month=2026-10/M%C3%BCller%2Feu.parquet",
        "history/langdock_api_keys/usage_month=2026-10/M%C3%BCller%2Feu.parquet",
        "snapshots/usage_month=2026-10/langdock.M%C3%BCller%2Feu.api_keys.parquet",
    }
    assert archive.read("current")[0]["account"] == "Müller/eu"


def test_values_are_read_as_their_kind_and_an_empty_cell_is_null(archive):
    body = (
        b"key,active,day,seen,requests,score,cost,tags\n"
        b'k,TRUE,2026-10-05,2026-10-05T12:00:00+02:00,7,0.5,5.2e-05,"{""a"":1}"\n'
        b',,,,,,,\n"",,,,,,,\n'
    )
    first, *empty = current(archive, body, 3)
    assert first["active"] is True
    assert first["day"] == date(2026, 10, 5)
    assert first["seen"] == datetime(2026, 10, 5, 10, tzinfo=UTC)
    assert (first["requests"], first["score"], first["cost"]) == (7, 0.5, Decimal("0.000052"))
    assert first["tags"] == '{"a":1}'
    assert all(row[name] is None for row in empty for name in ("key", *list(first)[3:11]))


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("time", "2026-10-05 12:00:00", datetime(2026, 10, 5, 12, tzinfo=UTC)),
        ("time", "1791201600", datetime(2026, 10, 5, 12, tzinfo=UTC)),
        ("time", "0", None),
        ("date", "2026-10-05T00:00:00Z", date(2026, 10, 5)),
        ("count", "+5", 5),
        ("count", "5.0", 5),
        ("count", "9223372036854775807", 2**63 - 1),
        ("number", "+1.5", 1.5),
        ("flag", "tRuE", True),
    ],
)
def test_what_arrow_cannot_read_but_the_schema_can_is_read(archive, kind, text, value):
    body = f"key,cost,x\na,1,{text}\nb,1,\n".encode()
    rows = current(archive, body, 2, schema=cost_schema(x=kind))
    assert [row["x"] for row in rows] == [value, None]
    assert [row["other_columns"] for row in rows] == [None, None]


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("count", "9223372036854775808"),
        ("count", "-9223372036854775809"),
        ("count", "1,234"),
        ("count", "0x10"),
        ("count", "1.5"),
        ("number", "nan"),
        ("number", "1e400"),
        ("number", "1e-400"),
        ("number", "infinity"),
        ("time", "yesterday"),
        ("date", "31.10.2026"),
        ("flag", "maybe"),
    ],
)
def test_another_value_that_cannot_be_read_is_null_with_its_text_kept_and_is_counted(archive, kind, text):
    body = f'key,cost,x\na,1,"{text}"\nb,1,\n'.encode()
    archive.store(body, 2, schema=cost_schema(x=kind))
    (outcome,) = archive.build()
    assert outcome.count("unreadable") == {"x": 1}
    for table in ("current", "history"):
        first, second = archive.read(table)
        assert (first["x"], json.loads(first["other_columns"])) == (None, {"x": text})
        assert (second["x"], second["other_columns"]) == (None, None)
        assert archive.footer(table)["unreadable"] == {"x": 1}


@pytest.mark.parametrize(
    "text", ["1,234.56", "0,05", "$1.20", "nan", "1e", "0x10", "1_0", "-", "12e20", "123456789012345678901", "-1e20"]
)
def test_money_that_cannot_be_read_fails_with_day_row_column_and_value_and_nothing_is_written(archive, text):
    archive.store(f'key,cost\na,1\nb,"{text}"\n'.encode(), 2, schema=cost_schema())
    with pytest.raises(UnreadableValueError) as error:
        archive.build()
    for part in ("2026-10-05", "row 2,", "column cost", repr(text)):
        assert part in str(error.value)
    assert not list((archive.folder / "tables").rglob("*"))


@pytest.mark.parametrize(
    ("text", "value", "rounded"),
    [
        ("0.0000000000000000005", "0", 1),
        ("0.0000000000000000015", "0.000000000000000002", 1),
        ("0.00000000000000000051", "0.000000000000000001", 1),
        ("-1.2345678901234567885", "-1.234567890123456788", 1),
        ("1e-19", "0", 1),
        ("1.1000000000000000000000000", "1.1", 0),
        ("99999999999999999999.999999999999999999", "99999999999999999999.999999999999999999", 0),
        (" 1.5 ", "1.5", 0),
    ],
)
def test_money_of_more_than_18_decimals_is_rounded_half_even_and_counted(archive, text, value, rounded):
    rows = current(archive, f"key,cost\na,{text}\nb,0.1\n".encode(), 2, schema=cost_schema())
    assert [row["cost"] for row in rows] == [Decimal(value), Decimal("0.1")]
    assert archive.footer("current")["rounded"] == ({"cost": rounded} if rounded else {})


def test_money_that_would_round_to_twenty_one_digits_is_refused(archive):
    archive.store(b"key,cost\na,99999999999999999999.9999999999999999995\n", 1, schema=cost_schema())
    with pytest.raises(UnreadableValueError, match="more than 20 digits"):
        archive.build()


def test_json_keeps_every_digit_and_dotted_columns_are_paths(archive):
    schema = StreamSchema(columns={"id": "text", "amount.value": "money", "amount.currency": "text", "n": "count"})
    body = (
        b'{"id":"a","amount":{"value":0.100000000000000001,"currency":"usd"},"n":3,"x":{"y":1.10,"z":[1e2]}}\n'
        b'{"id":5,"amount":{"value":"2.5","currency":null,"tax":0.1},"n":18446744073709551616,"b":true}\n'
        b'{"id":null,"amount":null,"n":"7","s":"\\ud83d"}\n'
    )
    first, second, third = current(archive, body, 3, series=USERS, schema=schema)
    assert first["amount.value"] == Decimal("0.100000000000000001")
    assert (first["id"], first["amount.currency"], first["n"]) == ("a", "usd", 3)
    assert first["other_columns"] == '{"x":{"y":1.10,"z":[1E+2]}}'
    assert (second["id"], second["amount.value"], second["n"]) == ("5", Decimal("2.5"), None)
    other = '{"amount":{"value":"2.5","currency":null,"tax":0.1},"b":true,"n":18446744073709551616}'
    assert json.loads(second["other_columns"]) == json.loads(other)
    assert (third["amount.value"], third["n"], third["id"]) == (None, 7, None)
    assert json.loads(third["other_columns"]) == {"s": "\ud83d"}


def test_money_given_as_an_object_fails(archive):
    archive.store(b'{"key":"a","cost":{"value":1}}\n', 1, schema=cost_schema())
    with pytest.raises(UnreadableValueError, match="row 1, column cost"):
        archive.build()


def test_columns_of_one_name_are_all_kept(archive):
    (row,) = current(archive, b"key,cost,key\na,1,b\n", schema=cost_schema())
    assert (row["key"], row["other_columns"]) == ("a", '{"key_2":"b"}')


def test_a_declared_column_that_has_a_name_of_ours_gets_another(archive):
    schema = StreamSchema(columns={"account": "text", "Revision": "count", "usage_date": "date"})
    (row,) = current(archive, b"account,Revision,usage_date\nx,9,2026-01-01\n", schema=schema)
    assert (row["account"], row["revision"], row["usage_date"]) == ("acme", 1, DAY)
    assert (row["account_2"], row["Revision_2"], row["usage_date_2"]) == ("x", 9, date(2026, 1, 1))


def test_a_byte_order_mark_line_breaks_in_cells_and_carriage_returns_are_read(archive):
    body = b'\xef\xbb\xbf"key",cost\r\n"a\r\nb, ""c""",1\r\n\r\nd,2\r\n'
    rows = current(archive, body, 2, schema=cost_schema())
    assert [(row["key"], row["cost"]) for row in rows] == [('a\r\nb, "c"', 1), ("d", 2)]


def test_a_cell_that_is_no_utf_8_is_read_as_windows_1252(archive):
    rows = current(archive, "key,cost\nMüller,1\n".encode("cp1252") + "Öl,2\n".encode(), 2, schema=cost_schema())
    assert [row["key"] for row in rows] == ["Müller", "Öl"]


def test_a_record_longer_than_what_is_read_at_once_is_read(archive, monkeypatch):
    monkeypatch.setattr(records, "_BLOCK", 4096)
    body = b"key,cost\n" + b"a,1\n" * 2000 + b'"' + b"x" * 10_000 + b'",2\n' + b"b,3\n" * 2000
    rows = current(archive, body, 4001, schema=cost_schema())
    assert [row["cost"] for row in rows] == [1] * 2000 + [2] + [3] * 2000
    assert len(rows[2000]["key"]) == 10_000


def test_without_a_schema_everything_is_text_in_other_columns(archive):
    series = Series("elsewhere", "acme", "things")
    (row,) = current(archive, b"a,b\n1,\n", series=series, schema=None)
    assert row["other_columns"] == '{"a":"1"}'
    assert list(row) == ["usage_date", "account", "other_columns", "snapshot_id", "revision"]


def test_a_manifest_of_before_schemas_is_read_by_this_packages_schema_of_the_stream(archive):
    (row,) = current(archive, b"api_key_id,total_cost_usd\nk,1.5\n", schema=None)
    assert (row["api_key_id"], row["total_cost_usd"]) == ("k", Decimal("1.5"))


def test_columns_come_and_go_within_a_month(archive):
    archive.store(b"key,cost\na,1\n", 1, schema=cost_schema())
    archive.store(b"new,key,cost\nx,b,2\n", 1, day=date(2026, 10, 6), schema=cost_schema(new="text"))
    archive.store(b"cost\n3\n", 1, day=date(2026, 10, 7), schema=StreamSchema(columns={"cost": "money"}))
    archive.build()
    rows = archive.read("current")
    assert [(row["key"], row["cost"], row["new"]) for row in rows] == [("a", 1, None), ("b", 2, "x"), (None, 3, None)]
    assert list(rows[0])[2:5] == ["cost", "key", "new"]  # the newest's order first


def test_rows_stand_by_day_then_revision_then_as_they_were_sent(archive):
    archive.store(b"key,cost\nz,1\na,2\n", 2, day=date(2026, 10, 9), schema=cost_schema())
    archive.store(b"key,cost\nm,3\n", 1, day=date(2026, 10, 2), schema=cost_schema())
    archive.store(b"key,cost\nb,4\nc,5\n", 2, day=date(2026, 10, 9), schema=cost_schema())
    archive.build()
    assert [row["key"] for row in archive.read("current")] == ["m", "b", "c"]
    assert [(row["key"], row["revision"]) for row in archive.read("history")] == [
        ("m", 1),
        ("z", 1),
        ("a", 1),
        ("b", 2),
        ("c", 2),
    ]


def test_history_knows_each_revision_from_its_first_snapshot_to_the_next_ones(archive):
    hours = [datetime(2026, 10, 6, hour, tzinfo=UTC) for hour in range(6)]
    for hour, cost in zip(hours, (b"1", b"1", b"2", None, b"2", b"2"), strict=True):
        archive.store(b"key,cost\na," + cost + b"\n" if cost else b"", 1 if cost else 0, at=hour, schema=cost_schema())
    archive.build()
    assert [(row["cost"], row["known_from"], row["known_to"]) for row in archive.read("history")] == [
        (1, hours[0], hours[2]),
        (2, hours[2], hours[3]),
        (2, hours[4], None),
    ]
    snapshots = archive.read("snapshots")
    assert [row["state"] for row in snapshots] == ["complete"] * 3 + ["empty"] + ["complete"] * 2
    assert [row["unchanged"] for row in snapshots] == [False, True, False, False, False, True]
    assert [(row["known_from"], row["known_to"]) for row in snapshots] == [*zip(hours, [*hours[1:], None], strict=True)]


def test_a_snapshot_that_says_it_is_older_than_one_before_it_was_never_the_answer_in_between(archive):
    hours = [datetime(2026, 10, 6, hour, tzinfo=UTC) for hour in (1, 5, 3)]
    for cost, hour in zip((b"1", b"2", b"3"), hours, strict=True):
        archive.store(b"key,cost\na," + cost + b"\n", 1, at=hour, schema=cost_schema())
    archive.build()
    spans = [
        (row["cost"], row["known_from"].hour, row["known_to"] and row["known_to"].hour)
        for row in archive.read("history")
    ]
    assert spans == [(1, 1, 3), (2, 5, 5), (3, 3, None)]


def test_the_footer_names_for_each_day_the_snapshot_and_hash_it_was_made_from(archive):
    manifest = archive.store(b"key,cost\na,1\n", 1, schema=cost_schema())
    archive.store(b"", 0, day=date(2026, 10, 6))
    archive.build()
    footer = archive.footer("current")
    assert footer["days"] == {
        "2026-10-05": [{"snapshot_id": manifest.snapshot_id, "raw_sha256": [manifest.files[0].raw_sha256]}]
    }
    assert (footer["table"], footer["usage_month"], footer["as_of"]) == ("current", "2026-10", None)


def test_the_same_archive_gives_the_same_bytes_whatever_its_portions(archive, tmp_path, monkeypatch):
    lines = b"".join(b"key-%d,%d.%03d\n" % (number, number, number % 1000) for number in range(9000))
    archive.store(b"key,cost\n" + lines, 9000, schema=cost_schema())
    archive.store(b"key,cost\n" + lines, 9000, day=date(2026, 10, 6), schema=cost_schema())
    archive.build(tmp_path / "one")
    monkeypatch.setattr(records, "_BLOCK", 10_000)
    archive.build(tmp_path / "two")
    one, two = (
        {path.relative_to(tmp_path / name): path.read_bytes() for path in (tmp_path / name).rglob("*.parquet")}
        for name in ("one", "two")
    )
    assert one == two
    assert len(one) == 3


def test_a_large_month_is_written_in_several_row_groups(archive):
    lines = b"".join(b"%d,1\n" % number for number in range(300_000))
    archive.store(b"key,cost\n" + lines, 300_000, schema=cost_schema())
    archive.build()
    (path,) = (archive.folder / "tables/current").rglob("*.parquet")
    file = pq.ParquetFile(path)
    assert [file.metadata.row_group(each).num_rows for each in range(file.num_row_groups)] == [131_072, 131_072, 37_856]
    assert pa.compute.sum(file.read(["cost"])["cost"]).as_py() == 300_000


def change(path: Path, old: bytes, new: bytes) -> None:
    body = path.read_bytes()
    assert old in body
    path.write_bytes(body.replace(old, new))


def test_a_part_that_was_altered_is_found_while_it_is_read(archive):
    archive.store(b'{"key":"a","cost":1}\n', 1, schema=cost_schema())
    change(next(archive.folder.rglob("part-*")), b'"cost":1', b'"cost":2')
    with pytest.raises(ArchiveCorruptError, match="not what its manifest says"):
        archive.build()


def test_a_part_that_is_gone_is_named(archive):
    archive.store(b"key,cost\na,1\n", 1, schema=cost_schema())
    next(archive.folder.rglob("part-*")).unlink()
    with pytest.raises(ArchiveCorruptError, match="is missing"):
        archive.build()


def test_records_that_are_more_or_fewer_than_the_manifest_says_are_refused(archive):
    archive.store(b"key,cost\na,1\n", 2, schema=cost_schema())
    with pytest.raises(ArchiveCorruptError, match="hold 1 records, the manifest says 2"):
        archive.build()


def test_a_record_of_another_width_is_refused(archive):
    archive.store(b"key,cost\na,1\nb\n", 2, schema=cost_schema())
    with pytest.raises(ArchiveCorruptError, match="2026-10-05: Behind row"):
        archive.build()


def test_a_manifest_of_a_later_version_is_refused(archive):
    archive.store(b"key,cost\na,1\n", 1, schema=cost_schema())
    change(next(archive.folder.rglob("_manifest.json")), b'"manifest_version": 1', b'"manifest_version": 2')
    with pytest.raises(ArchiveCorruptError, match="newer than this package reads"):
        archive.build()


def test_a_manifest_that_was_copied_to_another_day_is_refused(archive):
    archive.store(b"key,cost\na,1\n", 1, schema=cost_schema())
    change(next(archive.folder.rglob("_manifest.json")), b'"usage_date": "2026-10-05"', b'"usage_date": "2026-10-06"')
    with pytest.raises(ArchiveCorruptError, match="another place"):
        archive.build()
