"""The grammar of sandbox API keys: ``sk-<account>[;switch=value...]``.

A key is all the configuration there is: the account picks the data, the switches pick the behaviour, so that one
running server can play every kind of vendor at once. Whatever is not such a key fails to authenticate.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from sandbox.refusal import RefusalError
from sandbox.switches import Switches

if TYPE_CHECKING:
    from collections.abc import Callable

S_co = TypeVar("S_co", bound=Switches, covariant=True)


def _parse_flag(text: str) -> bool:
    if text not in ("0", "1"):
        raise ValueError(text)
    return text == "1"


PARSERS: dict[str, Callable[[str], Any]] = {
    "bool": _parse_flag,
    "int": int,
    "int | None": int,
    "float": float,
    "float | None": float,
    "str": str,
}


@dataclass(frozen=True, slots=True)
class Key(Generic[S_co]):
    """One parsed API key; ``text`` is what per-key state is filed under."""

    text: str
    account: str
    switches: S_co


def parse_key(authorization: str | None, kind: type[S_co]) -> Key[S_co]:
    """Read the ``Authorization`` header of a request.

    :param authorization: the header's value, None when the request has none.
    :param kind: the vendor's switches.
    :raises RefusalError: 401 or 403 for a bad key, 400 for a switch or value that does not exist.
    """
    scheme, _, text = (authorization or "").partition(" ")
    text = text.strip()
    account, *pairs = text.split(";")
    if scheme.lower() != "bearer" or not account.startswith("sk-") or len(account) < 4:
        raise RefusalError(401, "Unauthorized", "Invalid API key.")
    switches = kind(**dict(_read_switch(pair, kind) for pair in pairs if pair.strip()))
    if switches.bad_key:
        raise RefusalError(int(switches.bad_key), "Unauthorized", "Invalid API key.")
    return Key(text, account.removeprefix("sk-"), switches)


def _read_switch(pair: str, kind: type[Switches]) -> tuple[str, Any]:
    name, _, text = (part.strip() for part in pair.partition("="))
    field = next((field for field in fields(kind) if field.name == name), None)
    if field is None:
        raise RefusalError(400, "sandbox-switch", f"The sandbox has no switch {name!r} for {kind.vendor}; see --help.")
    choices = field.metadata["choices"]
    try:
        value = PARSERS[str(field.type)](text)
    except ValueError:
        value = None
    if value is None or (choices and text not in choices):
        wanted = "|".join(choices) or field.type
        raise RefusalError(400, "sandbox-switch", f"The switch {name!r} does not take {text!r}: it takes {wanted}.")
    return name, value
