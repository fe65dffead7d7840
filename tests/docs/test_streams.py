"""The page on which stream answers which question says what the schemas say."""

from __future__ import annotations

import re

from blocks import ROOT

from airflow_usage_provider.vendors.langdock.query import STREAMS
from airflow_usage_provider.vendors.schemas import find_schema

PAGE = (ROOT / "docs" / "streams.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if re.match(r"\| (langdock|keywordsai) \|", line)
]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_every_stream_is_on_the_page_with_its_money_and_its_pot() -> None:
    for vendor, stream, principal, cost, other, pot in ROWS:
        schema = find_schema(vendor, *names(stream))
        assert schema is not None, stream
        roles = schema.roles
        assert principal == roles.get("principal_kind", "")
        assert names(cost) == [roles[role] for role in ("cost",) if role in roles]
        money = {name for name, kind in schema.columns.items() if kind == "money"}
        assert sorted((*names(cost), *names(other))) == sorted(money)
        assert names(pot) == [roles[role] for role in ("charges",) if role in roles]


def test_no_stream_is_missing() -> None:
    listed = {(vendor, *names(stream)) for vendor, stream, *_ in ROWS}
    langdock = {("langdock", stream) for stream in STREAMS}
    langdock |= {("langdock", f"{stream}_by_{group}") for stream, (_, groups) in STREAMS.items() for group in groups}
    keywordsai = {("keywordsai", f"users{kind}") for kind in ("", "_weekly", "_monthly", "_yearly", "_all", "_list")}
    assert listed - {("keywordsai", "users_prod"), ("keywordsai", "users_test")} == langdock | keywordsai


def test_all_money_is_in_dollars() -> None:
    schemas = [find_schema(vendor, *names(stream)) for vendor, stream, *_ in ROWS]
    priced = [schema for schema in schemas if schema is not None and "cost" in schema.roles]
    assert {(schema.roles["currency"], schema.cost_scale) for schema in priced} == {("USD", 1)}


def test_streams_of_one_pot_are_said_to_be_the_same_money() -> None:
    pots: dict[tuple[str, str], list[str]] = {}
    for vendor, stream, *_, pot in ROWS:
        if pot:
            pots.setdefault((vendor, pot), []).extend(names(stream))
    warnings = PAGE.partition("## What must not be added up")[2]
    for streams in pots.values():
        assert len(streams) == 1 or all(f"`{stream}`" in warnings for stream in streams)
