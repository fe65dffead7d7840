"""One series, one question: what was asked of a vendor without its day decides what its answers can be compared with.

Questions are compared by what they mean: the order of members is none of it, a number is the same as its text, and a
member that is null or holds nothing is one that is not there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from airflow_usage_provider.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

NEW_QUESTION = ("refuse", "accept")
_MOST_TOLD = 12  # differences; more are no help
_LONGEST_TOLD = 200  # characters of a value


def check_new_question(new_question: str) -> None:
    """
    Refuse a word that says nothing of new questions.

    :raises ConfigurationError: it is neither ``refuse`` nor ``accept``.
    """
    if new_question not in NEW_QUESTION:
        raise ConfigurationError(f"new_question is {new_question!r}", next_step=f"Give {' or '.join(NEW_QUESTION)}.")


def describe_difference(earlier: Mapping[str, Any], question: Mapping[str, Any]) -> str:
    """Say how two questions differ, both spelled out; nothing if they are the same."""
    try:
        old, new = (dict(_leaves(_canonical(_spell(each)))) for each in (earlier, question))
    except RecursionError:
        return "one of them is nested too deep to be compared"
    names = [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
    told = [f"{name} was {_tell(old, name)} and is {_tell(new, name)}" for name in names[:_MOST_TOLD]]
    if len(names) > _MOST_TOLD:
        told.append(f"and {len(names) - _MOST_TOLD} more")
    return ", ".join(told)


def spell_question(question: Mapping[str, Any]) -> dict[str, Any]:
    """Return a question as the manifest keeps it: JSON without decimals, to which it can be compared ever after."""
    spelled: dict[str, Any] = _spell(question)
    return spelled


def _spell(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _spell(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [_spell(entry) for entry in value]
    if isinstance(value, set | frozenset):
        return sorted((_spell(entry) for entry in value), key=repr)
    if isinstance(value, float | Decimal):
        return _number(value)
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def _canonical(value: Any) -> Any:
    if isinstance(value, dict):
        members = {name: _canonical(member) for name, member in value.items()}
        return {name: member for name, member in members.items() if member not in (None, {})}
    if isinstance(value, list):
        return [_canonical(entry) for entry in value]
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else value


def _number(value: float | Decimal) -> str:
    number = Decimal(str(value))
    if not number.is_finite() or abs(number.adjusted()) > 100:
        return str(value)
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every member that is no mapping, named by its path."""
    if isinstance(value, dict):
        for member, inner in value.items():
            yield from _leaves(inner, f"{name}.{member}" if name else member)
    else:
        yield name, value


def _tell(leaves: Mapping[str, Any], name: str) -> str:
    if name not in leaves:
        return "not given"
    text = json.dumps(leaves[name], ensure_ascii=False)
    return text if len(text) <= _LONGEST_TOLD else f"{text[:_LONGEST_TOLD]}…"
