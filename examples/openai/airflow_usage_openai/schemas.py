"""What the columns of OpenAI's answers mean."""

from airflow_usage_provider.schema import StreamSchema

COSTS = StreamSchema(
    identity=("project_id", "line_item", "api_key_id"),
    columns={
        "object": "text",
        "amount.value": "money",
        "amount.currency": "text",
        "line_item": "text",
        "project_id": "text",
        "api_key_id": "text",
    },
    roles={
        "charges": "costs",
        "cost": "amount.value",
        "currency": "amount.currency",
        "principal": "project_id",
        "principal_kind": "project",
        "model": "line_item",
    },
)
COMPLETIONS = StreamSchema(  # no money of its own: usage need not add up to costs
    identity=("project_id", "user_id", "api_key_id", "model", "batch", "service_tier"),
    columns={
        "object": "text",
        "input_tokens": "count",
        "input_cached_tokens": "count",
        "output_tokens": "count",
        "num_model_requests": "count",
        "project_id": "text",
        "user_id": "text",
        "api_key_id": "text",
        "model": "text",
        "batch": "flag",
        "service_tier": "text",
    },
    roles={
        "principal": "api_key_id",
        "principal_kind": "api_key",
        "model": "model",
        "requests": "num_model_requests",
        "input_tokens": "input_tokens",
        "output_tokens": "output_tokens",
        "cache_read_tokens": "input_cached_tokens",
    },
)
