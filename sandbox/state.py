"""What the server remembers: counters per key, and the recent requests per account for the rate limit.

Only the server's one event loop touches it, so there are no locks.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable


@dataclass
class KeyState:
    """Counters of one key, and the users its listings gained and lost."""

    faults: int = 0
    downloads: int = 0
    passes: Counter[Hashable] = field(default_factory=Counter)
    created: dict[Hashable, float] = field(default_factory=dict)
    inserted: defaultdict[Hashable, list[int]] = field(default_factory=lambda: defaultdict(list))
    deleted: defaultdict[Hashable, set[int]] = field(default_factory=lambda: defaultdict(set))


class State:
    """All per-key and per-account state of one vendor."""

    def __init__(self) -> None:
        self._keys: dict[str, KeyState] = {}
        self._recent: dict[str, deque[float]] = {}

    def of(self, key: str) -> KeyState:
        """The counters of a key."""
        return self._keys.setdefault(key, KeyState())

    def seconds_to_wait(self, account: str, limit: int) -> float:
        """Count a request; how long until the account may ask again, 0 when this request is within the limit."""
        now = time.monotonic()
        recent = self._recent.setdefault(account, deque())
        while recent and recent[0] <= now - 60:
            recent.popleft()
        if len(recent) >= limit:
            return recent[-limit] + 60 - now
        recent.append(now)
        return 0.0

    def clear(self) -> None:
        """Forget everything."""
        self._keys.clear()
        self._recent.clear()
