"""The rows of Langdock's exports, column by column as documented.

``SERIAL`` stands in a value where each row has a number of its own, so that one sample of rows can be repeated into a
file of millions. Values are text, numbers, None, Decimal for money, and dicts for the columns that hold JSON.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sandbox.data import MODELS, dice, draw_name, draw_uuid
from sandbox.ledger import DEPLOYMENTS, SOURCES, TEAM, Event, Ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sandbox.switches import LangdockSwitches

Row = dict[str, Any]
SERIAL = "\ue000"
NAMES = (
    "Data platform",
    "=SUM(A1:A9)",
    'Ops, "night shift"',
    "Vertrieb Zürich 🦊",
    "@nightly-job",
    "Müller & Söhne; QA",
    "-2+3+cmd|' /C calc'!A0",
    "客户支持",
    "  leading blanks",
    "l'équipe\tdata",
    "+49 30 1234",
    "plain",
)
TOKEN_COLUMNS = ("prompt_tokens", "completion_tokens", "cached_prompt_tokens", "cache_creation_tokens")
SUBJECTS = {  # what of an event a row of each stream is about
    "users": "member",
    "agents": "agent",
    "api_keys": "key",
    "projects": "project",
    "models": "model",
    "workflows": "workflow",
}
GROUPS: dict[str | None, tuple[object, ...]] = {
    None: (None,),
    "model": tuple(range(len(MODELS))),
    "source": SOURCES,
    "deployment": DEPLOYMENTS,
}


@dataclass(frozen=True)
class Question:
    """What one export is about; the same question always has the same answer."""

    seed: int
    account: str
    stream: str
    first: date
    last: date
    group_by: str | None
    revision: int
    switches: LangdockSwitches

    @property
    def is_sized(self) -> bool:
        """Whether the number of rows was asked for; otherwise they are those the first team's usage makes."""
        return self.switches.rows is not None

    @cached_property
    def days(self) -> tuple[date, ...]:
        """The days of the window, both ends included."""
        return tuple(self.first + timedelta(days=n) for n in range((self.last - self.first).days + 1))

    @cached_property
    def subjects(self) -> tuple[Subject, ...]:
        """Whom and what the rows are about, when their number was not asked for."""
        found: defaultdict[tuple[int, int], list[Event]] = defaultdict(list)
        groups = GROUPS[self.group_by]
        for event in self.events(0):
            if (number := getattr(event, SUBJECTS[self.stream])) is not None:
                found[number, groups.index(getattr(event, self.group_by) if self.group_by else None)].append(event)
        return tuple(Subject(*key, tuple(found[key])) for key in sorted(found))

    def events(self, team: int) -> Iterator[Event]:
        """A team's events of the window."""
        ledger = Ledger(self.seed, self.account, everyone=self.is_sized)
        return (event for day in self.days for event in ledger.events(team, day, self.revision))

    def subject(self, index: int) -> Subject:
        """What a row is about; of a file of a given size, any index has one, whose usage may be nothing."""
        if not self.is_sized:
            return self.subjects[index] if index < len(self.subjects) else Subject(index, 0, ())
        groups = GROUPS[self.group_by]
        number, group = divmod(index, len(groups)) if self.group_by == "model" else (index, index % len(groups))
        team, own = divmod(number, len(MODELS) if self.stream == "models" else TEAM)
        wanted = own if self.stream == "models" else number
        events = (event for event in self.events(team) if getattr(event, SUBJECTS[self.stream]) == wanted)
        if self.group_by:
            events = (event for event in events if getattr(event, str(self.group_by)) == groups[group])
        return Subject(number, group, tuple(events))

    def identify(self, number: int) -> str:
        """A UUID whose last group is the number of its subject."""
        return draw_uuid(self.seed, self.account, self.stream, number)[:24] + self.serial(number)

    def serial(self, number: int) -> str:
        """A subject's number, or where it is written."""
        return SERIAL if self.is_sized else f"{number:012d}"

    def name(self, number: int) -> str:
        """A name as users type them, the same on every day."""
        return NAMES[(number + dice(self.seed, self.account, self.stream, "names").randrange(len(NAMES))) % len(NAMES)]

    def split(self, total: int, names: tuple[str, ...]) -> dict[str, int]:
        """Share a total among names, as the JSON cells do."""
        share = total // (len(names) + 1)
        return {name: share if n else total - share * (len(names) - 1) for n, name in enumerate(names)}


@dataclass(frozen=True, slots=True)
class Subject:
    """What one row is about.

    :param number: of the member, key, agent, project, model or workflow.
    :param group: place among the values of ``group_by``.
    :param events: those the row adds up.
    """

    number: int
    group: int
    events: tuple[Event, ...]

    def measure(self) -> Row:
        """Sums of requests, token counts and cost."""
        totals: Row = {
            name: sum(getattr(event, name) for event in self.events) for name in ("requests", *TOKEN_COLUMNS)
        }
        cost = sum((event.cost for event in self.events), Decimal(0))
        return totals | {
            "no_cache_tokens": totals["prompt_tokens"] - totals["cached_prompt_tokens"],
            "cost": cost.normalize() + 0,
        }


def api_key_row(question: Question, subject: Subject) -> Row:
    """One row per API key, or per API key and model."""
    usage = subject.measure()
    row: Row = {"api_key_id": question.identify(subject.number), "api_key_name": question.name(subject.number)}
    if question.group_by == "model":
        row["model"] = MODELS[subject.group][0]
    row |= {"requests": usage["requests"], "total_cost_usd": usage["cost"]}
    if question.switches.byok:
        row |= {
            "sum_prompt_tokens": usage["prompt_tokens"],
            "sum_completion_tokens": usage["completion_tokens"],
            "cached_prompt_tokens": usage["cached_prompt_tokens"],
            "cache_creation_tokens": usage["cache_creation_tokens"],
            "no_cache_tokens": usage["no_cache_tokens"],
        }
    return row


def model_row(question: Question, subject: Subject) -> Row:
    """One row per model, provider and bring-your-own-key flag; past the known models, per fine-tuned model."""
    usage = subject.measure()
    name, provider, *_ = MODELS[subject.number % len(MODELS)]
    tuned = (question.switches.rows or 0) > len(MODELS)
    row: Row = {
        "name": f"ft:{name}:{question.serial(subject.number)}" if tuned else name,
        "provider": provider,
        "bring_your_keys": question.switches.byok and subject.number % 2 == 0,
        "requests": usage["requests"],
    }
    if question.group_by:
        row[question.group_by] = GROUPS[question.group_by][subject.group]
    if question.switches.byok:
        row |= {
            "sum_prompt_tokens": usage["prompt_tokens"],
            "sum_completion_tokens": usage["completion_tokens"],
            "sum_cached_prompt_tokens": usage["cached_prompt_tokens"],
            "sum_cache_creation_tokens": usage["cache_creation_tokens"],
            "no_cache_tokens": usage["no_cache_tokens"],
            "total_cost_usd": usage["cost"],
        }
    return row


