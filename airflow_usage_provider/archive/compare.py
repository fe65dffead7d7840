"""What changed between two answers for the same day, row by row.

Rows are told apart by what the stream's schema says tells them apart. Both answers are read once, into temporary files;
memory holds a hash of each row's key. Numbers are compared as decimals, exactly. Nothing is said of a part before all
of it is proven to be what its manifest says.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import re
import tempfile
from dataclasses import dataclass, field
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
from typing import IO, TYPE_CHECKING, Any

from airflow_usage_provider.archive.catalog import find_part
from airflow_usage_provider.archive.parts import raw_chunks
from airflow_usage_provider.exceptions import ArchiveCorruptError, InvalidBodyError
from airflow_usage_provider.records.rows import iter_rows
from airflow_usage_provider.schema import StreamSchema, value_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from airflow_usage_provider.archive.catalog import Day
    from airflow_usage_provider.archive.manifest import Manifest
    from airflow_usage_provider.archive.objects import Objects

_EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)
_NUMERAL = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d{1,9})?", re.ASCII)
_ABSENT = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """
    One row, or a pair of rows with the same key.

    :param kind: ``added``, ``removed``, ``changed`` or ``same``.
    :param key: the key columns and their values; none if the whole row is the key.
    :param old: the row, or of a changed one the values that differ, by their paths: ``amount.value``.
    :param new: likewise.
    :param is_repeated: an earlier row of the same answer has this key; such rows are paired in their order.
    """

    kind: str
    key: Mapping[str, Any] = field(default_factory=dict)
    old: Mapping[str, Any] = field(default_factory=dict)
    new: Mapping[str, Any] = field(default_factory=dict)
    is_repeated: bool = False


def choose_key(old: Manifest, new: Manifest, known: StreamSchema | None = None) -> tuple[str, ...]:
    """
    Return the columns that tell the rows of two answers apart; none if only whole rows do.

    :param known: schema of the stream, for manifests of before they carried one.
    """
    for manifest in (new, old):
        if manifest.schema is not None:
            return StreamSchema.from_dict(manifest.schema).identity
    return known.identity if known else ()


def compare_snapshots(objects: Objects, day: Day, old: Manifest, new: Manifest, key: Sequence[str]) -> Iterator[Change]:
    """
    Yield every pair and every single row: in the newer answer's order, then what it lacks in the older one's.

    :param key: names of columns, of those within objects their paths. One that is null in every row, or that one of the
        answers lacks, is no key; the whole row is, if there is none.
    :raises ArchiveCorruptError: a part is not what its manifest says.
    """
    is_text = any(entry.content_type.startswith("text/csv") for entry in (*old.files, *new.files))
    with tempfile.TemporaryFile() as old_store, tempfile.TemporaryFile() as new_store:
        before = _Rows(old_store, _iter_manifest_rows(objects, day, old), key)
        after = _Rows(new_store, _iter_manifest_rows(objects, day, new), key)
        names = _keep_keys(key, before, after)
        index = {digest: position for digest, position, _, _ in before.identify(names, is_text=is_text)}
        for digest, _, row, is_repeated in after.identify(names, is_text=is_text):
            earlier = before.read(index.pop(digest)) if digest in index else None
            yield _compare(earlier, row, names, is_text=is_text, is_repeated=is_repeated)
        for position in index.values():
            yield _compare(before.read(position), None, names, is_text=is_text, is_repeated=False)


class _Rows:
    """The rows of an answer in a temporary file, and which columns hold a value there."""

    def __init__(self, store: IO[bytes], rows: Iterable[Mapping[str, Any]], key: Sequence[str]) -> None:
        self._store = store
        self.present: set[str] = set()  # columns that are there, if only as nulls
        self.filled: set[str] = set()
        self.count = 0
        for row in rows:
            pickle.dump(row, store)
            self.count += 1
            for name in key:
                if name not in self.filled:
                    self.present |= {name} & row.keys()
                    self.filled |= {name} if value_at(row, name) not in (None, "") else set()

    def read(self, position: int) -> dict[str, Any]:
        self._store.seek(position)
        row: dict[str, Any] = pickle.load(self._store)  # noqa: S301 - a file of this process, without a name
        return row

    def identify(self, names: Sequence[str], *, is_text: bool) -> Iterator[tuple[bytes, int, dict[str, Any], bool]]:
        """Yield a hash of each row's key and its occurrence, where it lies, the row, and whether the key was there."""
        seen: dict[bytes, int] = {}
        position = 0
        for _ in range(self.count):
            row = self.read(position)
            following = self._store.tell()
            values = [value_at(row, name) for name in names] if names else row
            text = _canonical(values, is_text=is_text and not names)
            digest = hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest()
            seen[digest] = count = seen.get(digest, 0) + 1
            if count > 1:
                digest = hashlib.blake2b(digest + str(count).encode(), digest_size=16).digest()
            yield digest, position, row, count > 1
            position = following


