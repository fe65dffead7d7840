"""Archived bytes become rows: nothing is lost, nothing is of any length, and what is no record is refused by number."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_usage_provider.exceptions import InvalidBodyError
from airflow_usage_provider.records import rows
from airflow_usage_provider.records.csv import CsvRecordCounter
from airflow_usage_provider.records.rows import iter_csv_records, iter_rows, unique_names

CSV, JSON = "text/csv; charset=utf-8", "application/x-ndjson"


def read(body: bytes, content_type: str = CSV, size: int = 1 << 20) -> list[dict[str, object]]:
    return list(iter_rows((body[at : at + size] for at in range(0, len(body), size)), content_type))


@pytest.mark.parametrize(
    ("names", "unique"),
    [
        ([], ()),
        (["a", "b"], ("a", "b")),
        (["a", "a", "a"], ("a", "a_2", "a_3")),
        (["a", "a", "a_2"], ("a", "a_3", "a_2")),
        (["a_2", "a", "a_2", "a"], ("a_2", "a", "a_2_2", "a_3")),
        (["", ""], ("", "_2")),
    ],
)
def test_a_name_that_comes_again_gets_a_number_and_takes_no_name_that_is_there(names, unique):
    assert unique_names(names) == unique


@given(st.lists(st.sampled_from(["a", "a_2", "a_3", "a_2_2", "b"]), max_size=12))
def test_unique_names_are_unique_and_every_given_name_stays(names):
    unique = unique_names(names)
    assert len(set(unique)) == len(names)
    assert set(names) <= set(unique)
    assert all(new.startswith(old) for old, new in zip(names, unique, strict=True))


def test_a_hundred_thousand_columns_of_one_name_are_named_at_once():
    assert unique_names(["a"] * 100_000 + ["a_2"])[-2:] == ("a_100001", "a_2")


def test_columns_of_one_name_are_all_kept():
    assert read(b"id,requests,cost,requests\nk,5,1,6\n") == [
        {"id": "k", "requests": "5", "cost": "1", "requests_2": "6"}
    ]


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_cells_hold_line_breaks_quotes_and_commas_however_the_bytes_are_cut(size):
    body = b'\xef\xbb\xbfid,text\r\na,"x\r\ny\n\nz ""q"", \xc3\xbc"\r\n\r\nb,\n'
    assert read(body, size=size) == [{"id": "a", "text": 'x\r\ny\n\nz "q", ü'}, {"id": "b", "text": ""}]


def test_lines_may_end_with_a_carriage_return_alone_and_the_last_with_nothing():
    assert read(b"id,n\ra,1\rb,2", size=3) == [{"id": "a", "n": "1"}, {"id": "b", "n": "2"}]


def test_cells_in_windows_1252_are_read_as_such_and_told(caplog):
    body = "id,name\na,Müller\nb,50 €\nc,Zoë".encode("cp1252") + b"\x81\n"
    assert [row["name"] for row in read(body)] == ["Müller", "50 €", "Zoë\x81"]
    assert "not UTF-8, and were read as Windows-1252: 3" in caplog.text


def test_a_name_that_was_cut_within_a_letter_spoils_no_other_cell(caplog):
    body = "id,name,org\na,Müller,Größe\n".encode() + b"b,M\xc3,Gr\xc3\xb6\xc3\x9fe\n"
    assert read(body)[1] == {"id": "b", "name": "MÃ", "org": "Größe"}
    assert "Windows-1252: 1" in caplog.text


def test_a_header_in_windows_1252_is_read_too():
    assert read(b"gr\xf6\xdfe,n\n1,2\n") == [{"größe": "1", "n": "2"}]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"a,b\n1,2\n3\n", r"Record 2 cannot be read: it has 1 cells, the header has 2"),
        (b"a,b\n1,2,3\n", r"Record 1 cannot be read: it has 3 cells, the header has 2"),
        ("a,b\n1,2\n".encode("utf-16"), "The header cannot be read: not CSV in UTF-8 or another superset"),
    ],
)
def test_csv_that_would_lose_a_cell_is_refused_with_its_record(body, message):
    with pytest.raises(InvalidBodyError, match=message):
        read(body)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'a,b\n1,2\n"' + b"x" * 5000 + b'",2\n', CSV),
        (b'a,b\n1,2\n"' + b"x\n" * 2500 + b'",2\n', CSV),
        (b'a,b\n1,2\n"' + b"x" * 5000, CSV),
        (b'{"a":1}\n{"a":"' + b"x" * 5000 + b'"}\n', JSON),
        (b'{"a":1}\n{"a":"' + b"x" * 5000, JSON),
    ],
)
@pytest.mark.parametrize("size", [100, 1 << 20])
def test_a_record_of_any_length_is_refused_before_it_is_held(monkeypatch, body, content_type, size):
    monkeypatch.setattr(rows, "_MOST_BYTES", 1000)
    limit = csv.field_size_limit()
    try:
        with pytest.raises(InvalidBodyError, match=r"Record [12] cannot be read: it is longer than 1,000 bytes"):
            read(body, content_type, size)
    finally:
        csv.field_size_limit(limit)


def test_a_line_without_an_end_is_read_no_further_than_its_bound(monkeypatch):
    monkeypatch.setattr(rows, "_MOST_BYTES", 1000)
    taken = []

    def endless():
        while True:
            taken.append(1)
            yield b"x" * 100

    for content_type in (CSV, JSON):
        with pytest.raises(InvalidBodyError, match="longer than"):
            next(iter_rows(endless(), content_type))
    assert len(taken) == 22


def test_a_cell_of_megabytes_is_read():
    limit = csv.field_size_limit()
    try:
        assert len(str(read(b"a,b\n1," + b"x" * 3_000_000 + b"\n")[0]["b"])) == 3_000_000
    finally:
        csv.field_size_limit(limit)


def test_blank_lines_are_no_record_however_many(monkeypatch):
    monkeypatch.setattr(rows, "_MOST_BYTES", 1000)
    assert read(b"a,b\n" + b"\n" * 5000 + b"1,2\n") == [{"a": "1", "b": "2"}]


def test_the_header_is_there_where_no_record_is():
    assert list(iter_csv_records([b"a,a,b\n"])) == [["a", "a_2", "b"]]
    assert list(iter_csv_records([b""])) == []
    assert read(b"a,b\n") == read(b"") == read(b"", JSON) == []


def test_json_lines_keep_decimals_and_integers_of_any_length():
    body = b'{"cost":5.20e-05,"n":' + b"9" * 5000 + b',"big":1e200000000,"vast":1e99999999999999999999}\n\n{"n":7}\n'
    first, second = read(body, JSON)
    assert str(first["cost"]) == "0.0000520"
    assert first["n"] == Decimal("9" * 5000)
    assert first["big"] == Decimal("1e200000000")
    assert first["vast"] == "1e99999999999999999999"
    assert second == {"n": 7}
    assert type(second["n"]) is int


def test_members_of_one_name_are_all_kept_at_every_depth():
    assert read(b'{"a":1,"a":2,"a_2":3,"o":{"x":1,"x":null}}\n', JSON) == [
        {"a": 1, "a_3": 2, "a_2": 3, "o": {"x": 1, "x_2": None}}
    ]


def test_a_line_break_within_json_text_is_an_escape_and_a_carriage_return_ends_no_line():
    assert read(b'{"a":"x\\ny"}\r\n{"b":\r1}', JSON, 5) == [{"a": "x\ny"}, {"b": 1}]


@pytest.mark.parametrize(
    "line",
    [
        b"[1]",
        b"1",
        b"null",
        b"{",
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b'{"a":"\xfc"}',
        b'{"a":1}{"a":2}',
        b'{"a":' + b"[" * 450 + b"]" * 450 + b"}",
        b"[" * 100_000,
        b'{"a":[' + b"[]," * 1_100_000 + b"[]]}",
        b"[" * 300 + b'"' + b'\\"' * 2_000_000,  # quadratic, if text without an end were looked at from each quote
    ],
)
def test_a_line_that_is_no_record_is_refused_with_its_number(line):
    with pytest.raises(InvalidBodyError, match="Record 2 cannot be read"):
        read(b'{"a":1}\n' + line + b"\n", JSON)


def test_brackets_and_commas_within_text_are_no_values():
    text = "[{" * 300 + "," * 1_100_000 + '"\\'
    assert read(json.dumps({"a": text}).encode(), JSON) == [{"a": text}]


def test_another_content_type_is_refused_by_name():
    with pytest.raises(InvalidBodyError, match="application/zip"):
        read(b"", "application/zip")


cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=6)


@given(st.lists(st.tuples(cells, cells), max_size=6), st.integers(1, 9), st.sampled_from(["\n", "\r\n", "\r"]))
def test_whatever_is_written_as_csv_comes_back_and_is_counted_alike(table, size, line_end):
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator=line_end, quoting=csv.QUOTE_ALL)
    writer.writerows([("x", "y"), *table])
    body = text.getvalue().encode()
    assert [tuple(row.values()) for row in read(body, size=size)] == table
    counter = CsvRecordCounter()
    counter.feed(body)
    counter.finish()
    assert counter.rows == len(table)
