"""The counter agrees with Python's csv module on every body, however it is cut into chunks."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_usage_provider.exceptions import IncompleteSnapshotError, InvalidBodyError
from airflow_usage_provider.records.csv import CsvRecordCounter

BOM = b"\xef\xbb\xbf"
cells = st.text(st.sampled_from(' ",\r\n\t;aZé🦊0'), max_size=6)
cuts = st.lists(st.integers(0, 400), max_size=6)


def split(body: bytes, positions: list[int]) -> list[bytes]:
    edges = sorted({0, len(body), *(position for position in positions if position < len(body))})
    return [body[start:end] for start, end in pairwise(edges)]


class SmallBlocks(CsvRecordCounter):
    """Counts at once what is as short as these bodies, where others look at every byte."""

    _block, _least, _least_first = 128, 64, 64


class Impatient(SmallBlocks):
    """Looks at no whole block byte by byte."""

    def _scan(self, data: bytes) -> None:
        assert len(data) < self._block
        super()._scan(data)


def count(*chunks: bytes | memoryview, counter: CsvRecordCounter | None = None) -> CsvRecordCounter:
    counter = counter or CsvRecordCounter()
    for chunk in chunks:
        counter.feed(chunk)
    counter.finish()
    return counter


def read_rows(text: str) -> list[list[str]]:
    return [row for row in csv.reader(io.StringIO(text, newline="")) if row]


def ends_within_quotes(text: str) -> bool:
    """Whether one more line would be swallowed by the last cell."""
    return len(read_rows(text + "\nz")) == len(read_rows(text))


def check_against_csv(text: str, chunks: list[bytes]) -> None:
    rows = read_rows(text)
    is_ragged = any(len(row) != len(rows[0]) for row in rows)
    if is_ragged or ends_within_quotes(text):
        for kind in (CsvRecordCounter, SmallBlocks):
            with pytest.raises(IncompleteSnapshotError):
                count(*chunks, counter=kind())
        return
    for kind in (CsvRecordCounter, SmallBlocks):
        counter = count(*chunks, counter=kind())
        assert counter.columns == (tuple(rows[0]) if rows else ())
        assert counter.rows == max(len(rows) - 1, 0)
        assert counter.is_terminated == (not text or text[-1] in "\r\n")


@settings(max_examples=500)
@given(text=st.text(st.sampled_from('",\r\n a'), max_size=30), positions=cuts)
@example(text='a"b,c\n1,2\n', positions=[3])
@example(text="\r\n\na,b\n1,2\n", positions=[1])
@example(text='"a\n', positions=[])
@example(text='a\n""\n\n""\r', positions=[4])
@example(text='"a""\n",b\r1,2', positions=[3, 4])
def test_any_text_is_read_as_pythons_csv_reads_it(text: str, positions: list[int]) -> None:
    check_against_csv(text, split(text.encode(), positions))


@settings(max_examples=200)
@given(data=st.data(), positions=cuts)
def test_what_a_csv_writer_writes_is_counted_exactly(data: Any, positions: list[int]) -> None:
    width = data.draw(st.integers(1, 4))
    rows = data.draw(st.lists(st.lists(cells, min_size=width, max_size=width), min_size=1, max_size=8))
    buffer = io.StringIO()
    end = data.draw(st.sampled_from(["\n", "\r\n", "\r"]))
    quoting = data.draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]))
    csv.writer(buffer, lineterminator=end, quoting=quoting).writerows(rows)
    text = buffer.getvalue()
    if data.draw(st.booleans()):
        text = text.removesuffix(end)
    bom = data.draw(st.sampled_from([b"", BOM]))
    check_against_csv(text, split(bom + text.encode(), positions))


@given(st.text(st.sampled_from('",\r\n a'), max_size=12))
def test_the_chunking_never_matters(text: str) -> None:
    def outcome(chunks: list[bytes]) -> Any:
        try:
            counter = count(*chunks)
        except IncompleteSnapshotError as error:
            return str(error)
        return counter.rows, counter.columns, counter.is_terminated

    body = BOM + text.encode()
    assert outcome(split(body, list(range(len(body))))) == outcome([body])


def test_a_chunk_may_be_a_memoryview() -> None:
    assert count(memoryview(b"a,b\n1,2\n"), memoryview(b"3,4\n")).rows == 2


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("last", [True, False])
def test_line_ends_of_all_kinds_and_a_missing_last_one(end: bytes, last: bool) -> None:
    body = end.join([b'a,"b', b'c"', b"1,2", b"3,4"]) + end * last
    counter = count(body)
    assert counter.rows == 2
    assert counter.columns == ("a", f"b{end.decode()}c")
    assert counter.is_terminated is last


def test_a_byte_order_mark_is_no_part_of_the_first_name() -> None:
    for body in (BOM + b"a,b\n1,2\n", BOM + b'"a",b\n1,2\n'):
        assert count(*split(body, [1, 2, 3, 4])).columns == ("a", "b")


def test_a_header_alone_is_no_record_whether_or_not_its_line_ends() -> None:
    for body, is_terminated in ((b"a,b\n", True), (b"a,b\r", True), (b"a,b", False), (b"", True)):
        counter = count(body)
        assert (counter.rows, counter.is_terminated) == (0, is_terminated)
        assert counter.columns == (("a", "b") if body else ())


@pytest.mark.parametrize(
    ("body", "record", "width"),
    [
        (b"a,b\n1,2\n3\n", 2, 1),
        (b"a,b\n1,2\n3,4,5\n", 2, 3),
        (b"a,b\n1,2\n" + b"3,4\n" * 1000 + b"5", 1002, 1),
        (b'a,b\n1,2\n"3,4"\n', 2, 1),
        (b'a,b\n"1\n",2\n3,4\n,\n5\n', 4, 1),
        (b"a\n1,2\n", 1, 2),
    ],
)
def test_a_record_of_another_width_than_the_header_is_refused_by_number(body: bytes, record: int, width: int) -> None:
    for chunks in ([body], split(body, list(range(len(body))))):
        with pytest.raises(IncompleteSnapshotError, match=f"record {record} has {width} cells, the header has"):
            count(*chunks)


@pytest.mark.parametrize("body", [b'a,b\n1,"2', b'a,b\n1,"2\n3,4\n', b'a,"b\n1,2\n', b'a,b\n"', BOM + b'"a'])
def test_a_body_that_ends_within_a_quoted_cell_is_refused(body: bytes) -> None:
    with pytest.raises(IncompleteSnapshotError, match="ends within a quoted cell"):
        count(body)


def test_every_cut_within_quotes_or_a_row_of_a_body_is_noticed() -> None:
    body = b'a,b\n1,"two\nlines"\n3,"4, ""5"""\n'
    whole = count(body)
    for end in range(1, len(body) - 1):
        try:
            part = count(body[:end])
        except IncompleteSnapshotError:
            continue
        assert part.rows < whole.rows or not part.is_terminated


