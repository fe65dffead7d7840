"""What the columns of Keywords AI's users mean. Names and order are those of the vendor's page on the endpoint."""

from __future__ import annotations

import re

from airflow_usage_provider.schema import StreamSchema

_USERS = {
    "id": "text",
    "unique_organization_id": "text",
    "organization_name": "text",
    "email": "text",
    "name": "text",
    "customer_identifier": "text",
    "environment": "text",
    "active_days": "count",
    "last_active_timeframe": "time",
    "requests": "count",
    "total_requests": "count",
    "number_of_requests": "count",
    "tokens": "count",
    "total_tokens": "count",
    "cost": "money",
    "total_cost": "money",
    "average_sentiment": "number",
    "active_duration": "text",
    "first_seen": "time",
    "top_models": "json",
    "cache_hits": "count",
    "average_latency": "number",
    "average_ttft": "number",
    "total_prompt_tokens": "count",
    "total_completion_tokens": "count",
    "average_monthly_cost": "money",
    "total_budget": "money",
    "period_budget": "money",
    "budget_duration": "text",
}
_IDENTITY = ("customer_identifier", "environment")  # never ``id``, which the vendor gives anew
_PRINCIPAL = {"principal": "customer_identifier", "principal_kind": "user", "principal_name": "name"}


def users_schema(*, stream: str, summary_type: str, environment: str | None) -> StreamSchema:
    """
    Return the schema of a listing.

    Only the daily figures are money to add up: weekly, monthly and yearly ones cover other days too, and running totals
    every day since ever. What is spent in one environment is not spent in another: a pot each.
    """
    if stream == "users_list":
        roles = {"cost": "total_cost", "currency": "USD", "requests": "number_of_requests"}
    else:
        roles = {"cost": "cost", "currency": "USD", "requests": "requests"}
        if summary_type == "daily":
            roles["charges"] = f"usage_{environment}" if environment else "usage"
    return StreamSchema(_IDENTITY, _USERS, {**_PRINCIPAL, **roles})


def find_users_schema(name: str) -> StreamSchema | None:
    """Return the schema of a listing by its name in the archive, ``users_weekly_test``; None if there is none."""
    match = re.fullmatch(r"(users_list|users)(?:_(weekly|monthly|yearly|all))?(?:_(.+))?", name)
    if not match:
        return None
    return users_schema(stream=match[1], summary_type=match[2] or "daily", environment=match[3])
