"""An Anthropic to try the package on: ``python examples/anthropic/server.py``, then a connection to its address."""

import signal
from datetime import datetime, timedelta

from airflow_usage_provider.testing import FaultServer

WORKSPACES = ("wrkspc_search", None)
LINES = (("input tokens", "uncached_input_tokens", "301.25"), ("output tokens", "output_tokens", "0.0049"))


def answer(request):
    """Answer costs and usage of every day that is asked for; the same days always have the same figures."""
    if request.path == "/v1/organizations/workspaces":
        return {"data": [{"id": WORKSPACES[0]}], "has_more": False}
    start, end = (datetime.fromisoformat(request.get(name)) for name in ("starting_at", "ending_at"))
    make = make_costs if request.path.endswith("/cost_report") else make_usage
    days = [start + timedelta(days=number) for number in range((end - start).days)]
    buckets = [
        {"starting_at": day.isoformat(), "ending_at": (day + timedelta(days=1)).isoformat(), "results": make()}
        for day in days
    ]
    return {"data": buckets, "has_more": False, "next_page": None}


def make_costs():
    return [
        {
            "amount": cents,
            "currency": "USD",
            "cost_type": "tokens",
            "token_type": token_type,
            "service_tier": "standard",
            "context_window": "0-200k",
            "model": "claude-opus-5",
            "workspace_id": workspace,
            "description": f"Claude Opus 5, {description}",
        }
        for workspace in WORKSPACES
        for description, token_type, cents in LINES
    ]


def make_usage():
    return [
        {
            "api_key_id": f"apikey_{workspace}",
            "workspace_id": workspace,
            "model": "claude-opus-5",
            "service_tier": "standard",
            "context_window": "0-200k",
            "uncached_input_tokens": 1500,
            "cache_creation": {"ephemeral_1h_input_tokens": 1000, "ephemeral_5m_input_tokens": 500},
            "cache_read_input_tokens": 200,
            "output_tokens": 500,
            "server_tool_use": {"web_search_requests": 3},
        }
        for workspace in WORKSPACES
    ]


if __name__ == "__main__":
    with FaultServer(answer) as server:
        print(server.url, flush=True)
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