@pytest.mark.parametrize(
    "body", [b"<!DOCTYPE html><html>", b"  \r\n<?xml version", BOM + b"<Error>", b'{"error": 1}', b'[{"a":1}]']
)
def test_html_xml_and_json_are_no_csv(body: bytes) -> None:
    with pytest.raises(InvalidBodyError, match="HTML, XML or JSON"):
        count(*split(body, [5]))


def test_a_body_without_a_line_end_is_no_csv_and_is_not_collected_for_ever() -> None:
    counter = CsvRecordCounter()
    for _ in range(16):
        counter.feed(b"a" * 65536)
    with pytest.raises(InvalidBodyError, match="no header within"):
        counter.feed(b"a")


def test_a_column_name_of_absurd_length_is_refused() -> None:
    with pytest.raises(InvalidBodyError, match="too long"):
        count(b"a" * 200_000 + b",b\n1,2\n")


def test_utf16_is_refused() -> None:
    with pytest.raises(InvalidBodyError, match="superset of ASCII"):
        count("a,b\n1,2\n".encode("utf-16"))


def test_another_superset_of_ascii_is_counted() -> None:
    counter = count("größe,b\nmäßig,2\n".encode("latin-1"))
    assert (counter.columns, counter.rows) == (("größe", "b"), 1)


def test_plain_and_quoted_chunks_take_turns() -> None:
    chunks = [b"a,b\n1,2\n3,", b'"4\n', b"5,6\n7", b'"\n', b"8,9\n\n\r\n10,", b"11\n"]
    assert count(*chunks).rows == len(read_rows(b"".join(chunks).decode())) - 1 == 4


def test_a_cell_that_is_longer_than_a_block_is_counted_in_blocks_all_the_same() -> None:
    cell = '"' + 'say ""no"", \n' * 40 + '"'
    body = ("a,b\n" + f"{cell},1\r\n2,{cell}\n" * 9).encode()
    assert count(body, counter=Impatient()).rows == 18


def test_a_small_body_is_counted_without_importing_numpy() -> None:
    code = (
        "import sys\n"
        "from airflow_usage_provider.records.csv import CsvRecordCounter\n"
        "counter = CsvRecordCounter()\n"
        "counter.feed(b'a,b\\n' + b'1,2\\n' * 9000)\n"
        "counter.finish()\n"
        "print(counter.rows, 'numpy' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "9000 False\n"
