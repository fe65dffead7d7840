"""Takes JSON answers apart into records without touching their bytes.

Only white space outside strings goes: ``5.2e-05``, ``1.10``, integers of any length and escapes stay as they were sent.
"""

from __future__ import annotations

import codecs
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec

from airflow_usage_provider.exceptions import InvalidBodyError
from airflow_usage_provider.records.json_bounds import (
    MAX_ENVELOPE_VALUES,
    MAX_VALUES,
    has_many_values,
    refuse_deep,
    refuse_deep_records,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping

_MAX_VALUE_CHARS = 64 * 1024 * 1024
_WHITE_SPACE = " \t\r\n"
_STRING_OR_WHITE_SPACE = re.compile(rb'("(?:[^"\\]|\\.)*")|[ \t\r\n]+')


@dataclass(frozen=True, slots=True)
class JsonPage:
    """The records of one body, each as bytes of one line, and what surrounded them, decimals as strings."""

    records: list[bytes]
    envelope: Mapping[str, Any]


def split_page(body: bytes, field: str) -> JsonPage:
    """
    Take apart a body that is held whole.

    :param field: name of the list of records.
    :raises InvalidBodyError: it is not a JSON object with such a list of objects.
    """
    if has_many_values(body, MAX_VALUES):
        raise InvalidBodyError(f"The JSON body holds more than {MAX_VALUES} values")
    try:
        page = _split_quickly(body, field)
    except KeyError:
        raise InvalidBodyError(f"The JSON body has no {field!r}") from None
    except msgspec.ValidationError:
        raise InvalidBodyError(f"The JSON body is no object with a list {field!r}") from None
    except msgspec.DecodeError:
        page = None
    except UnicodeDecodeError as error:
        raise InvalidBodyError(f"The body is not the JSON it should be: not UTF-8 at byte {error.start}") from None
    except RecursionError:
        raise InvalidBodyError("The body is not the JSON it should be: nested too deeply") from None
    except ValueError as error:
        raise InvalidBodyError(f"The body is not the JSON it should be: {error}") from None
    if page is None:
        return _split_exactly(body, field)
    if not all(record.startswith(b"{") for record in page.records):
        raise InvalidBodyError(f"The JSON body's {field!r} holds something other than objects")
    return page


def _split_quickly(body: bytes, field: str) -> JsonPage | None:
    str(body, "utf-8")  # msgspec skips over text without looking at it
    compact = msgspec.json.format(body, indent=-1)
    members = msgspec.json.decode(compact, type=dict[str, msgspec.Raw])
    size = 1 + sum(len(name.encode()) + 4 + len(bytes(raw)) for name, raw in members.items())
    if size != len(compact):  # msgspec keeps the last one of a name: here, one was lost, or is spelled with escapes
        return None
    records = list(map(bytes, msgspec.json.decode(members.pop(field), type=list[msgspec.Raw])))
    refuse_deep_records(records)
    return JsonPage(records, {name: read_envelope(bytes(raw)) for name, raw in members.items()})


def _split_exactly(body: bytes, field: str) -> JsonPage:
    """Take apart what msgspec refuses: a broken body, or one with half an emoji, which JSON can hold as an escape."""
    reader, records = iter_records([body], field), []
    while True:
        try:
            records.append(next(reader))
        except StopIteration as end:
            return JsonPage(records, end.value)


def compact_record(raw: bytes) -> bytes:
    """Remove white space outside strings, and nothing else."""
    try:
        return msgspec.json.format(raw, indent=-1)
    except msgspec.DecodeError:  # half a surrogate pair
        return _STRING_OR_WHITE_SPACE.sub(rb"\1", raw)


def read_members(record: bytes) -> dict[str, bytes]:
    """Return the members of a record, each value as JSON."""
    try:
        members = msgspec.json.decode(record, type=dict[str, msgspec.Raw])
    except msgspec.DecodeError:  # half a surrogate pair
        document = json.loads(record, parse_float=str)
        return {name: json.dumps(value).encode() for name, value in document.items()}
    return {name: bytes(value) for name, value in members.items()}


def read_envelope(raw: bytes | str) -> Any:
    """
    Parse JSON with decimals as strings.

    :raises ValueError: it is not JSON, has a member twice, or holds too many values.
    :raises RecursionError: it is nested too deeply to be written again.
    """
    if has_many_values(raw if isinstance(raw, bytes) else raw.encode(errors="replace"), MAX_ENVELOPE_VALUES):
        raise ValueError(f"more than {MAX_ENVELOPE_VALUES} values")
    value = json.loads(raw, **_EXACTLY)
    refuse_deep(value)
    return value


def iter_records(chunks: Iterable[bytes], field: str) -> Generator[bytes, None, dict[str, Any]]:
    """
    Take apart a JSON object as it arrives; memory holds a record or a chunk, whichever is larger.

    :param field: name of the list of records.
    :return: the other members, decimals as strings.
    :raises InvalidBodyError: it is not a JSON object with such a list of objects, or it ends early.
    """
    text = _JsonText(chunks)
    envelope: dict[str, Any] = {}
    has_field = False
    text.expect("{")
    for _ in text.iter_items("}"):
        name = text.read_value()[0]
        if not isinstance(name, str):
            text.refuse("a member's name is no string")
        text.expect(":")
        if name in envelope or (name == field and has_field):
            text.refuse("a member comes twice")
        if name != field or not text.skip("["):
            envelope[name] = text.read_value()[0]
            try:
                refuse_deep(envelope[name])
            except RecursionError:
                text.refuse("nested too deeply")
            continue
        has_field = True
        for _ in text.iter_items("]"):
            value, source = text.read_value()
            if not isinstance(value, dict):
                text.refuse(f"{field!r} holds something other than objects")
            record = compact_record(source.encode())
            try:
                refuse_deep_records([record])
            except RecursionError:
                text.refuse("nested too deeply")
            yield record
    text.expect_end()
    if not has_field:
        text.refuse(f"it has no list {field!r}")
    return envelope


class _JsonText:
    """A JSON text that arrives in chunks, read value by value."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._utf8 = codecs.getincrementaldecoder("utf-8")()
        self._json = json.JSONDecoder(parse_float=str, parse_int=_read_int, parse_constant=_refuse_constant)
        self._text = ""
        self._position = 0
        self._dropped = 0
        self._at_end = False

    def refuse(self, why: str) -> NoReturn:
        """Say where the text is broken, as an :class:`~airflow_usage_provider.exceptions.InvalidBodyError`."""
        raise InvalidBodyError(
            f"The body is not the JSON it should be: {why}, at character {self._dropped + self._position}"
        )

    def skip(self, character: str) -> bool:
        """Step over the next character if it is this one."""
        if self._peek() != character:
            return False
        self._position += 1
        return True

    def expect(self, character: str) -> None:
        """Step over the next character, which must be this one."""
        if not self.skip(character):
            self.refuse(f"expected {character!r}")

    def iter_items(self, close: str) -> Generator[None]:
        """Yield where an item of a list or object begins, up to its closing bracket."""
        if self.skip(close):
            return
        yield
        while not self.skip(close):
            self.expect(",")
            yield

    def expect_end(self) -> None:
        """Only white space may follow."""
        if self._peek():
            self.refuse("something follows its end")

    def read_value(self) -> tuple[Any, str]:
        """Return the next value and its source text."""
        self._peek()
        while True:
            try:
                value, end = self._json.raw_decode(self._text, self._position)
                if end + 2 < len(self._text) or self._at_end:  # so far, "1e-" may be all there is of "1e-05"
                    break
            except json.JSONDecodeError as error:
                if self._at_end:
                    self._position = error.pos
                    self.refuse(error.msg)
            except (RecursionError, ValueError):
                self.refuse("nested too deeply or no JSON number")
            if len(self._text) - self._position > _MAX_VALUE_CHARS:
                self.refuse(f"a value longer than {_MAX_VALUE_CHARS} characters, or a broken one")
            self._fill(at_least=len(self._text) - self._position)
            if has_many_values(self._text[self._position :].encode(), MAX_VALUES):
                self.refuse(f"a value of more than {MAX_VALUES} values, or a broken one")
        source = self._text[self._position : end]
        self._position = end
        return value, source

    def _peek(self) -> str:
        while True:
            while self._position < len(self._text):
                if (character := self._text[self._position]) not in _WHITE_SPACE:
                    return character
                self._position += 1
            if self._at_end:
                return ""
            self._fill(at_least=1)

    def _fill(self, *, at_least: int) -> None:
        pieces = [self._text[self._position :]]
        self._dropped += self._position
        self._position = 0
        added = 0
        while added < max(at_least, 1) and not self._at_end:
            chunk = next(self._chunks, None)
            self._at_end = chunk is None
            try:
                piece = self._utf8.decode(chunk or b"", final=self._at_end)
            except UnicodeDecodeError:
                self.refuse("not UTF-8")
            pieces.append(piece)
            added += len(piece)
        self._text = "".join(pieces)


def _read_int(text: str) -> int | str:
    return int(text) if len(text) < 4000 else text


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _refuse_twice(members: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(document := dict(members)) < len(members):
        raise ValueError("a member comes twice")
    return document


_EXACTLY: Mapping[str, Any] = {
    "parse_float": str,
    "parse_int": _read_int,
    "parse_constant": _refuse_constant,
    "object_pairs_hook": _refuse_twice,
}
