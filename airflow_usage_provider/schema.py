"""What a stream's columns mean: their kinds, what tells two records apart, and what a column is for.

A stream declares this once. Frames, ``diff``, tables, FOCUS and reports read it, and the manifest carries it, so that
an archive explains itself without the package of the vendor that wrote it. Nothing else says what a column means.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Self, cast

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
#: A role that says nothing without another.
_COMPANY = {
    "cost": "currency",
    "currency": "cost",
    "cost_scale": "cost",
    "charges": "cost",
    "principal": "principal_kind",
    "principal_kind": "principal",
    "principal_name": "principal",
}
PRINCIPAL_KINDS = ("user", "api_key", "project", "agent", "model")
_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)
_NUMERAL = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,9})?", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_DIGITS = 1000  # of a number written out; beyond, nobody meant it, and writing it out takes for ever
_ZONE = r"(?: ?(?:Z|UTC|[+-]\d{2}(?::?\d{2})?))?"
_TIME = re.compile(rf"\d{{4}}-\d{{2}}-\d{{2}}(?:[T ]\d{{2}}:\d{{2}}(?::\d{{2}}(?:\.\d+)?)?{_ZONE})?", re.ASCII)
_DATE = re.compile(rf"(\d{{4}}-\d{{2}}-\d{{2}})(?:[T ]00:00(?::00(?:\.0+)?)?{_ZONE})?", re.ASCII)
_SECONDS = range(10**9, 10**10)  # since 1970: of the years 2001 to 2286. Not milliseconds, and not 20261120
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
        object.__setattr__(self, "columns", _freeze("columns", self.columns))
        object.__setattr__(self, "roles", _freeze("roles", self.roles))
        is_names = isinstance(given, list | tuple) and all(isinstance(name, str) for name in given)
        if not is_names or len(set(self.identity)) != len(self.identity):
            _refuse(f"identity is {given!r}", "Give a tuple of columns, each once.")
        object.__setattr__(self, "identity", tuple(self.identity))
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
        for role in self.roles:
            if (other := _COMPANY.get(role, role)) not in self.roles:
                _refuse(f"role {role!r} is given without {other!r}", f"Give {other} too, or leave {role} out.")

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
        columns, roles = (document.get(name) or {} for name in ("columns", "roles"))
        if not isinstance(columns, Mapping) or not isinstance(roles, Mapping):
            _refuse("columns or roles of the manifest are no object", "Run usage-archive verify.")
        columns = {str(name): kind if kind in KINDS else "text" for name, kind in columns.items()}
        bare = cls(document.get("identity") or (), columns)
        known = {role: value for role, value in roles.items() if bare._can_play(role, value)}
        if "cost_scale" in roles and "cost_scale" not in known:
            known.pop("cost", None)  # without its scale, a cost is another one
        while lonely := [role for role in known if _COMPANY.get(role, role) not in known]:
            for role in lonely:
                del known[role]
        return cls(bare.identity, columns, known)

    @property
    def cost_scale(self) -> Decimal:
        """What a figure of the role ``cost`` is multiplied by to be in the currency's unit."""
        return Decimal(self.roles.get("cost_scale", "1"))

    def kind(self, name: str) -> str:
        """Return the kind of a column; ``text`` if it is not declared."""
        return self.columns.get(name, "text")

    def _can_play(self, role: str, value: Any) -> bool:
        try:
            self._check_role(role, str(value))
        except ConfigurationError:
            return False
        return isinstance(value, str)

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


