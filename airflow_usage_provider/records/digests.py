"""Remembers which records came, by identity and by bytes, in forty bytes a record.

Digests are keyed anew in each process, so that nobody can choose two records of one digest.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Any

SIZE = 16  # bytes of a digest
_MOST_NEWEST = 65_536
_KEYED = hashlib.blake2b(digest_size=SIZE, key=secrets.token_bytes(32))


def digest(data: bytes) -> bytes:
    """Return what stands for some bytes in this process, and in no other."""
    hashing = _KEYED.copy()
    hashing.update(data)
    return hashing.digest()


class SeenRecords:
    """Digests of bytes by digests of identities: a small dict of the newest, and a sorted array of the others."""

    def __init__(self) -> None:
        self._newest: dict[bytes, bytes] = {}
        self._firsts: Any = None  # the first half of each identity, sorted
        self._rests: Any = None  # the second half, and the digest of the bytes

    def look_up(self, identities: list[bytes]) -> list[bool] | None:
        """Return which of them may be known; None if none is."""
        is_known = [identity in self._newest for identity in identities]
        if self._firsts is not None and identities:
            import numpy as np

            wanted = np.frombuffer(b"".join(identities), dtype="u8")[::2]
            places = self._firsts.searchsorted(wanted).clip(max=len(self._firsts) - 1)
            is_known = ((self._firsts[places] == wanted) | is_known).tolist()
        return is_known if any(is_known) else None

    def find(self, identity: bytes) -> set[bytes]:
        """Return the digests of the bytes that came under an identity."""
        newest = self._newest.get(identity, b"")
        found = {newest[start : start + SIZE] for start in range(0, len(newest), SIZE)}
        if self._firsts is not None:
            import numpy as np

            first, second = np.frombuffer(identity, dtype="u8")
            begin, end = (self._firsts.searchsorted(first, side=side) for side in ("left", "right"))
            found |= {row[1:].tobytes() for row in self._rests[begin:end] if row[0] == second}
        return found

    def add_new(self, identities: list[bytes], bodies: list[bytes]) -> None:
        """Take identities of which none is known, or comes twice."""
        self._newest.update(zip(identities, bodies, strict=True))
        self._settle()

    def add(self, identity: bytes, body: bytes) -> None:
        """Take an identity that may be known."""
        self._newest[identity] = self._newest.get(identity, b"") + body
        self._settle()

    def _settle(self) -> None:
        if len(self._newest) < _MOST_NEWEST:
            return
        import numpy as np

        pairs = (
            identity + bodies[start : start + SIZE]
            for identity, bodies in self._newest.items()
            for start in range(0, len(bodies), SIZE)
        )
        rows = np.frombuffer(b"".join(pairs), dtype="u8").reshape(-1, 4)
        firsts, rests = rows[:, 0], rows[:, 1:]
        if self._firsts is not None:
            firsts, rests = np.concatenate([self._firsts, firsts]), np.concatenate([self._rests, rests])
        order = np.argsort(firsts, kind="stable")
        self._firsts, self._rests = firsts[order], rests[order]
        self._newest = {}
