"""The rows of Langdock's exports, column by column as documented.

``SERIAL`` stands in a value where each row has a number of its own, so that one sample of rows can be repeated into a
file of millions. Values are text, numbers, None, Decimal for money, and dicts for the columns that hold JSON.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sandbox.data import MODELS, dice, draw_name, draw_uuid

if TYPE_CHECKING:
    from collections.abc import Callable

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

    @cached_property
    def days(self) -> tuple[date, ...]:
        """The days of the window, both ends included."""
        return tuple(self.first + timedelta(days=n) for n in range((self.last - self.first).days + 1))

    def identify(self, index: int) -> str:
        """A UUID whose last group is the row's own number."""
        return draw_uuid(self.seed, self.account, self.stream, index)[:24] + SERIAL

    def name(self, index: int) -> str:
        """A name as users type them, the same on every day."""
        return NAMES[(index + dice(self.seed, self.account, self.stream, "names").randrange(len(NAMES))) % len(NAMES)]

    def measure(self, index: int, *more: object) -> Row:
        """Sums over the window's days: requests, token counts and cost."""
        totals: Row = dict.fromkeys(("requests", *TOKEN_COLUMNS), 0)
        price = dice(self.seed, self.account, self.stream, "price", index, *more).choice(MODELS)
        for day in self.days:
            rolled = dice(self.seed, self.account, self.stream, index, day, *more)
            requests = 1 + int(10 ** (rolled.random() * 3)) + 5 * self.revision
            totals["requests"] += requests
            for column, most in zip(TOKEN_COLUMNS, (2500, 900, 600, 200), strict=True):
                totals[column] += rolled.randint(most // 10, most) * requests
        cost = totals["prompt_tokens"] * price[2] + totals["completion_tokens"] * price[3]
        return totals | {
            "no_cache_tokens": totals["prompt_tokens"] - totals["cached_prompt_tokens"] // 2,
            "cost": Decimal(f"{cost:.8f}").normalize() + 0,
        }

    def split(self, total: int, names: tuple[str, ...]) -> dict[str, int]:
        """Share a total among names, as the JSON cells do."""
        share = total // (len(names) + 1)
        return {name: share if n else total - share * (len(names) - 1) for n, name in enumerate(names)}


def api_key_row(question: Question, index: int) -> Row:
    """One row per API key, or per API key and model."""
    usage = question.measure(index)
    row: Row = {"api_key_id": question.identify(index), "api_key_name": question.name(index)}
    if question.group_by == "model":
        key, model = divmod(index, len(MODELS))
        row = {"api_key_id": question.identify(key), "api_key_name": question.name(key), "model": MODELS[model][0]}
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


def model_row(question: Question, index: int) -> Row:
    """One row per model, provider and bring-your-own-key flag; past the known models, per fine-tuned model."""
    usage = question.measure(index)
    name, provider, *_ = MODELS[index % len(MODELS)]
    tuned = (question.switches.rows or 0) > len(MODELS)
    row: Row = {
        "name": f"ft:{name}:{SERIAL}" if tuned else name,
        "provider": provider,
        "bring_your_keys": question.switches.byok and index % 2 == 0,
        "requests": usage["requests"],
    }
    if question.group_by:
        values = {"source": ("chat", "api", "assistant"), "deployment": ("eu-west", 'eu-central, "gpu"', "us-east")}
        row[question.group_by] = values[question.group_by][index % 3]
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


def user_row(question: Question, index: int) -> Row:
    """One row per user, or per user and model."""
    member = index // len(MODELS) if question.group_by else index
    usage = question.measure(index)
    total: int = usage["requests"]
    rolled = dice(question.seed, question.account, "member", member)
    models = tuple(MODELS[(member + n) % len(MODELS)][0] for n in range(3))
    row: Row = {"user_id": question.identify(member)}
    if question.switches.user_data:
        row |= {
            "name": draw_name(question.seed, question.account, "member", member),
            "email": f"member{member}.{SERIAL}@example.com",
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
        row["model"] = MODELS[index % len(MODELS)][0]
    return row | {
        "messages_total": total,
        "messages_total_rank": index + 1,
        "messages_chat": total // 2,
        "messages_chat_rank": index + 1,
        "messages_assistants": total // 3,
        "messages_assistants_rank": index + 1,
        "assistants_messaged": 2,
        "assistants_to_messages": question.split(total // 3, ('Übersetzer, "Pro"', "SQL helper")),
        "messages_projects": total // 6,
        "messages_projects_rank": index + 1,
        "projects_messaged": 1,
        "projects_to_messages": question.split(total // 6, ("Roadmap\n2026",)),
        "model_to_messages_total": question.split(total, models),
        "action_messages": total // 9,
        "action_messaged": 1,
        "action_to_messages": question.split(total // 9, ("web, search",)),
    }


def agent_row(question: Question, index: int) -> Row:
    """One row per agent, or per agent and model."""
    agent = index // len(MODELS) if question.group_by else index
    usage = question.measure(index)
    messages: int = usage["requests"]
    users = 1 + messages // 7
    row: Row = {"assistant_id": question.identify(agent), "assistant_name": question.name(agent)}
    if question.group_by == "model":
        row["model"] = MODELS[index % len(MODELS)][0]
    row |= {
        "messages": messages,
        "unique_users": users,
        "active_users": max(1, users // 2),
        "conversations": 1 + messages // 4,
        "messages_per_user": Decimal(f"{messages / users:.2f}"),
    }
    if question.switches.user_data:
        row |= {
            "assistant_description": f"Answers questions about {question.name(agent)}.\nEscalates, when in doubt.",
            "assistant_url": f"https://app.example.com/chat?assistant={SERIAL}",
            "assistant_owner_id": draw_uuid(question.account, "owner", agent % 5),
            "assistant_owner_email": f"owner{agent % 5}@example.com",
        }
    if question.switches.byok:
        for kind, divisor in (("sum", 1), ("avg", max(1, messages)), ("min", 4000), ("max", 3)):
            row |= {f"{kind}_{name}": usage[name] // divisor for name in TOKEN_COLUMNS[:2]}
    return row


def project_row(question: Question, index: int) -> Row:
    """One row per project."""
    row: Row = {
        "project_id": question.identify(index),
        "project_name": question.name(index),
        "project_owner_id": draw_uuid(question.account, "owner", index % 5),
    }
    if question.switches.user_data:
        row["project_owner_email"] = f"owner{index % 5}@example.com"
    return row | {"messages": question.measure(index)["requests"]}


def workflow_row(question: Question, index: int) -> Row:
    """One row per workflow."""
    runs: int = question.measure(index)["requests"]
    row: Row = {"workflow_id": question.identify(index), "workflow_name": question.name(index)}
    return row | {"runs": runs, "successful_runs": runs - runs // 20, "failed_runs": runs // 20}


ROW_MAKERS: dict[str, Callable[[Question, int], Row]] = {
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
    row |= ROW_MAKERS[question.stream](question, index)
    if question.switches.extra_column:
        row["sandbox_note"] = f"new column {index}"
    return row
