"""The manifest: what a snapshot says of itself. The snapshot exists if and only if its manifest does.

Fields are described in ``manifest.schema.json`` beside this module. Readers ignore fields they do not know.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any

from airflow_usage_provider.exceptions import ArchiveCorruptError

MANIFEST_VERSION = 1
MAX_MANIFEST_BYTES = 16 * 1024 * 1024  # nothing larger is written, and nothing larger read
_MAX_CONTAINERS = 100_000  # objects and lists; megabytes of them would take minutes to check and gigabytes to hold
_KINDS: Mapping[str, type | tuple[type, ...]] = {  # of a field, by its annotation
    "str": str,
    "int": int,
    "bool": bool,
    "str | None": (str, type(None)),
    "int | None": (int, type(None)),
    "Mapping[str, Any]": dict,
    "Mapping[str, Any] | None": (dict, type(None)),
    "tuple[FileEntry, ...]": list,
    "tuple[str, ...]": list,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """One part: where it lies and what it must hash to. ``key`` is the whole key within the bucket."""

    key: str
    bytes: int
    sha256: str
    raw_bytes: int
    raw_sha256: str
    rows: int
    content_type: str
    compression: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One snapshot. See the JSON Schema for the meaning, unit and shape of each field."""

    vendor: str
    account: str
    stream: str
    usage_date: str
    timezone: str
    window_requested: Mapping[str, Any]
    window_returned: Mapping[str, Any] | None
    snapshot_id: str
    snapshot_at: str
    maturity: str
    revision: int
    previous: str | None
    unchanged: bool
    empty: bool
    rows: int
    vendor_rows: int | None
    pages: int
    duplicates: int
    files: tuple[FileEntry, ...]
    columns: tuple[str, ...]
    columns_added: tuple[str, ...]
    columns_removed: tuple[str, ...]
    envelope: Mapping[str, Any]
    request: Mapping[str, Any]
    previous_sha256: str | None = None
    question: Mapping[str, Any] | None = None
    end: str | None = None
    conflicts: int = 0
    schema: Mapping[str, Any] | None = None
    airflow: Mapping[str, Any] = field(default_factory=dict)
    tool: Mapping[str, Any] = field(default_factory=dict)
    manifest_version: int = MANIFEST_VERSION

    @property
    def committed_at(self) -> datetime | None:
        """``snapshot_at`` as an aware time; None if it is none."""
        try:
            moment = datetime.fromisoformat(self.snapshot_at)
        except ValueError:
            return None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

    def to_json(self) -> bytes:
        """Write it as UTF-8 JSON for people: two spaces, a line end at the end."""
        document = _spell_decimals({"manifest_version": self.manifest_version, **asdict(self)})
        text = json.dumps(document, ensure_ascii=False, indent=2) + "\n"
        return text.encode(errors="backslashreplace")  # half a surrogate pair becomes the JSON escape it came as

    @classmethod
    def from_json(cls, body: bytes, *, key: str) -> Manifest:
        """
        Read a manifest of this or an earlier version.

        :param key: where it lies, for the error message.
        :raises ArchiveCorruptError: it is not a manifest, or one of a later major version.
        """
        step = f"Look at {key}; restore it from the bucket's versions if it was changed."
        try:
            document = json.loads(body)
            version = document["manifest_version"]
            if not isinstance(version, int) or version > MANIFEST_VERSION:
                raise ArchiveCorruptError(
                    f"Manifest version {version!r} is newer than this package reads",
                    next_step="Upgrade airflow-usage-provider.",
                )
            known = _pick(cls, document)
            known["files"] = tuple(FileEntry(**_pick(FileEntry, entry)) for entry in known["files"])
            for name in ("columns", "columns_added", "columns_removed"):
                known[name] = tuple(map(str, known[name]))
            return cls(**known)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ArchiveCorruptError(f"Not a manifest ({type(error).__name__})", next_step=step) from None


def _spell_decimals(value: Any) -> Any:
    """Return a document with its decimals as strings: no reader shall round what was written."""
    if isinstance(value, Mapping):
        return {name: _spell_decimals(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [_spell_decimals(entry) for entry in value]
    return str(value) if isinstance(value, float | Decimal) else value


def is_oversized(body: bytes | bytearray) -> bool:
    """Whether a manifest is more than any reader takes."""
    return len(body) > MAX_MANIFEST_BYTES or body.count(b"{") + body.count(b"[") > _MAX_CONTAINERS


def _pick(of: type[Manifest] | type[FileEntry], document: Any) -> dict[str, Any]:
    """Return the members that are fields, each of its field's kind."""
    known = {entry.name: document[entry.name] for entry in fields(of) if entry.name in document}
    for entry in fields(of):
        if entry.name in known and not isinstance(known[entry.name], _KINDS[str(entry.type)]):
            raise TypeError(entry.name)
    return known


@cache
def load_manifest_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) that every manifest meets."""
    text = files("airflow_usage_provider.archive").joinpath("manifest.schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema
