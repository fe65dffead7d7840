"""Frames: identifiers as strings, times in UTC, counts as integers, money exact; what is not known stays as sent."""

from __future__ import annotations

import csv
import json
import re
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest

from airflow_usage_provider.exceptions import InvalidBodyError
from airflow_usage_provider.hooks.frames import frame_from_csv, frame_from_json_lines
from airflow_usage_provider.schema import StreamSchema

KINDS = {
    "id": "text",
    "seen": "time",
    "requests": "count",
    "cost": "money",
    "latency": "number",
    "active": "flag",
    "day": "date",
    "tags": "json",
    "amount.value": "money",
}
SCHEMA = StreamSchema((), KINDS)


def json_frame(*records: str) -> pd.DataFrame:
    return frame_from_json_lines([record.encode() + b"\n" for record in records], SCHEMA, usage_date="2026-11-20")


def csv_frame(text: str, *, bom: bool = False) -> pd.DataFrame:
    return frame_from_csv([("\ufeff" * bom + text).encode()], SCHEMA)


def test_every_kind_has_its_type() -> None:
    row = (
        '{"id":7,"seen":"2026-11-20T00:00:00Z","requests":3,"cost":5.2e-05,"latency":1.5,"tags":{"a":1},'
        '"active":true,"day":"2026-11-20","x":{"y":[1.10]}}'
    )
    frame = json_frame(row)
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == {
        "id": str(pd.Series([], dtype="string").dtype),
        "seen": "datetime64[us, UTC]",
        "requests": "Int64",
        "cost": "object",
        "latency": "Float64",
        "tags": "object",
        "active": "boolean",
        "day": "datetime64[us, UTC]",
        "x": "object",
    }
    assert frame["tags"][0] == {"a": 1}
    assert frame["x"][0] == {"y": [Decimal("1.10")]}
    text = "id,seen,requests,cost,latency,tags,active,day,x\n7,2026-11-20,3,5.2e-05,1.5,{},1,2026-11-20,{}\n"
    assert dict(csv_frame(text).dtypes) == dict(frame.dtypes)


def test_money_is_exact_and_adds_up() -> None:
    frame = json_frame('{"cost":0.1}', '{"cost":0.20}', '{"cost":5.2e-05}', '{"cost":12345678901234567890.123456789}')
    assert [str(value) for value in frame["cost"]] == ["0.1", "0.20", "0.000052", "12345678901234567890.123456789"]
    assert frame["cost"][:2].sum() == Decimal("0.3")
    assert list(csv_frame("cost\n1.10\n")["cost"]) == [Decimal("1.10")]


UNREADABLE = [
    ("cost", "1,234.56"),
    ("cost", "0,05"),
    ("cost", "$1.20"),
    ("cost", "NaN"),
    ("latency", "Infinity"),
    ("requests", "1,234"),
    ("requests", "1.5"),
    ("requests", "1e200000000"),
    ("requests", "9" * 5000),
    ("seen", "yesterday"),
    ("active", "yes"),
    ("day", "2026-11-20T10:00"),
]


@pytest.mark.parametrize(("name", "value"), UNREADABLE)
def test_a_value_that_cannot_be_read_is_an_error_that_names_it(name: str, value: str) -> None:
    shown = re.escape(value if len(value) < 60 else "9" * 60 + "...")
    with pytest.raises(InvalidBodyError, match=rf"Row 2: column '{name}' holds '{shown}', which is no {KINDS[name]}"):
        csv_frame(f'id,{name}\na,\nb,"{value}"\n')
    with pytest.raises(InvalidBodyError, match=rf"Row 2 of 2026-11-20: column '{name}' holds '{shown}'"):
        json_frame('{"id":"a"}', json.dumps({"id": "b", name: value}))


@pytest.mark.parametrize("value", ["true", "1e200000000", "9" * 5000, "{}", "[0]"])
def test_json_that_is_no_number_is_an_error_and_takes_no_time(value: str) -> None:
    for name in ("cost", "requests", "latency"):
        with pytest.raises(InvalidBodyError, match=f"Row 1 of 2026-11-20: column '{name}'"):
            json_frame(f'{{"{name}":{value}}}')


@pytest.mark.parametrize("value", ["null", '""', '" "'])
def test_money_and_numbers_that_are_not_there_are_missing(value: str) -> None:
    frame = json_frame(f'{{"cost":{value},"latency":{value},"requests":{value},"active":{value},"day":{value}}}')
    assert frame["cost"][0] is None
    assert frame.isna().all(axis=None)
    assert str(frame["requests"].dtype) == "Int64"


def test_two_columns_of_one_name_are_two_columns() -> None:
    frame = csv_frame("id,requests,cost,requests\nk,5,1,6\n")
    assert list(frame.columns) == ["id", "requests", "cost", "requests_2"]
    assert (frame["requests"][0], frame["requests_2"][0]) == (5, "6")
    frame = json_frame('{"requests":5,"requests":6}')
    assert (frame["requests"][0], frame["requests_2"][0]) == (5, 6)


