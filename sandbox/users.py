"""The users of a Keywords AI account: who they are, who was active on a day, and what they used.

A user is an index. Who stands behind it depends on (seed, account, environment, index), what was used also on the day.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING
from uuid import UUID

from sandbox.data import FIRST_NAMES, LAST_NAMES, MODELS, dice

if TYPE_CHECKING:
    from collections.abc import Iterable

POPULATION = 48
ACTIVE = 0.77
EPOCH = date(2023, 6, 1)
EPOCH_START = datetime(2023, 6, 1, tzinfo=UTC)
IDENTIFIERS = (
    "jana.novak{n}@example.com",
    "team/berlin/{n:05d}",
    "{uuid}",
    "Zoë Ångström #{n}",
    "user_{n:06d}",
    "客户-{n}",
    "auth0|{bits:012x}{n}",
    'a,b "c" \\ {n}',
    "cGxhaW4r/{n}+==",
    "=1+{n}",
)


@dataclass(frozen=True, slots=True)
class Person:
    """One user."""

    number: int
    customer_identifier: str
    name: str
    email: str
    first_seen: datetime
    daily_requests: float
    budget: float | None


@dataclass(frozen=True, slots=True)
class Usage:
    """What one user used in a time frame; ``cost`` in US dollars, ``seconds`` of activity."""

    requests: int
    prompt_tokens: int
    completion_tokens: int
    cost: float
    days: int
    seconds: int
    cache_hits: int
    latency: float
    ttft: float
    models: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Users:
    """All users of one account and environment."""

    seed: int
    account: str
    environment: str = "prod"

    def is_active(self, index: int, day: date) -> bool:
        """Whether one of the default population used anything on a day."""
        return dice(self.seed, self.account, self.environment, "active", index, day).random() < ACTIVE

    def measure_day(self, index: int, day: date, revision: int = 0) -> Usage:
        """What a user used on one day; a revision changes every third user's figures."""
        revision = revision if index % 3 == 0 else 0
        rolled = dice(self.seed, self.account, self.environment, "usage", index, day)
        requests = 1 + int(10 ** (rolled.random() * 2.6) * rolled.random()) + 3 * revision
        prompt, completion = int(8 * 10 ** (rolled.random() * 2.5)), int(5 * 10 ** (rolled.random() * 2.2))
        first, second = rolled.randrange(len(MODELS)), rolled.randrange(len(MODELS) - 1)
        share = requests // 3 if first != second else 0
        models = ((MODELS[first][0], requests - share), (MODELS[second][0], share))
        cost = (requests - share) * (prompt * MODELS[first][2] + completion * MODELS[first][3])
        cost += share * (prompt * MODELS[second][2] + completion * MODELS[second][3])
        return Usage(
            requests=requests,
            prompt_tokens=prompt * requests,
            completion_tokens=completion * requests,
            cost=round(cost, 10),
            days=1,
            seconds=min(86_399, rolled.randrange(40) * (requests - 1)),
            cache_hits=rolled.randrange(requests) if rolled.random() < 0.3 else 0,
            latency=round(rolled.random() * 9, 6),
            ttft=round(rolled.random() * 2, 6) if rolled.random() < 0.6 else 0.0,
            models=tuple((name, count) for name, count in models if count),
        )

    def measure(self, index: int, days: Iterable[date], scale: int, revision: int = 0) -> Usage:
        """What a user used over several days, times ``scale``."""
        parts = [self.measure_day(index, day, revision) for day in days]
        if len(parts) == 1 and scale == 1:
            return parts[0]
        models: dict[str, int] = {}
        for part in parts:
            for name, count in part.models:
                models[name] = models.get(name, 0) + count * scale
        return Usage(
            requests=scale * sum(part.requests for part in parts),
            prompt_tokens=scale * sum(part.prompt_tokens for part in parts),
            completion_tokens=scale * sum(part.completion_tokens for part in parts),
            cost=round(scale * sum(part.cost for part in parts), 10),
            days=scale * len(parts),
            seconds=scale * sum(part.seconds for part in parts),
            cache_hits=scale * sum(part.cache_hits for part in parts),
            latency=round(sum(part.latency for part in parts) / len(parts), 6),
            ttft=round(sum(part.ttft for part in parts) / len(parts), 6),
            models=tuple(models.items()),
        )


@lru_cache(maxsize=20_000)
def describe_person(users: Users, index: int) -> Person:
    """The person behind an index; identifiers are unique because each holds its index, or is a UUID."""
    rolled = dice(users.seed, users.account, users.environment, "person", index)
    bits = rolled.getrandbits(128)
    identifier = IDENTIFIERS[index % len(IDENTIFIERS)].format(n=index, uuid=UUID(int=bits, version=4), bits=bits >> 80)
    email = f"user{index}@example.org" if rolled.random() < 0.4 else ""
    return Person(
        number=10_000 + index,
        customer_identifier=identifier,
        name=f"{rolled.choice(FIRST_NAMES)} {rolled.choice(LAST_NAMES)}" if rolled.random() < 0.7 else "",
        email=identifier if "@" in identifier else email,
        first_seen=EPOCH_START + timedelta(microseconds=rolled.randrange(300 * 86_400 * 1_000_000)),
        daily_requests=10 ** (rolled.random() * 3),
        budget=round(rolled.random() * 500, 2) if rolled.random() < 0.25 else None,
    )


def sample_days(summary_type: str, day: date) -> tuple[tuple[date, ...], int]:
    """The days a summary adds up, and the factor for those it leaves out.

    Weeks and months are exact sums; a year counts the first day of each month thirty times, ``all`` sixty times.
    """
    if summary_type == "daily":
        return (day,), 1
    if summary_type == "weekly":
        monday = day - timedelta(days=day.weekday())
        return tuple(monday + timedelta(days=n) for n in range(7)), 1
    if summary_type == "monthly":
        days = (day.replace(day=1) + timedelta(days=n) for n in range(31))
        return tuple(other for other in days if other.month == day.month), 1
    return tuple(date(day.year, month, 1) for month in range(1, 13)), 30 if summary_type == "yearly" else 60


@lru_cache(maxsize=64)
def list_active(users: Users, days: tuple[date, ...]) -> tuple[int, ...]:
    """The indices of the default population active on any of the days."""
    return tuple(i for i in range(POPULATION) if any(users.is_active(i, day) for day in days))