def parse_value(kind: str, value: Any) -> Any:
    """
    Read a value as what its kind says it is; nothing is guessed, and nothing is lost.

    :param kind: one of :data:`KINDS`.
    :param value: text of a CSV cell, or a JSON value with decimals as ``Decimal`` or text.
    :return: None for null and the empty cell, also one of blanks unless it is text; else ``text`` and ``json`` as
        ``str``, ``flag`` as ``bool``, ``date`` as ``date``, ``time`` as aware ``datetime`` (UTC where it names no zone,
        None for 0), ``count`` as ``int`` of any size, ``number`` as ``float``, ``money`` as ``Decimal``.
    :raises ValueError: it cannot be read as that: it has separators, a sign of a currency, letters, is not finite, has
        more than 1,000 digits, or is a time in an order that is not ISO 8601's.
    """
    if value is None or value == "" or (isinstance(value, str) and kind not in ("text", "json") and value.isspace()):
        return None
    return _PARSERS[kind](value)


def value_at(record: Mapping[str, Any], name: str) -> Any:
    """
    Return a column of a record; of a name with dots that is no member itself, the value at that path, or None.

    A path leads through objects. What is in a list is no column: a vendor's stream makes a record of each member.
    """
    if name in record:
        return record[name]
    value: Any = record
    for step in name.split("."):
        if not isinstance(value, Mapping) or step not in value:
            return None
        value = value[step]
    return value


def _parse_text(value: Any) -> str:
    if not isinstance(value, str):
        is_json = isinstance(value, dict | list | bool)
        value = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str) if is_json else str(value)
    text: str = value
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()  # half an emoji as its escape


def _parse_flag(value: Any) -> bool:
    flag = value if isinstance(value, bool) else _FLAGS.get(str(value).strip().lower())
    if flag is None:
        raise ValueError("neither true nor false")
    return flag


def _parse_decimal(value: Any) -> Decimal:
    text = "" if isinstance(value, bool | dict | list) else str(value).strip(" ")
    if not _NUMERAL.fullmatch(text):
        raise ValueError("not a plain number")
    if len(text) > _MOST_DIGITS or abs((number := Decimal(text)).adjusted()) > _MOST_DIGITS:
        raise ValueError(f"a number of more than {_MOST_DIGITS:,} digits")
    return number


def _parse_count(value: Any) -> int:
    number = _parse_decimal(value)
    if number != (whole := int(number)):
        raise ValueError("not a whole number")
    return whole


def _parse_number(value: Any) -> float:
    exact = _parse_decimal(value)
    number = float(exact)
    if math.isinf(number) or (number == 0 and exact != 0):
        raise ValueError("a number beyond what 64 bits hold")
    return number


def _parse_time(value: Any) -> datetime | None:
    """Vendors write times with a blank or a T, in seconds since 1970, and 0 where there is none."""
    text = "" if isinstance(value, bool | dict | list) else str(value).strip()
    try:
        if _NUMERAL.fullmatch(text):
            seconds = _parse_decimal(text)
            if seconds == 0:
                return None
            if int(seconds) in _SECONDS:
                return _EPOCH + timedelta(microseconds=int(seconds * 1_000_000))
        elif _TIME.fullmatch(text):
            moment = datetime.fromisoformat(text.replace("UTC", "Z").replace(" Z", "Z"))
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ValueError("not a time as ISO 8601 writes it, nor in seconds since 1970")


def _parse_date(value: Any) -> date:
    match = _DATE.fullmatch(str(value).strip())
    try:
        return date.fromisoformat(match[1] if match else "")
    except ValueError:
        raise ValueError("not a date as YYYY-MM-DD") from None


_PARSERS = {
    "text": _parse_text,
    "json": _parse_text,
    "flag": _parse_flag,
    "date": _parse_date,
    "time": _parse_time,
    "count": _parse_count,
    "number": _parse_number,
    "money": _parse_decimal,
}


def _freeze(name: str, given: object) -> Mapping[str, str]:
    strings = [each for item in given.items() for each in item] if isinstance(given, Mapping) else [None]
    if not all(isinstance(each, str) and each for each in strings):
        _refuse(f"{name} is {given!r}", "Give a dict of strings that are not empty.")
    return MappingProxyType(dict(cast("Mapping[str, str]", given)))


def _refuse(what: str, next_step: str) -> None:
    raise ConfigurationError(f"StreamSchema: {what}", next_step=next_step)
