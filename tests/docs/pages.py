"""What each page's SQL gives on the example archive: a page more is an entry more in ``PAGES``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

Rows = Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Page:
    """
    How the SQL blocks of a page are run: in order, on one DuckDB connection.

    :param results: rows of the last statement by the block's number; a block that gives none has no entry.
    :param not_run: why a block cannot be run here, by its number; it is parsed all the same.
    :param prepare: makes what the page needs beside the archive, from the connection and the archive's place (a URL or
        a folder, with a slash at its end); returns what to write in the blocks instead of the page's own names.
    """

    results: Mapping[int, Rows] = field(default_factory=dict)
    not_run: Mapping[int, str] = field(default_factory=dict)
    prepare: Callable[[Any, str], Mapping[str, str]] = lambda connection, place: {}


def _day(day: int) -> date:
    return date(2026, 11, day)


_ACME, _BETA = "acme", "eu/beta"
_TWO_LANGDOCKES = 'Two\r\nlines, "quoted"'
_LANGDOCK, _KEYS = "langdock", "api_keys"

PAGES: Mapping[str, Page] = {
    "docs/querying.md": Page(
        not_run={1: "downloads extensions; the test loads httpfs from a package and names its own server"},
        results={
            3: [
                ("keywordsai", _ACME, "users", _day(20), 2, False, 1),
                ("keywordsai", _ACME, "users", _day(21), 1, False, 1),
                ("keywordsai", _BETA, "users", _day(20), 1, False, 1),
                (_LANGDOCK, _ACME, "agents", _day(20), 0, True, 1),
                (_LANGDOCK, _ACME, "agents", _day(21), 1, False, 1),
                (_LANGDOCK, _ACME, _KEYS, _day(20), 2, False, 2),
                (_LANGDOCK, _ACME, _KEYS, _day(21), 100, False, 1),
                (_LANGDOCK, _ACME, _KEYS, _day(22), 0, True, 2),
                (_LANGDOCK, _BETA, _KEYS, _day(20), 1, False, 1),
                (_LANGDOCK, _BETA, _KEYS, _day(21), 1, False, 1),
            ],
            5: [
                (_ACME, "k1", _day(20), _day(20), 6, Decimal("0.12")),
                (_ACME, "k2", _day(20), _day(20), 7, Decimal("1.50")),
                (_ACME, "k3", _day(21), _day(21), 50, Decimal("2.45e-7")),
                (_ACME, "k4", _day(21), _day(21), 50, Decimal("2.45e-7")),
                (_BETA, "k1", _day(20), _day(21), 4, Decimal("2.00")),
            ],
            6: [(_day(21), "Notes", _TWO_LANGDOCKES, 4)],
            7: [
                (_ACME, "ann", 6, Decimal("0.000104")),
                (_ACME, "bob", 1, None),
                (_BETA, "ann", 3, Decimal("0.000052")),
            ],
            8: [
                (_day(20), _ACME, Decimal("1.60")),
                (_day(20), _BETA, Decimal("2.00")),
                (_day(21), _ACME, Decimal("4.9e-7")),
                (_day(21), _BETA, None),
                (_day(22), _ACME, Decimal("9.99")),
            ],
            9: [
                (_LANGDOCK, _ACME, _KEYS, _day(20), 2, datetime(2026, 11, 30, 2, tzinfo=UTC), False),
                (_LANGDOCK, _ACME, _KEYS, _day(22), 2, datetime(2026, 11, 26, 12, tzinfo=UTC), True),
            ],
            10: [
                (_day(20), _ACME, "k1", "Ops", 6, Decimal("0.12")),
                (_day(20), _ACME, "k2", "Ops", 7, Decimal("1.50")),
                (_day(20), _BETA, "k1", "Ops", 1, Decimal("2.00")),
                (_day(21), _ACME, "k3", "Batch", 50, Decimal("2.45e-7")),
                (_day(21), _ACME, "k4", "Batch", 50, Decimal("2.45e-7")),
                (_day(21), _BETA, "k1", "Ops", 3, None),
            ],
        },
    ),
    "docs/tables.md": Page(
        results={
            1: [
                (_day(20), _ACME, 13, Decimal("1.62")),
                (_day(20), _BETA, 1, Decimal("2.00")),
                (_day(21), _ACME, 100, Decimal("4.9e-7")),
                (_day(21), _BETA, 3, None),
            ],
            2: [
                (_day(20), _ACME, 12, Decimal("1.60")),
                (_day(20), _BETA, 1, Decimal("2.00")),
                (_day(21), _ACME, 100, Decimal("4.9e-7")),
                (_day(21), _BETA, 3, None),
                (_day(22), _ACME, 1, Decimal("9.99")),
            ],
            3: [
                (_LANGDOCK, _ACME, "agents", _day(20), datetime(2026, 11, 21, 2, 0, 2, tzinfo=UTC)),
                (_LANGDOCK, _ACME, _KEYS, _day(22), datetime(2026, 11, 26, 12, tzinfo=UTC)),
            ],
        }
    ),
}
