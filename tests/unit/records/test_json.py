"""Records come out of a JSON answer with the bytes they went in with; whatever is not JSON is refused."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_usage_provider.exceptions import InvalidBodyError
from airflow_usage_provider.records import json as json_records
from airflow_usage_provider.records.json import (
    JsonPage,
    compact_record,
    iter_records,
    read_envelope,
    read_members,
    split_page,
)

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=8
)
objects = st.dictionaries(st.text(), values, max_size=4)
layouts = st.sampled_from(
    [{"separators": (",", ":")}, {}, {"indent": 4}, {"indent": "\t"}, {"separators": (" , ", " :\r\n ")}]
)


def collect(chunks: list[bytes], field: str = "data") -> JsonPage:
    reader, records = iter_records(chunks, field), []
    while True:
        try:
            records.append(next(reader))
        except StopIteration as end:
            return JsonPage(records, end.value)


def split(body: bytes, positions: list[int]) -> list[bytes]:
    edges = sorted({0, len(body), *(position for position in positions if position < len(body))})
    return [body[start:end] for start, end in pairwise(edges)]


def read_both(body: bytes) -> JsonPage:
    page = split_page(body, "data")
    assert collect([body]) == page
    return page


@settings(max_examples=150)
@given(
    records=st.lists(objects, max_size=4),
    before=objects,
    after=objects,
    layout=layouts,
    ascii_only=st.booleans(),
    positions=st.lists(st.integers(0, 500), max_size=8),
)
def test_records_are_the_compact_form_whatever_the_layout_and_the_chunks(
    records: list[Any], before: Any, after: Any, layout: Any, ascii_only: bool, positions: list[int]
) -> None:
    before, after = ({f"{side}{name}": v for name, v in m.items()} for side, m in (("b", before), ("a", after)))
    document = {**before, "data": records, **after}
    body = json.dumps(document, ensure_ascii=ascii_only, **layout).encode(errors="surrogatepass")
    compact = [json.dumps(r, ensure_ascii=ascii_only, separators=(",", ":")).encode() for r in records]
    page = split_page(body, "data")
    assert page.records == compact
    assert page.envelope == json.loads(json.dumps({**before, **after}), parse_float=str)
    assert collect(split(body, positions), "data") == page


@settings(max_examples=20)
@given(objects, layouts)
def test_the_chunking_never_matters(record: Any, layout: Any) -> None:
    body = json.dumps({"n": 5.2e-05, "data": [record, record], "m": -1.5e300, "t": True}, **layout).encode()
    assert collect([body[i : i + 1] for i in range(len(body))]) == split_page(body, "data")


KEPT = [
    b'{"cost":5.2e-05}',
    b'{"cost":1.10}',
    b'{"cost":1E+2}',
    b'{"cost":-0.0}',
    b'{"id":12345678901234567890}',
    b'{"id":' + b"9" * 200 + b"}",
    rb'{"name":"Zo\u00eb \/ \" \\ \n"}',
    '{"name":"Zoë 🦊"}'.encode(),
    rb'{"name":"cut \ud83d emoji"}',
    b'{"a":{"b":[1,[],{}]},"a":2}',
    b'{"":" \xc2\xa0  \xe2\x80\xa8 "}',
    b"{}",
]


@pytest.mark.parametrize("record", KEPT)
def test_every_character_of_a_record_stays_as_it_was_sent(record: bytes) -> None:
    body = b'{"x":1, "data" : [\r\n' + record + b" ,\t" + record + b']\n, "y":[2]}\n'
    assert read_both(body) == JsonPage([record, record], {"x": 1, "y": [2]})


@pytest.mark.parametrize("record", KEPT)
def test_white_space_goes_only_outside_strings(record: bytes) -> None:
    loose = b' { "a" :\t' + record + b',\r\n"b c" : " d  e\\" : f " } '
    assert compact_record(loose) == b'{"a":' + record + b',"b c":" d  e\\" : f "}'


def test_members_are_told_with_the_bytes_of_their_values() -> None:
    record = rb'{"id":12345678901234567890,"cost":1.10,"name":"Zo\u00eb","none":null}'
    assert read_members(record) == {
        "id": b"12345678901234567890",
        "cost": b"1.10",
        "name": rb'"Zo\u00eb"',
        "none": b"null",
    }
    assert list(read_members(rb'{"id":1,"name":"\ud83d"}').items()) == [("id", b"1"), ("name", rb'"\ud83d"')]


def test_decimals_of_the_envelope_become_strings_as_they_were_sent() -> None:
    body = b'{"data":[],"cost":5.2e-05,"total":1.10,"n":3,"inner":{"c":[0.1]},"big":' + b"9" * 5000 + b"}"
    envelope = read_both(body).envelope
    assert (envelope["cost"], envelope["total"], envelope["n"]) == ("5.2e-05", "1.10", 3)
    assert envelope["inner"] == {"c": ["0.1"]}
    assert envelope["big"] == "9" * 5000
    assert read_envelope('{"a":1.10}') == {"a": "1.10"}


VALID = b'{"success":true,"data":[{"a":"x,]}","b":[1.5,null]},{"a":"\\"\xc3\xab"}],"metadata":{"n":2}}'


@pytest.mark.parametrize("end", range(len(VALID)))
def test_a_body_cut_anywhere_is_refused(end: int) -> None:
    assert len(read_both(VALID).records) == 2
    with pytest.raises(InvalidBodyError):
        split_page(VALID[:end], "data")
    with pytest.raises(InvalidBodyError):
        collect([VALID[:end]])
    with pytest.raises(InvalidBodyError):
        collect(split(VALID[:end], [end // 2]))


@pytest.mark.parametrize(
    "body",
    [
        b'{"data":[{"a":1},]}',
        b'{"data":[{"a":1,}]}',
        b'{"data":[{"a":1}],}',
        b'{"data":[{"a":NaN}]}',
        b'{"data":[{"a":-Infinity}]}',
        b'{"data":[],"n":NaN}',
        b'{"data":[{"id":00001}]}',
        b'{"data":[{"a":1.}]}',
        b'{"data":[{"a":.5}]}',
        b'{"data":[{"a":"line\nbreak"}]}',
        b"{'data':[]}",
        b"{data:[]}",
        b'{1:2,"data":[]}',
        b'{"data":[{"a":1} {"a":2}]}',
        b'{"data":[{"a":"\xff"}]}',
        b'{"data":[]} x',
        b'{"data":[]}{"data":[]}',
        b'\xef\xbb\xbf{"data":[]}',
        b'{"data":[{"a":True}]}',
        b"<html></html>",
        b"null",
        b"",
        b" ",
    ],
)
def test_what_is_not_quite_json_is_refused(body: bytes) -> None:
    for read in (lambda: split_page(body, "data"), lambda: collect([body])):
        with pytest.raises(InvalidBodyError, match="JSON"):
            read()


@pytest.mark.parametrize(
    "body",
    [
        b'{"rows":[]}',
        b"{}",
        b'{"data":null}',
        b'{"data":{}}',
        b'{"data":"[]"}',
        b'{"data":[1]}',
        b'{"data":[null]}',
        b'{"data":[{"a":1},[]]}',
        b'{"inner":{"data":[]}}',
        b"[]",
        b'[{"data":[]}]',
    ],
)
def test_json_of_another_shape_is_refused(body: bytes) -> None:
    for read in (lambda: split_page(body, "data"), lambda: collect([body])):
        with pytest.raises(InvalidBodyError):
            read()


@pytest.mark.parametrize("where", [b'{"data":[{"a":%s}]}', b'{"data":[],"a":%s}'])
def test_nesting_without_end_is_refused(where: bytes) -> None:
    body = where % (b"[" * 100_000 + b"]" * 100_000)
    for read in (lambda: split_page(body, "data"), lambda: collect([body])):
        with pytest.raises(InvalidBodyError, match="nested too deeply"):
            read()


def test_the_message_says_where_and_quotes_nothing() -> None:
    body = b'{"data":[{"name":"CANARY","id":00001}]}'
    for read in (lambda: split_page(body, "data"), lambda: collect(split(body, [9, 20]))):
        with pytest.raises(InvalidBodyError, match="at character 32") as caught:
            read()
        assert "CANARY" not in str(caught.value)


def test_records_are_handed_out_before_the_body_has_come() -> None:
    pulled = 0

    def arrive() -> Any:
        nonlocal pulled
        for chunk in (b'{"data":[{"a":1},', *[b'{"a":2},'] * 1000, b'{"a":3}]}'):
            pulled += 1
            yield chunk

    reader = iter_records(arrive(), "data")
    assert next(reader) == b'{"a":1}'
    assert pulled < 5
    assert len(list(reader)) == 1001


@pytest.mark.parametrize(
    "body",
    [
        b'{"data":[{"a":1}],"data":[{"a":2}]}',
        b'{"data":[{"a":1}],"d\\u0061ta":[{"a":2}]}',
        b'{"data":[{"a":1}],"data":[]}',
        b'{"data":[],"next":"x","next":null}',
        b'{"data":[],"totals":{"n":3,"n":2}}',
    ],
)
def test_a_member_that_comes_twice_around_the_records_is_refused_as_one_of_them_would_be_lost(body: bytes) -> None:
    with pytest.raises(InvalidBodyError, match="JSON"):
        split_page(body, "data")


def test_a_name_may_be_spelled_with_escapes() -> None:
    assert split_page(b'{"d\\u0061ta":[{"a":1}],"\\u006e":2}', "data") == JsonPage([b'{"a":1}'], {"n": 2})


@pytest.mark.parametrize("body", [b'{"data":[%s]}', b'{"data":[{"a":[%s]}]}', b'{"data":[],"a":[%s]}'])
@pytest.mark.parametrize("value", [b"{}", b"[]", b"0"])
def test_more_values_than_a_page_ever_has_are_refused_before_they_are_built(
    body: bytes, value: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_records, "MAX_VALUES", 100)
    with pytest.raises(InvalidBodyError, match="more than 100 values"):
        split_page(body % b",".join([value] * 101), "data")


def test_commas_and_brackets_within_text_are_no_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_records, "MAX_VALUES", 100)
    record = rb'{"a":"' + rb",[{\"" * 1000 + rb'"}'
    assert split_page(b'{"data":[%s]}' % record, "data").records == [record]


def test_a_value_that_arrives_in_chunks_is_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_records, "MAX_VALUES", 1000)
    taken = iter((b'{"data":[{"a":[', *[b"[],{}," * 10] * 100_000))
    with pytest.raises(InvalidBodyError, match="more than 1000 values"):
        list(iter_records(taken, "data"))
    assert sum(1 for _ in taken) > 99_000


def test_an_answer_that_is_parsed_whole_is_bounded_in_values_and_depth() -> None:
    most = json_records.MAX_ENVELOPE_VALUES
    assert len(read_envelope(b"[" + b",".join([b"0"] * (most - 2)) + b"]")) == most - 2
    with pytest.raises(ValueError, match="more than"):
        read_envelope(b"[" + b",".join([b"{}"] * most) + b"]")
    with pytest.raises(RecursionError):
        read_envelope(b"[" * 150 + b"]" * 150)


@pytest.mark.parametrize(("depth", "is_read"), [(99, True), (100, False), (450, False)])
@pytest.mark.parametrize(("start", "end"), [(b"[", b"]"), (b'{"b":', b"}")])
def test_records_are_no_deeper_than_every_reader_can_parse(depth: int, is_read: bool, start: bytes, end: bytes) -> None:
    record = b'{"a":' + start * depth + b"1" + end * depth + b"}"
    body = b'{"data":[{"n":1},%s]}' % record
    for read in (lambda: split_page(body, "data"), lambda: collect([body])):
        if is_read:
            assert read().records == [b'{"n":1}', record]
        else:
            with pytest.raises(InvalidBodyError, match="nested too deeply"):
                read()


def test_many_lists_side_by_side_are_not_deep() -> None:
    record = b'{"a":[' + b",".join([b'{"b":[]}'] * 200) + b'],"c":"' + b"[" * 500 + b'"}'
    assert read_both(b'{"data":[%s]}' % record).records == [record]
