"""Text to typed columns: as Arrow casts, where it can and agrees with the schema's rules, else value by value.

What the two read alike goes through Arrow at its speed. Whatever else comes is read by ``schema.parse_value``: money
that cannot be read is an error, anything else becomes null and is handed back, so that its text is kept.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import TYPE_CHECKING, Any

from airflow_usage_provider.schema import parse_value
from airflow_usage_provider.tables.columns import MONEY_DECIMALS, MONEY_DIGITS, arrow_type

if TYPE_CHECKING:
    from collections.abc import Mapping

_STEP = Decimal(1).scaleb(-MONEY_DECIMALS)
_WIDE = Context(prec=4000, Emax=10**6, Emin=-(10**6))  # for money of any length that parse_value returns
_LIMIT = Decimal(10) ** (MONEY_DIGITS - MONEY_DECIMALS)
_INT64 = range(-(2**63), 2**63)
#: What Arrow surely reads as ``parse_value`` does; asked only after Arrow refused a column as a whole.
_PLAIN: Mapping[str, str] = {
    "count": r"^-?[0-9]{1,18}$",
    "number": r"^-?[0-9]{1,15}(\.[0-9]{1,15})?$",
    "money": r"^-?[0-9]{1,20}(\.[0-9]{1,18})?$",
    "flag": r"^(true|false|1|0)$",
    "date": r"^(19|20)[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])$",
}


class UnreadableMoneyError(ValueError):
    """
    Money that no decimal can hold or that is none.

    :param row: index within the column.
    :param value: its text.
    """

    def __init__(self, row: int, value: str, reason: str) -> None:
        super().__init__(reason)
        self.row = row
        self.value = value


@dataclass(slots=True)
class Tally:
    """What could not be kept as it was, by column: values that became null, and money that was rounded."""

    unreadable: Counter[str] = field(default_factory=Counter)
    rounded: Counter[str] = field(default_factory=Counter)

    def add(self, other: Tally) -> None:
        """Count what another one counted too."""
        self.unreadable += other.unreadable
        self.rounded += other.rounded


@dataclass(frozen=True, slots=True)
class Column:
    """
    A typed column.

    :param values: as an Arrow array.
    :param unreadable: indices of those that became null although there was something.
    :param rounded: how many values were rounded.
    """

    values: Any
    unreadable: tuple[int, ...] = ()
    rounded: int = 0


def convert(texts: Any, kind: str) -> Column:
    """
    Read a column of text as what its kind says.

    :param texts: Arrow array of strings; null where there is nothing.
    :raises UnreadableMoneyError: it is money, and a value is none.
    """
    if kind in ("text", "json"):
        return Column(texts)
    values = _cast(texts, kind)
    return Column(values) if values is not None else _convert_singly(texts, kind)


def _cast(texts: Any, kind: str) -> Any:
    """Return the column as Arrow reads it; None if it cannot, or reads what is none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        if kind == "time":
            return _cast_times(texts)
        values = pc.cast(texts, arrow_type(kind))
    except pa.ArrowInvalid:
        return None
    if kind == "count" and _has_x(texts):
        return None  # Arrow takes hexadecimal for a number
    return None if kind == "number" and _has_wrong_number(texts, values) else values


def _has_x(texts: Any) -> bool:
    data = bytes(texts.buffers()[2] or b"")  # of the whole array, whatever part of it this is
    return b"x" in data or b"X" in data


def _has_wrong_number(texts: Any, values: Any) -> bool:
    """Arrow takes "nan" for a number, what is too large for infinity, and what is too small for zero."""
    import pyarrow.compute as pc

    zeros = texts.filter(pc.equal(values, 0.0))
    is_wrong = pc.or_kleene(
        pc.any(pc.invert(pc.is_finite(values))), pc.any(pc.match_substring_regex(zeros, "^[^eE]*[1-9]"))
    )
    return bool(is_wrong.as_py())


def _cast_times(texts: Any) -> Any:
    """Arrow reads columns whose times all have a zone, or all have none: those are UTC."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        return pc.cast(texts, pa.timestamp("us", "UTC"))
    except pa.ArrowInvalid:
        return pc.cast(pc.cast(texts, pa.timestamp("us")), pa.timestamp("us", "UTC"))


def _convert_singly(texts: Any, kind: str) -> Column:
    """Let Arrow read what is plain, and read the rest one by one, each distinct text once."""
    import pyarrow as pa
    import pyarrow.compute as pc

    is_plain = pc.match_substring_regex(texts, _PLAIN[kind]) if kind in _PLAIN else pc.equal(texts, "")
    is_odd = pc.fill_null(pc.invert(is_plain), pa.scalar(value=False))
    values = pc.cast(pc.if_else(is_odd, pa.scalar(None, texts.type), texts), arrow_type(kind))
    rows = pc.indices_nonzero(is_odd).to_pylist()
    odd = texts.filter(is_odd).to_pylist()
    known: dict[str, tuple[Any, bool, bool]] = {}
    for row, text in zip(rows, odd, strict=True):
        if text not in known:
            known[text] = _read(row, text, kind)
    read = pa.array([known[text][0] for text in odd], arrow_type(kind))
    return Column(
        pc.replace_with_mask(values, is_odd, read),
        tuple(row for row, text in zip(rows, odd, strict=True) if known[text][1]),
        sum(known[text][2] for text in odd),
    )


def _read(row: int, text: str, kind: str) -> tuple[Any, bool, bool]:
    """Return a value, whether it could not be read, and whether it was rounded."""
    try:
        value = parse_value(kind, text)
    except ValueError as error:
        if kind == "money":
            raise UnreadableMoneyError(row, text, str(error)) from None
        return None, True, False
    if kind == "money" and value is not None:
        return _round(row, text, value)
    if kind == "count" and value is not None and value not in _INT64:
        return None, True, False
    return value, False, False


def _round(row: int, text: str, value: Decimal) -> tuple[Decimal, bool, bool]:
    rounded = value.quantize(_STEP, ROUND_HALF_EVEN, _WIDE)
    if abs(rounded) >= _LIMIT:
        raise UnreadableMoneyError(row, text, f"more than {MONEY_DIGITS - MONEY_DECIMALS} digits before the point")
    return rounded, False, rounded != value
