"""Whatever a vendor sends: totals equal those of raw, exactly, and history answers as of any time as a rebuild does."""

from __future__ import annotations

import csv
import io
import tempfile
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from folders import FolderArchive
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_usage_provider.records.rows import iter_rows
from airflow_usage_provider.schema import StreamSchema

SCHEMA = StreamSchema(columns={"key": "text", "cost": "money", "n": "count"})
START = datetime(2026, 10, 1, tzinfo=UTC)

texts = st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters='\n\r",'), max_size=8)
money = st.one_of(
    st.decimals(-(10**19), 10**19, places=18).map(str),
    st.decimals(-100, 100, places=7).map(lambda number: f"{number:e}"),
    st.sampled_from(["", "0", ".5", "5.", "+1", "1e2", "00.10"]),
)
counts = st.one_of(st.integers(-(2**70), 2**70).map(str), st.sampled_from(["", "1,234", "x", "7.0", "0x1f"]))
rows = st.lists(st.tuples(texts, money, counts, texts), min_size=1, max_size=12)
newlines = st.sampled_from(["\n", "\r\n"])


def write_csv(answer: list[tuple[str, ...]], newline: str) -> bytes:
    out = io.StringIO()
    quoting = csv.QUOTE_MINIMAL if newline == "\r\n" else csv.QUOTE_ALL  # Python leaves a lone CR unquoted else
    writer = csv.writer(out, lineterminator=newline, quoting=quoting)
    writer.writerow(["key", "cost", "n", "extra"])
    writer.writerows(answer)
    return out.getvalue().encode()


@pytest.mark.slow
@settings(max_examples=60)
@given(st.lists(rows, min_size=1, max_size=3), newlines)
def test_every_value_and_every_total_equals_raws(answers, newline):
    with tempfile.TemporaryDirectory() as folder:
        archive = FolderArchive(Path(folder))
        raw = []
        for number, answer in enumerate(answers):
            body = write_csv(answer, newline)
            archive.store(body, len(answer), day=date(2026, 10, 1 + number), schema=SCHEMA)
            raw += iter_rows([body], "text/csv")
        archive.build()
        built = archive.read("current")
    assert [row["key"] or "" for row in built] == [row["key"] for row in raw]
    assert [row["cost"] for row in built] == [Decimal(row["cost"]) if row["cost"] else None for row in raw]
    assert sum(row["cost"] or 0 for row in built) == sum(Decimal(row["cost"] or 0) for row in raw)
    for row, sent in zip(built, raw, strict=True):
        if row["n"] is not None:
            assert row["n"] == Decimal(sent["n"])
        else:
            assert not sent["n"] or sent["n"] in row["other_columns"]


answers_of_a_day = st.lists(st.sampled_from([b"", b"a,1,1\n", b"b,2,2\nc,3,3\n", b"d,4,4\n"]), min_size=1, max_size=6)


@pytest.mark.slow
@settings(max_examples=30)
@given(st.lists(answers_of_a_day, min_size=1, max_size=2), st.lists(st.integers(0, 20), min_size=10, max_size=10))
def test_history_as_of_any_time_is_what_a_rebuild_as_of_that_time_has(days, hours):
    with tempfile.TemporaryDirectory() as folder:
        archive = FolderArchive(Path(folder), now=START)
        for number, answers in enumerate(days):
            for body in answers:
                rows = body.count(b"\n")
                content = b"key,cost,n\n" + body if rows else b""
                archive.store(content, rows, day=date(2026, 10, 1 + number), schema=SCHEMA, at=archive.now)
        archive.build()
        history = archive.read("history")
        for number, hour in enumerate(hours):
            as_of = START + timedelta(hours=hour / 2)
            archive.build(Path(folder) / f"as-of-{number}", as_of=as_of)
            rebuilt = archive.read("current", Path(folder) / f"as-of-{number}")
            known = [
                {name: value for name, value in row.items() if name not in ("known_from", "known_to")}
                for row in history
                if row["known_from"] <= as_of and (row["known_to"] is None or as_of < row["known_to"])
            ]
            assert known == rebuilt
