"""What the columns of Langdock's exports mean. Names and order are those of the vendor's pages on its exports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_usage_provider.schema import StreamSchema

if TYPE_CHECKING:
    from collections.abc import Mapping

_COMMON = {"period_start": "date", "period_end": "date", "org_id": "text"}
_MESSAGES = {f"messages_{what}{rank}": "count" for what in ("total", "chat", "assistants") for rank in ("", "_rank")}
_TOKENS = {
    f"{figure}_{what}_tokens": "count" if figure != "avg" else "number"
    for figure in ("sum", "avg", "min", "max")
    for what in ("prompt", "completion")
}
_CACHED_TOKENS = ("cached_prompt_tokens", "cache_creation_tokens", "no_cache_tokens")

_COLUMNS: Mapping[str, Mapping[str, str]] = {
    "api_keys": {
        "api_key_id": "text",
        "api_key_name": "text",
        "requests": "count",
        "total_cost_usd": "money",
        "sum_prompt_tokens": "count",
        "sum_completion_tokens": "count",
        **dict.fromkeys(_CACHED_TOKENS, "count"),
    },
    "models": {
        "name": "text",
        "provider": "text",
        "bring_your_keys": "flag",
        "requests": "count",
        "sum_prompt_tokens": "count",
        "sum_completion_tokens": "count",
        "sum_cached_prompt_tokens": "count",
        "sum_cache_creation_tokens": "count",
        "no_cache_tokens": "count",
        "total_cost_usd": "money",
    },
    "users": {
        "user_id": "text",
        "name": "text",
        "email": "text",
        "role": "text",
        "joined_at": "time",
        "department": "text",
        "company_name": "text",
        "license_type": "text",
        "payg_enabled": "flag",
        "payg_cost_usd": "money",
        **_MESSAGES,
        "assistants_messaged": "count",
        "assistants_to_messages": "json",
        "messages_projects": "count",
        "messages_projects_rank": "count",
        "projects_messaged": "count",
        "projects_to_messages": "json",
        "model_to_messages_total": "json",
        "action_messages": "count",
        "action_messaged": "count",
        "action_to_messages": "json",
    },
    "agents": {
        "assistant_id": "text",
        "assistant_name": "text",
        "messages": "count",
        "unique_users": "count",
        "active_users": "count",
        "conversations": "count",
        "messages_per_user": "number",
        "assistant_description": "text",
        "assistant_url": "text",
        "assistant_owner_id": "text",
        "assistant_owner_email": "text",
        **_TOKENS,
    },
    "projects": {
        "project_id": "text",
        "project_name": "text",
        "project_owner_id": "text",
        "project_owner_email": "text",
        "messages": "count",
    },
    "workflows": {
        "workflow_id": "text",
        "workflow_name": "text",
        "runs": "count",
        "successful_runs": "count",
        "failed_runs": "count",
    },
}
_IDENTITIES: Mapping[str, tuple[str, ...]] = {
    "api_keys": ("api_key_id",),
    "models": ("provider", "name", "bring_your_keys"),
    "users": ("user_id",),
    "agents": ("assistant_id",),
    "projects": ("project_id",),
    "workflows": ("workflow_id",),
}
_TOKEN_ROLES = {"input_tokens": "sum_prompt_tokens", "output_tokens": "sum_completion_tokens"}
_COST = {"cost": "total_cost_usd", "currency": "USD"}
_ROLES: Mapping[str, Mapping[str, str]] = {
    "api_keys": {
        **_COST,
        "charges": "api",
        "principal": "api_key_id",
        "principal_kind": "api_key",
        "principal_name": "api_key_name",
        "requests": "requests",
        **_TOKEN_ROLES,
        "cache_read_tokens": "cached_prompt_tokens",
        "cache_write_tokens": "cache_creation_tokens",
    },
    "models": {  # the money of ``api_keys`` is in these figures too, so that they are no pot of their own
        **_COST,
        "principal": "name",
        "principal_kind": "model",
        "model": "name",
        "requests": "requests",
        **_TOKEN_ROLES,
        "cache_read_tokens": "sum_cached_prompt_tokens",
        "cache_write_tokens": "sum_cache_creation_tokens",
    },
    "users": {"principal": "user_id", "principal_kind": "user", "principal_name": "name"},
    "agents": {"principal": "assistant_id", "principal_kind": "agent", "principal_name": "assistant_name"},
    "projects": {"principal": "project_id", "principal_kind": "project", "principal_name": "project_name"},
    "workflows": {},
}


def export_schema(stream: str, group_by: str | None = None) -> StreamSchema:
    """Return the schema of a stream, and of a grouping of it, which tells its rows apart by one column more."""
    columns, identity, roles = {**_COMMON, **_COLUMNS[stream]}, _IDENTITIES[stream], dict(_ROLES[stream])
    if group_by:
        columns[group_by] = "text"
        identity = (*identity, group_by)
        if group_by == "model":
            roles["model"] = "model"
    return StreamSchema(identity, columns, roles)


def find_export_schema(name: str) -> StreamSchema | None:
    """Return the schema of a stream by its name in the archive, ``api_keys_by_model``; None if there is none."""
    stream, _, group_by = name.partition("_by_")
    return export_schema(stream, group_by) if stream in _COLUMNS else None