def test_a_column_within_an_object_is_read_where_it_is_declared() -> None:
    frame = json_frame('{"id":"a","amount":{"value":0.06,"currency":"usd"}}', '{"id":"b","amount":null}')
    assert list(frame.columns) == ["id", "amount", "amount.value"]
    assert list(frame["amount.value"]) == [Decimal("0.06"), None]
    assert frame["amount"][0]["currency"] == "usd"
    with pytest.raises(InvalidBodyError, match=r"column 'amount\.value' holds 'n/a'"):
        json_frame('{"amount":{"value":"n/a"}}')


def test_a_csv_in_windows_1252_is_read(caplog: pytest.LogCaptureFixture) -> None:
    frame = frame_from_csv(["id,cost\nMüller,1.10\n50 €,2\n".encode("cp1252")], SCHEMA)
    assert list(frame["id"]) == ["Müller", "50 €"]
    assert "not UTF-8" in caplog.text


def test_identifiers_keep_every_character() -> None:
    frame = csv_frame('id\n007\n"a, ""b"""\n12345678901234567890\nNA\nnull\n')
    assert list(frame["id"]) == ["007", 'a, "b"', "12345678901234567890", "NA", "null"]
    assert list(json_frame('{"id":12345678901234567890}', '{"id":"Zoë"}')["id"]) == ["12345678901234567890", "Zoë"]


@pytest.mark.parametrize(
    ("sent", "instant"),
    [
        ('"2024-06-07 17:35:34.452434+00:00"', "2024-06-07T17:35:34.452434Z"),
        ('"2023-06-01T00:00:00Z"', "2023-06-01T00:00:00Z"),
        ('"2026-11-20"', "2026-11-20T00:00:00Z"),
        ('"2026-11-20T01:30:00+05:30"', "2026-11-19T20:00:00Z"),
        ('"2024-06-07 17:35:34"', "2024-06-07T17:35:34Z"),
    ],
)
def test_times_in_either_spelling_are_instants_in_utc(sent: str, instant: str) -> None:
    frame = json_frame(f'{{"seen":{sent}}}', '{"seen":"2026-01-01T00:00:00.000Z"}')
    assert frame["seen"][0] == pd.Timestamp(instant)
    assert str(frame["seen"].dtype) == "datetime64[us, UTC]"


@pytest.mark.parametrize("sent", ["null", "0", '"0"', '""', '" "'])
def test_times_that_are_none_are_missing(sent: str) -> None:
    frame = json_frame(f'{{"seen":{sent}}}')
    assert frame["seen"].isna().all()
    assert str(frame["seen"].dtype) == "datetime64[us, UTC]"


def test_counts_are_integers_that_may_be_missing() -> None:
    frame = csv_frame("requests,id\n3,a\n,b\n9007199254740993,c\n")
    assert list(frame["requests"].dropna()) == [3, 9007199254740993]
    assert frame["requests"].isna().sum() == 1
    assert frame["requests"].sum() == 9007199254740996


def test_counts_that_do_not_fit_into_64_bits_stay_exact_integers() -> None:
    for value in (2**63, -(2**63) - 1, 10**900):
        counts = list(json_frame(f'{{"requests":{value}}}', '{"requests":1}', "{}")["requests"])
        assert counts == [value, 1, None]
        assert type(counts[0]) is int
    assert str(csv_frame(f"requests\n2.0\n{2**63 - 1}\n")["requests"].dtype) == "Int64"


def test_a_field_that_some_records_lack_is_missing_there() -> None:
    frame = json_frame('{"id":"a"}', '{"requests":1,"id":"b"}')
    assert list(frame.columns) == ["id", "requests"]
    assert list(frame["requests"].isna()) == [True, False]


def test_no_records_are_a_frame_without_rows_and_with_the_types() -> None:
    frame = json_frame()
    assert len(frame) == 0
    assert list(frame.columns) == list(KINDS)
    assert str(frame["requests"].dtype) == "Int64"
    assert frame["cost"].sum() == 0
    header_only = csv_frame("id,requests,seen\n")
    assert (list(header_only.columns), len(header_only)) == (["id", "requests", "seen"], 0)
    assert str(header_only["seen"].dtype) == "datetime64[us, UTC]"
    assert len(csv_frame("")) == 0


def test_a_csv_is_read_with_byte_order_mark_line_breaks_and_blank_lines() -> None:
    frame = csv_frame('id,note\r\n1,"two\r\nlines"\r\n\r\n2,\r\n', bom=True)
    assert list(frame.columns) == ["id", "note"]
    assert list(frame["id"]) == ["1", "2"]
    assert frame["note"][0] == "two\r\nlines"
    assert frame["note"][1] is None


def test_a_cell_may_be_longer_than_pythons_csv_allows_by_default() -> None:
    limit = csv.field_size_limit(131_072)
    assert len(csv_frame(f"note\n{'x' * 200_000}\n")["note"][0]) == 200_000
    csv.field_size_limit(limit)


def test_chunks_may_split_anything() -> None:
    records: list[dict[str, Any]] = [{"id": "Zoë", "cost": 1}, {"id": "b", "cost": 2}]
    body = b"".join(json.dumps(record, ensure_ascii=False).encode() + b"\n" for record in records)
    pieces = [memoryview(body)[i : i + 1] for i in range(len(body))]
    assert list(frame_from_json_lines(pieces, SCHEMA)["id"]) == ["Zoë", "b"]
