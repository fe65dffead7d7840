"""The users of a Keywords AI account: who they are, who was active on a day, and what they used.

A user is an index. Who stands behind it depends on (seed, account, environment, index); what was used is in the ledger.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING
from uuid import UUID

from sandbox.data import FIRST_NAMES, LAST_NAMES, MODELS, dice
from sandbox.ledger import POPULATION, Ledger

if TYPE_CHECKING:
    from collections.abc import Iterable

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
    cost: Decimal
    days: int
    seconds: int
    cache_hits: int
    latency: float
    ttft: float
    models: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Users:
    """All users of one account and environment.

    :param everyone: whether each of them is active every day.
    """

    seed: int
    account: str
    environment: str = "prod"
    everyone: bool = False

    @property
    def ledger(self) -> Ledger:
        """What they used."""
        return Ledger(self.seed, self.account, self.environment, self.everyone)

    def measure(self, index: int, days: Iterable[date], scale: int, revision: int = 0) -> Usage:
        """What a user used over several days, times ``scale``."""
        ledger = self.ledger
        by_day = [ledger.member_events(index, day, revision) for day in days]
        events = [event for own in by_day for event in own]
        models: Counter[str] = Counter()
        for event in events:
            models[MODELS[event.model][0]] += event.requests * scale
        return Usage(
            requests=scale * sum(event.requests for event in events),
            prompt_tokens=scale * sum(event.prompt_tokens for event in events),
            completion_tokens=scale * sum(event.completion_tokens for event in events),
            cost=scale * sum((event.cost for event in events), Decimal(0)),
            days=scale * sum(map(bool, by_day)),
            seconds=scale * sum(event.seconds for event in events),
            cache_hits=scale * sum(event.cache_hits for event in events),
            latency=round(sum(event.latency for event in events) / max(len(events), 1), 6),
            ttft=round(sum(event.ttft for event in events) / max(len(events), 1), 6),
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
    return tuple(i for i in range(POPULATION) if any(users.ledger.is_active(i, day) for day in days))
