"""The time that requests are paced by; a test has its own, which moves when somebody sleeps."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Clock:
    """
    How to tell the time and how to let it pass.

    :param now: seconds since any moment.
    :param sleep: returns after so many seconds.
    """

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


SYSTEM_CLOCK = Clock()
