"""Keywords AI's rows and envelope, as its documentation shows them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any

from sandbox.switches import KeywordsAISwitches
from sandbox.users import EPOCH, Users, describe_person, sample_days

Row = dict[str, Any]
SAMPLE = 10_000  # the envelope's sums are exact up to this many users, and scaled beyond


@dataclass(frozen=True, slots=True)
class Frame:
    """The time frame an answer covers, with the revision of its figures."""

    summary_type: str
    day: date
    offset: float = 0.0
    revision: int = 0


def users_row(users: Users, index: int, frame: Frame, switches: KeywordsAISwitches) -> Row:
    """A row of ``GET /api/users/``: plain counters are in-frame, ``total_*`` all-time."""
    person = describe_person(users, index)
    usage = users.measure(index, *sample_days(frame.summary_type, frame.day), frame.revision)
    each = max(usage.requests, 1)
    before = max((frame.day - person.first_seen.date()).days, 0) * person.daily_requests
    total = usage.requests + int(before)
    row: Row = {
        "id": person.number + 10**19 if switches.big_ints else person.number,
        "organization_name": f"{users.account} GmbH & Co. KG",
        "email": person.email,
        "name": person.name,
        "customer_identifier": person.customer_identifier,
        "active_days": usage.days,
        "last_active_timeframe": _last_active(users, index, frame, switches),
        "requests": usage.requests,
        "total_requests": total,
        "tokens": usage.prompt_tokens + usage.completion_tokens,
        "total_tokens": (usage.prompt_tokens + usage.completion_tokens) * total // each,
        "cost": float(usage.cost),
        "total_cost": float(round(usage.cost * total / each, 10)),
        "average_sentiment": None if index % 5 else round(usage.latency / 10 - 0.4, 4),
        "active_duration": _duration(usage.seconds),
        "first_seen": person.first_seen.isoformat().replace("+00:00", "Z"),
        "top_models": dict(usage.models),
        "cache_hits": usage.cache_hits,
        "average_latency": usage.latency,
        "average_ttft": usage.ttft,
        "total_prompt_tokens": usage.prompt_tokens,
        "total_completion_tokens": usage.completion_tokens,
        "average_monthly_cost": float(round(usage.cost / max(usage.days, 1) * 30, 10)),
        "total_budget": None if person.budget is None else person.budget * 12,
        "period_budget": person.budget,
    }
    return _finish(row, switches)


def users_list_row(users: Users, index: int, frame: Frame, switches: KeywordsAISwitches) -> Row:
    """A row of ``/api/users/list/``: counters are cumulative up to the frame's day."""
    person = describe_person(users, index)
    usage = replace(users, everyone=True).measure(index, (EPOCH,), 1, frame.revision)
    days = max((frame.day - person.first_seen.date()).days, 1)
    total = usage.requests + int(days * person.daily_requests)
    scale = Decimal(total) / max(usage.requests, 1)
    row: Row = {
        "id": str(person.number + 10**19) if switches.big_ints else f"cust_{person.number:08x}",
        "unique_organization_id": f"org_{users.account}",
        "customer_identifier": person.customer_identifier,
        "environment": users.environment,
        "name": person.name,
        "email": person.email,
        "first_seen": person.first_seen.isoformat().replace("+00:00", "Z"),
        "last_active_timeframe": _last_active(users, index, frame, switches),
        "active_days": days,
        "number_of_requests": total,
        "total_requests": total,
        "total_tokens": int((usage.prompt_tokens + usage.completion_tokens) * scale),
        "total_cost": float(round(usage.cost * scale, 10)),
        "average_latency": usage.latency,
        "average_ttft": usage.ttft,
        "average_monthly_cost": float(round(usage.cost * scale / days * 30, 10)),
        "period_budget": person.budget,
        "budget_duration": None if person.budget is None else "monthly",
        "total_budget": None if person.budget is None else person.budget * 12,
    }
    return _finish(row, switches)


RowMaker = Callable[[Users, int, Frame, KeywordsAISwitches], Row]
ROW_MAKERS: dict[str, RowMaker] = {"users": users_row, "users_list": users_list_row}


@lru_cache(maxsize=16)
def sort_members(
    users: Users, stream: str, frame: Frame, switches: KeywordsAISwitches, members: tuple[int, ...], sort_by: str
) -> tuple[int, ...]:
    """Put members in the order ``sort_by`` asks for; nulls come last, equals keep the listing's order."""
    name, descends = sort_by.removeprefix("-"), sort_by.startswith("-")
    values: dict[int, Any] = {index: ROW_MAKERS[stream](users, index, frame, switches).get(name) for index in members}
    known = sorted((i for i in members if values[i] is not None), key=values.__getitem__, reverse=descends)
    return (*known, *(i for i in members if values[i] is None))


@lru_cache(maxsize=64)
def _sum_frame(users: Users, frame: Frame, members: tuple[int, ...]) -> tuple[int, Decimal]:
    parts = [users.measure(i, *sample_days(frame.summary_type, frame.day), frame.revision) for i in members]
    return sum(part.requests for part in parts), sum((part.cost for part in parts), Decimal(0))


def aggregate(users: Users, frame: Frame, members: Sequence[int]) -> Row:
    """The envelope's ``aggregation_data``, over all pages; both spellings of the monthly cost occur.

    Figures are those of the time frame asked for, whatever their names say: what the rows add up to.
    """
    sample = tuple(members[:SAMPLE])
    requests, cost = _sum_frame(users, frame, sample)
    scale = Decimal(len(members)) / max(len(sample), 1)
    spelling = "monthly_cost" if frame.day.toordinal() % 2 else "montly_cost"
    return {
        "new_users": len(members) // 10,
        "total_users": len(members),
        "monthly_active_users": len(members),
        "daily_active_users": len(members),
        "daily_requests": int(requests * scale),
        spelling: float(round(cost * scale, 10)),
    }


def _finish(row: Row, switches: KeywordsAISwitches) -> Row:
    if switches.extra_fields:
        row |= {"sandbox_segment": "früh", "sandbox_tags": ["a", {"b": None}]}
    if switches.nulls:
        row = {name: value if name == "customer_identifier" else None for name, value in row.items()}
    return row


def _last_active(users: Users, index: int, frame: Frame, switches: KeywordsAISwitches) -> str | int | None:
    if switches.last_active != "text":
        return 0 if switches.last_active == "zero" else None
    noon = datetime(frame.day.year, frame.day.month, frame.day.day, 12, tzinfo=UTC) + timedelta(hours=frame.offset)
    micros = (index * 7_919_000_003 + users.seed) % (11 * 3600 * 1_000_000)
    return str(noon + timedelta(microseconds=micros))


def _duration(seconds: int) -> str:
    days, rest = divmod(seconds, 86_400)
    clock = f"{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"
    return f"{days} {clock}" if days else clock