def user_row(question: Question, subject: Subject) -> Row:
    """One row per user, or per user and model."""
    member = subject.number
    usage = subject.measure()
    total: int = usage["requests"]
    rolled = dice(question.seed, question.account, "member", member)
    models = tuple(MODELS[(member + n) % len(MODELS)][0] for n in range(3))
    row: Row = {"user_id": question.identify(member)}
    if question.switches.user_data:
        row |= {
            "name": draw_name(question.seed, question.account, "member", member),
            "email": f"member{member}.{question.serial(member)}@example.com",
        }
    row |= {
        "role": rolled.choice(("admin", "editor", "member")),
        "joined_at": f"2024-{rolled.randint(1, 12):02d}-{rolled.randint(1, 28):02d}T08:{member % 60:02d}:00.000Z",
        "department": rolled.choice((None, "R&D", "Sales, EMEA")),
        "company_name": f"{question.account} GmbH",
        "license_type": rolled.choice(("standard", "business")),
        "payg_enabled": rolled.random() < 0.5,
        "payg_cost_usd": usage["cost"],
    }
    if question.group_by == "model":
        row["model"] = MODELS[subject.group][0]
    return row | {
        "messages_total": total,
        "messages_total_rank": subject.number + 1,
        "messages_chat": total // 2,
        "messages_chat_rank": subject.number + 1,
        "messages_assistants": total // 3,
        "messages_assistants_rank": subject.number + 1,
        "assistants_messaged": 2,
        "assistants_to_messages": question.split(total // 3, ('Übersetzer, "Pro"', "SQL helper")),
        "messages_projects": total // 6,
        "messages_projects_rank": subject.number + 1,
        "projects_messaged": 1,
        "projects_to_messages": question.split(total // 6, ("Roadmap\n2026",)),
        "model_to_messages_total": question.split(total, models),
        "action_messages": total // 9,
        "action_messaged": 1,
        "action_to_messages": question.split(total // 9, ("web, search",)),
    }


def agent_row(question: Question, subject: Subject) -> Row:
    """One row per agent, or per agent and model."""
    agent = subject.number
    usage = subject.measure()
    messages: int = usage["requests"]
    users = len({event.member for event in subject.events})
    row: Row = {"assistant_id": question.identify(agent), "assistant_name": question.name(agent)}
    if question.group_by == "model":
        row["model"] = MODELS[subject.group][0]
    row |= {
        "messages": messages,
        "unique_users": users,
        "active_users": users,
        "conversations": 1 + messages // 4,
        "messages_per_user": Decimal(f"{messages / max(users, 1):.2f}"),
    }
    if question.switches.user_data:
        row |= {
            "assistant_description": f"Answers questions about {question.name(agent)}.\nEscalates, when in doubt.",
            "assistant_url": f"https://app.example.com/chat?assistant={question.serial(agent)}",
            "assistant_owner_id": draw_uuid(question.account, "owner", agent % 5),
            "assistant_owner_email": f"owner{agent % 5}@example.com",
        }
    if question.switches.byok:
        for kind, divisor in (("sum", 1), ("avg", max(1, messages)), ("min", 4000), ("max", 3)):
            row |= {f"{kind}_{name}": usage[name] // divisor for name in TOKEN_COLUMNS[:2]}
    return row


def project_row(question: Question, subject: Subject) -> Row:
    """One row per project."""
    row: Row = {
        "project_id": question.identify(subject.number),
        "project_name": question.name(subject.number),
        "project_owner_id": draw_uuid(question.account, "owner", subject.number % 5),
    }
    if question.switches.user_data:
        row["project_owner_email"] = f"owner{subject.number % 5}@example.com"
    return row | {"messages": subject.measure()["requests"]}


def workflow_row(question: Question, subject: Subject) -> Row:
    """One row per workflow."""
    runs: int = subject.measure()["requests"]
    row: Row = {"workflow_id": question.identify(subject.number), "workflow_name": question.name(subject.number)}
    return row | {"runs": runs, "successful_runs": runs - runs // 20, "failed_runs": runs // 20}


ROW_MAKERS: dict[str, Callable[[Question, Subject], Row]] = {
    "users": user_row,
    "agents": agent_row,
    "api_keys": api_key_row,
    "projects": project_row,
    "models": model_row,
    "workflows": workflow_row,
}


def make_row(question: Question, index: int) -> Row:
    """One row with the columns every stream has in front."""
    row: Row = {
        "period_start": question.first.isoformat(),
        "period_end": question.last.isoformat(),
        "org_id": draw_uuid(question.seed, question.account, "org"),
    }
    row |= ROW_MAKERS[question.stream](question, question.subject(index))
    if question.switches.extra_column:
        row["sandbox_note"] = f"new column {index}"
    return row
