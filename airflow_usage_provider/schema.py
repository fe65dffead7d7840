"""What a stream's columns mean: their kinds, what tells two records apart, and what a column is for.

A stream declares this once. Frames, ``diff``, tables, FOCUS and reports read it, and the manifest carries it, so that
an archive explains itself without the package of the vendor that wrote it. Nothing else says what a column means.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Self

from airflow_usage_provider.exceptions import ConfigurationError

KINDS = ("text", "flag", "date", "time", "count", "number", "money", "json")
#: The roles that name a column, and the kinds that column may have.
COLUMN_ROLES: Mapping[str, tuple[str, ...]] = {
    "cost": ("money",),
    "principal": ("text", "count"),
    "principal_name": ("text",),
    "model": ("text",),
    **dict.fromkeys(
        ("requests", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens"), ("count",)
    ),
}
#: The roles that hold a value of their own; ``currency`` may also name a column.
VALUE_ROLES = ("currency", "cost_scale", "principal_kind", "charges")
PRINCIPAL_KINDS = ("user", "api_key", "project", "agent", "model")
_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)
_NUMERAL = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,9})?", re.ASCII)
_MOST_DIGITS = 1000  # of a number written out; beyond, nobody meant it, and writing it out takes for ever
_FLAGS = {"true": True, "false": False, "1": True, "0": False}


@dataclass(frozen=True, slots=True)
class StreamSchema:
    """
    The columns of one stream.

    A column within an object is named by its path, ``amount.value``. Columns that are not declared are ``text`` of the
    tables' ``other_columns``.

    :param identity: columns that tell two records of one answer apart; empty: only the whole record does.
    :param columns: kind of each column, in the vendor's order: ``text``, ``flag``, ``date``, ``time``, ``count``,
        ``number``, ``money`` or ``json``.
    :param roles: what columns are for. ``cost`` (money), with ``currency`` (an ISO 4217 code, or a column) and
        ``cost_scale`` (a decimal string; ``"0.01"`` where the vendor says cents); ``principal`` with ``principal_kind``
        (``user``, ``api_key``, ``project``, ``agent`` or ``model``) and ``principal_name``; ``model``, ``requests``,
        ``input_tokens``, ``output_tokens``, ``cache_read_tokens``, ``cache_write_tokens``; and ``charges``, the name of
        the pot of money the rows belong to: streams of one vendor with one pot show the same money.
    :raises ConfigurationError: an identity or a role names no column, or a kind or role does not exist.
    """

    identity: tuple[str, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    roles: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        given: object = self.identity
        if isinstance(given, str):
            _refuse(f"identity is the text {given!r}", f"Give a tuple: ({given!r},).")
        object.__setattr__(self, "identity", tuple(self.identity))
        object.__setattr__(self, "columns", MappingProxyType(dict(self.columns)))
        object.__setattr__(self, "roles", MappingProxyType(dict(self.roles)))
        for name, kind in self.columns.items():
            if kind not in KINDS:
                _refuse(
                    f"column {name!r} is of kind {kind!r}, which does not exist", f"Give one of {', '.join(KINDS)}."
                )
        for name in self.identity:
            if name not in self.columns:
                _refuse(f"identity names {name!r}, which is no column", "Declare it among the columns.")
        for role, value in self.roles.items():
            self._check_role(role, value)
        self._check_company()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.identity, dict(self.columns), dict(self.roles))

    def __hash__(self) -> int:
        return hash((self.identity, *self.columns.items(), *sorted(self.roles.items())))

    def as_dict(self) -> dict[str, Any]:
        """Shape of ``schema`` in a manifest."""
        return {"identity": list(self.identity), "columns": dict(self.columns), "roles": dict(self.roles)}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """
        Read what a manifest says, also one of a later version: what is not known here is ``text``, or left out.

        :raises ConfigurationError: it does not hold together.
        """
        columns = {str(name): kind if kind in KINDS else "text" for name, kind in document.get("columns", {}).items()}
        known = (*COLUMN_ROLES, *VALUE_ROLES)
        roles = {role: str(value) for role, value in document.get("roles", {}).items() if role in known}
        return cls(tuple(map(str, document.get("identity", ()))), columns, roles)

    @property
    def cost_scale(self) -> Decimal:
        """What a figure of the role ``cost`` is multiplied by to be in the currency's unit."""
        return Decimal(self.roles.get("cost_scale", "1"))

    def kind(self, name: str) -> str:
        """Return the kind of a column; ``text`` if it is not declared."""
        return self.columns.get(name, "text")

    def _check_role(self, role: str, value: str) -> None:
        if role not in COLUMN_ROLES and role not in VALUE_ROLES:
            known = ", ".join((*COLUMN_ROLES, *VALUE_ROLES))
            _refuse(f"role {role!r} does not exist", f"Give one of {known}.")
        if role in COLUMN_ROLES:
            if value not in self.columns:
                _refuse(f"role {role!r} names {value!r}, which is no column", "Declare it among the columns.")
            if (kind := self.columns[value]) not in COLUMN_ROLES[role]:
                allowed = " or ".join(COLUMN_ROLES[role])
                _refuse(f"role {role!r} names {value!r}, which is of kind {kind}", f"It must be {allowed}.")
        elif role == "currency" and value not in self.columns and not _CURRENCY.fullmatch(value):
            _refuse(f"currency is {value!r}", "Give an ISO 4217 code such as USD, or name a column.")
        elif role == "cost_scale" and not (_NUMERAL.fullmatch(value) and Decimal(value) > 0):
            _refuse(f"cost_scale is {value!r}", 'Give a decimal above 0 as a string, such as "0.01" for cents.')
        elif role == "principal_kind" and value not in PRINCIPAL_KINDS:
            _refuse(f"principal_kind is {value!r}", f"Give one of {', '.join(PRINCIPAL_KINDS)}.")
        elif role == "charges" and not value.strip():
            _refuse("charges is empty", "Name the pot of money, or leave the role out.")

    def _check_company(self) -> None:
        """Refuse a role that says nothing without another."""
        needs = {
            "cost": "currency",
            "currency": "cost",
            "cost_scale": "cost",
            "charges": "cost",
            "principal": "principal_kind",
            "principal_kind": "principal",
            "principal_name": "principal",
        }
        for role, other in needs.items():
            if role in self.roles and other not in self.roles:
                _refuse(f"role {role!r} is given without {other!r}", f"Give {other} too, or leave {role} out.")


