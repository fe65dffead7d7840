"""Reads a few members of each of many records, and the names of all, without building what it does not need."""

from __future__ import annotations

from typing import Any

import msgspec

from airflow_usage_provider.records.json import read_members

_MOST_NAMES = 500  # beyond, records have no shape that is worth keeping
_ABSENT = msgspec.Raw(b"")


class MemberReader:
    """
    Knows the members that records have had so far.

    :param wanted: names of the members whose values are read.
    """

    def __init__(self, *wanted: str) -> None:
        self.names: dict[str, None] = {}  # in order of first appearance
        self._wanted = wanted
        self._decoder: msgspec.json.Decoder[Any] | None = None
        self._fields = [f"wanted_{number}" for number in range(len(wanted))]

    def read(self, record: bytes) -> list[bytes]:
        """Return the wanted values as JSON, empty for those that the record lacks."""
        if self._decoder is not None:
            try:
                members = self._decoder.decode(record)
            except msgspec.DecodeError:  # a name that is new, or text that msgspec does not read
                pass
            else:
                return [bytes(getattr(members, field)) for field in self._fields]
        found = read_members(record)
        if new := found.keys() - self.names.keys():
            self.names.update(dict.fromkeys(name for name in found if name in new))
            self._decoder = self._build_decoder() if len(self.names) <= _MOST_NAMES else None
        return [found.get(name, b"") for name in self._wanted]

    def _build_decoder(self) -> msgspec.json.Decoder[Any]:
        """Build a decoder that skips over the values of all known members, and refuses a record with another one."""
        wanted = dict(zip(self._wanted, self._fields, strict=True))
        others = {name: f"other_{number}" for number, name in enumerate(self.names) if name not in wanted}
        fields = {**wanted, **others}
        shape = msgspec.defstruct(
            "Record",
            [(field, msgspec.Raw, _ABSENT) for field in fields.values()],
            rename={field: name for name, field in fields.items()},
            forbid_unknown_fields=True,
            gc=False,
        )
        return msgspec.json.Decoder(shape)
