"""One ledger of usage, drawn once from the seed; every stream and grouping of both vendors is a sum over it.

An event is a burst of requests of one member on one day. Members come in teams of ``TEAM``, and a team's keys, agents,
projects and workflows are its own: what one of them used is found in the events of one team, however many there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import lru_cache
from random import Random

from sandbox.data import MODELS, dice

TEAM = 16
ACTIVE = 0.77  # of the members who are there by default, on a day
POPULATION = 48
SOURCES = ("chat", "api", "assistant")
DEPLOYMENTS = ("eu-west", 'eu-central, "gpu"', "us-east")
_PRICES = tuple((Decimal(str(prompt)), Decimal(str(completion))) for _, _, prompt, completion in MODELS)


@dataclass(frozen=True, slots=True)
class Event:
    """Who used what, when, and for how much.

    :param at: second of the day.
    :param key: number of the API key; None: without one. Likewise agent, project and workflow.
    :param cost: US dollars, a whole multiple of 1e-8.
    """

    at: int
    member: int
    model: int
    key: int | None
    agent: int | None
    project: int | None
    workflow: int | None
    source: str
    deployment: str
    requests: int
    prompt_tokens: int
    completion_tokens: int
    cached_prompt_tokens: int
    cache_creation_tokens: int
    cost: Decimal
    cache_hits: int
    seconds: int
    latency: float
    ttft: float


@dataclass(frozen=True, slots=True)
class Ledger:
    """The events of one account and environment.

    :param everyone: whether each member uses something every day; otherwise about three of four do.
    """

    seed: int
    account: str
    environment: str = "prod"
    everyone: bool = False

    def is_active(self, member: int, day: date) -> bool:
        """Whether a member used anything on a day."""
        if self.everyone or member >= POPULATION:
            return True
        return dice(self.seed, self.account, self.environment, "active", member, day).random() < ACTIVE

    def events(self, team: int, day: date, revision: int = 0) -> tuple[Event, ...]:
        """A team's events of a day; a revision knows of late ones of every third member."""
        return _draw_day(self, team, day, revision)

    def member_events(self, member: int, day: date, revision: int = 0) -> list[Event]:
        """One member's events of a day."""
        return [event for event in self.events(member // TEAM, day, revision) if event.member == member]


@lru_cache(maxsize=4096)
def _draw_day(ledger: Ledger, team: int, day: date, revision: int) -> tuple[Event, ...]:
    drawn: list[Event] = []
    for member in range(team * TEAM, team * TEAM + TEAM):
        if not ledger.is_active(member, day):
            continue
        rolled = dice(ledger.seed, ledger.account, ledger.environment, "events", member, day)
        bursts = rolled.choice((1, 1, 1, 2, 3, 4))
        drawn += (_draw_event(rolled, member, goes_through_own=n == 0) for n in range(bursts))
        if member % 3 == 0:
            late = dice(ledger.seed, ledger.account, ledger.environment, "late", member, day)
            drawn += (_draw_event(late, member, goes_through_own=False) for _ in range(revision))
    return tuple(drawn)


def _draw_event(rolled: Random, member: int, *, goes_through_own: bool) -> Event:
    """Draw a burst; a member's first one of a day is with their own key, agent and the like, so that none idles."""
    first = member - member % TEAM

    def pick() -> int | None:
        number, is_used = first + rolled.randrange(TEAM), rolled.random() < 0.5
        return member if goes_through_own else number if is_used else None

    model = rolled.randrange(len(MODELS))
    requests = 1 + int(10 ** (rolled.random() * 2.6) * rolled.random())
    prompt, completion = int(8 * 10 ** (rolled.random() * 2.5)), int(5 * 10 ** (rolled.random() * 2.2))
    return Event(
        at=rolled.randrange(86_400),
        member=member,
        model=model,
        key=pick(),
        agent=pick(),
        project=pick(),
        workflow=pick(),
        source=rolled.choice(SOURCES),
        deployment=rolled.choice(DEPLOYMENTS),
        requests=requests,
        prompt_tokens=prompt * requests,
        completion_tokens=completion * requests,
        cached_prompt_tokens=rolled.randint(0, prompt // 2) * requests,
        cache_creation_tokens=rolled.randint(0, prompt // 8) * requests,
        cost=(prompt * _PRICES[model][0] + completion * _PRICES[model][1]) * requests,
        cache_hits=rolled.randrange(requests) if rolled.random() < 0.3 else 0,
        seconds=min(20_000, rolled.randrange(40) * (requests - 1)),
        latency=round(rolled.random() * 9, 6),
        ttft=round(rolled.random() * 2, 6) if rolled.random() < 0.6 else 0.0,
    )