def parse_value(kind: str, value: Any) -> Any:
    """
    Read a value as what its kind says it is; nothing is guessed, and nothing is lost.

    :param kind: one of :data:`KINDS`.
    :param value: text of a CSV cell, or a JSON value with decimals as ``Decimal`` or text.
    :return: None for null and the empty cell; else ``text`` and ``json`` as ``str``, ``flag`` as ``bool``, ``date`` as
        ``date``, ``time`` as aware ``datetime``, ``count`` as ``int`` of any size, ``number`` as ``float``, ``money``
        as ``Decimal``.
    :raises ValueError: it cannot be read as that.
    """
    if value is None or value == "":
        return None
    return _PARSERS[kind](value)


def value_at(record: Mapping[str, Any], name: str) -> Any:
    """Return a column of a record; of a name with dots that is no member itself, the value at that path, or None."""
    if name in record:
        return record[name]
    value: Any = record
    for step in name.split("."):
        if not isinstance(value, Mapping) or step not in value:
            return None
        value = value[step]
    return value


def _parse_text(value: Any) -> str:
    return value if isinstance(value, str) else _to_json(value)


def _parse_flag(value: Any) -> bool:
    flag = value if isinstance(value, bool) else _FLAGS.get(str(value).strip().lower())
    if flag is None:
        raise ValueError("neither true nor false")
    return flag


def _parse_number(value: Any) -> Decimal:
    text = "" if isinstance(value, bool | dict | list) else str(value).strip(" ")
    if not _NUMERAL.fullmatch(text):
        raise ValueError("not a plain number")
    if len(text) > _MOST_DIGITS or abs((number := Decimal(text)).adjusted()) > _MOST_DIGITS:
        raise ValueError(f"a number of more than {_MOST_DIGITS} digits")
    return number


def _parse_count(value: Any) -> int:
    number = _parse_number(value)
    if number != (whole := int(number)):
        raise ValueError("not a whole number")
    return whole


def _parse_time(value: Any) -> datetime | None:
    """Vendors write times with a blank or a T, in seconds since 1970, and 0 where there is none."""
    if isinstance(value, bool | dict | list):
        raise ValueError("not a time")  # noqa: TRY004 - one kind of error for all that cannot be read
    text = str(value).strip()
    if text == "0":
        return None
    try:
        if _NUMERAL.fullmatch(text):
            return datetime.fromtimestamp(float(text), UTC)
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError, OSError):
        raise ValueError("not a time as ISO 8601 writes it") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _parse_date(value: Any) -> date:
    text = str(value).strip()
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("not a date as YYYY-MM-DD") from None
    if moment.time() != time():
        raise ValueError("a time within a day, not a date")
    return moment.date()


def _to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str) if _is_json(value) else str(value)


def _is_json(value: Any) -> bool:
    return isinstance(value, dict | list | bool)


_PARSERS = {
    "text": _parse_text,
    "json": _parse_text,
    "flag": _parse_flag,
    "date": _parse_date,
    "time": _parse_time,
    "count": _parse_count,
    "number": lambda value: float(_parse_number(value)),
    "money": _parse_number,
}


def _refuse(what: str, next_step: str) -> None:
    raise ConfigurationError(f"StreamSchema: {what}", next_step=next_step)