def _keep_keys(key: Sequence[str], before: _Rows, after: _Rows) -> tuple[str, ...]:
    answers = [rows for rows in (before, after) if rows.count]
    return tuple(
        name
        for name in key
        if any(name in rows.filled for rows in answers) and all(name in rows.present | rows.filled for rows in answers)
    )


def _compare(
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
    names: Sequence[str],
    *,
    is_text: bool,
    is_repeated: bool,
) -> Change:
    """Say what happened to a row."""
    key = {name: value_at((before if after is None else after) or {}, name) for name in names}
    if before is None or after is None:
        kind = "added" if before is None else "removed"
        return Change(kind=kind, key=key, old=before or {}, new=after or {}, is_repeated=is_repeated)
    pairs = _pair_values(before, after, is_text=is_text)
    old, new = ({path: pair[side] for path, pair in pairs.items() if pair[side] is not _ABSENT} for side in (0, 1))
    return Change(kind="changed" if pairs else "same", key=key, old=old, new=new, is_repeated=is_repeated)


def _pair_values(old: Mapping[str, Any], new: Mapping[str, Any], *, is_text: bool) -> dict[str, tuple[Any, Any]]:
    """Return the values that differ, each under its path through the objects around it."""
    pairs: dict[str, tuple[Any, Any]] = {}
    for name in dict.fromkeys((*old, *new)):
        one, other = old.get(name, _ABSENT), new.get(name, _ABSENT)
        if isinstance(one, dict) and isinstance(other, dict):
            inner = {f"{name}.{path}": pair for path, pair in _pair_values(one, other, is_text=is_text).items()}
            is_ambiguous = any(path in pairs or path in old or path in new for path in inner)
            pairs |= {name: (one, other)} if is_ambiguous else inner
        elif _ABSENT in (one, other) or _differ(one, other, is_text=is_text):
            pairs[name] = one, other
    return pairs


def _differ(one: Any, other: Any, *, is_text: bool) -> bool:
    if type(one) is type(other) is str and one == other:
        return False
    return _canonical(one, is_text=is_text) != _canonical(other, is_text=is_text)


def _iter_manifest_rows(objects: Objects, day: Day, manifest: Manifest) -> Iterator[dict[str, Any]]:
    for entry in manifest.files:
        name = find_part(objects, day, entry).name
        try:
            yield from iter_rows(raw_chunks(objects, name, entry), entry.content_type)
        except InvalidBodyError as error:
            raise ArchiveCorruptError(
                f"{objects.uri(name)} holds no rows: {error.message}", next_step="Run usage-archive verify."
            ) from None


def _canonical(value: Any, *, is_text: bool) -> str:
    """
    Write a value so that equal ones are written the same, whatever their decimals' zeros and their fields' order.

    :param is_text: text may stand for what it says, as in CSV.
    """
    if isinstance(value, dict):
        members = (f"{json.dumps(name)}:{_canonical(value[name], is_text=is_text)}" for name in sorted(value))
        return f"{{{','.join(members)}}}"
    if isinstance(value, list):
        return f"[{','.join(_canonical(member, is_text=is_text) for member in value)}]"
    if isinstance(value, bool) or value is None:
        return json.dumps(({None: "", True: "true", False: "false"}[value]) if is_text else value)
    if isinstance(value, str) and not (is_text and _NUMERAL.fullmatch(value)):
        return json.dumps(value)
    number = Decimal(value)
    return "0" if number.is_zero() else str(_EXACT.normalize(number))
