"""The code blocks of README.md and docs, found whatever page they are on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
_BLOCK = re.compile(r"^( *)```(sql|python)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """
    One block.

    :param page: path from the root: ``docs/querying.md``.
    :param number: counted from 1 among the blocks of its language on the page.
    """

    page: str
    language: str
    number: int
    code: str

    def __str__(self) -> str:
        return f"{self.page}:{self.language}:{self.number}"


def find_blocks(language: str) -> list[Block]:
    """Return every block of a language, pages in order of their names."""
    blocks = []
    for page in sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]):
        found = [match[3] for match in _BLOCK.finditer(page.read_text()) if match[2] == language]
        name = page.relative_to(ROOT).as_posix()
        blocks += [Block(name, language, number, code) for number, code in enumerate(found, 1)]
    return blocks
