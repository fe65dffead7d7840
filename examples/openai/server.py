"""An OpenAI to try the package on: ``python examples/openai/server.py``, then a connection to the address it prints."""

import signal
from datetime import UTC, datetime, timedelta

from airflow_usage_provider.testing import FaultServer

PROJECTS = ("proj_search", "proj_support")
LINES = (("gpt-5, input", 0.0421), ("gpt-5, output", 0.1263), ("text-embedding-3-large", 5.2e-05))


def answer(request):
    """Answer costs and usage of every day that is asked for; the same days always have the same figures."""
    if request.path == "/v1/organization/projects":
        return {"object": "list", "data": [{"id": project} for project in PROJECTS], "has_more": False}
    start, end = (int(request.get(name)) for name in ("start_time", "end_time"))
    make = make_costs if request.path.endswith("/costs") else make_usage
    days = [datetime.fromtimestamp(at, UTC) for at in range(start, end, 86_400)]
    buckets = [
        {
            "object": "bucket",
            "start_time": int(day.timestamp()),
            "end_time": int((day + timedelta(days=1)).timestamp()),
            "results": make(day),
        }
        for day in days
    ]
    return {"object": "page", "data": buckets, "has_more": False, "next_page": None}


def make_costs(day):
    return [
        {
            "object": "organization.costs.result",
            "amount": {"value": price * (1 + day.day), "currency": "usd"},
            "line_item": line,
            "project_id": project,
            "api_key_id": None,
        }
        for project in PROJECTS
        for line, price in LINES
    ]


def make_usage(day):
    return [
        {
            "object": "organization.usage.completions.result",
            "input_tokens": 1_000 * day.day,
            "input_cached_tokens": 200 * day.day,
            "output_tokens": 300 * day.day,
            "num_model_requests": day.day,
            "project_id": project,
            "user_id": None,
            "api_key_id": f"key_{project}",
            "model": "gpt-5",
            "batch": False,
            "service_tier": None,
        }
        for project in PROJECTS
    ]


if __name__ == "__main__":
    with FaultServer(answer) as server:
        print(server.url, flush=True)
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
