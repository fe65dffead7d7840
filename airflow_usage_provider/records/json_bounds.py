"""How many values JSON may hold, and how deep: counted before anything is built from it."""

from __future__ import annotations

import re
from operator import methodcaller
from typing import Any

MAX_VALUES = 1_000_000  # of a page or a record: what is parsed takes up to a hundred bytes a value
MAX_ENVELOPE_VALUES = 100_000  # of an answer that is parsed whole
MAX_DEPTH = 100  # which every reader must be able to parse, of records and manifests
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_BRACKET = re.compile(rb"[\[{]|([\]}])")
_count_braces, _count_brackets = methodcaller("count", b"{"), methodcaller("count", b"[")


def has_many_values(text: bytes, most: int) -> bool:
    """Return whether JSON may hold more values than that; nothing is built to find out."""
    if len(text) // 2 < most:  # a value takes a character, and another one to part it from the next
        return False

    def count(text: bytes) -> int:
        return 1 + text.count(b",") + text.count(b"[") + text.count(b"{")

    return count(text) > most and count(_STRING.sub(b"", text)) > most


def refuse_deep(value: Any) -> None:
    """
    Refuse a value of more than :data:`MAX_DEPTH` levels.

    :raises RecursionError: it is.
    """
    level = [value]
    for _ in range(MAX_DEPTH):
        inner = (each.values() if isinstance(each, dict) else each for each in level if isinstance(each, dict | list))
        level = [item for items in inner for item in items]
        if not level:
            return
    raise RecursionError


def refuse_deep_records(records: list[bytes]) -> None:
    """
    Refuse records of more than :data:`MAX_DEPTH` levels.

    :raises RecursionError: there is one.
    """
    half = MAX_DEPTH // 2  # of what opens an object, and of what opens a list
    if max(map(_count_braces, records), default=0) > half or max(map(_count_brackets, records), default=0) > half:
        for record in records:
            _refuse_deep_text(record)


def _refuse_deep_text(record: bytes) -> None:
    if record.count(b"{") + record.count(b"[") <= MAX_DEPTH:
        return
    depth = 0
    for bracket in _BRACKET.finditer(_STRING.sub(b"", record)):
        depth += -1 if bracket[1] else 1
        if depth > MAX_DEPTH:
            raise RecursionError
