"""Every SQL block of README.md and docs is run, and gives the figures it should, from a bucket and from a folder."""

from __future__ import annotations

from typing import Any

import pytest
from blocks import Block, find_blocks
from pages import PAGES

OWN_NAME = "s3://company-llm-usage/archive/"
BLOCKS: dict[str, list[Block]] = {}
for each in find_blocks("sql"):
    BLOCKS.setdefault(each.page, []).append(each)


def test_every_page_with_sql_says_what_it_gives() -> None:
    assert set(PAGES) == set(BLOCKS)
    for name, page in PAGES.items():
        assert {*page.results, *page.not_run} <= set(range(1, len(BLOCKS[name]) + 1))


@pytest.mark.parametrize("name", sorted(BLOCKS))
def test_the_sql_of_a_page_gives_what_it_should(name: str, connection: Any, place: str) -> None:
    page = PAGES[name]
    names = {OWN_NAME: place, **page.prepare(connection, place)}
    for block in BLOCKS[name]:
        code = block.code
        for own, here in names.items():
            code = code.replace(own, here)
        statements = connection.extract_statements(code)
        assert statements, block
        if block.number in page.not_run:
            continue
        answer = connection.execute(code)
        gives_rows = statements[-1].type.name == "SELECT"
        assert gives_rows == (block.number in page.results), block
        if gives_rows:
            assert answer.fetchall() == [tuple(row) for row in page.results[block.number]], block
