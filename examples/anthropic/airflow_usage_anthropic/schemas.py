"""What the columns of Anthropic's reports mean."""

from airflow_usage_provider.schema import StreamSchema

COSTS = StreamSchema(
    identity=(
        "workspace_id",
        "description",
        "cost_type",
        "model",
        "token_type",
        "service_tier",
        "context_window",
        "inference_geo",
    ),
    columns={
        "amount": "money",
        "currency": "text",
        "cost_type": "text",
        "token_type": "text",
        "service_tier": "text",
        "context_window": "text",
        "inference_geo": "text",
        "model": "text",
        "workspace_id": "text",
        "description": "text",
    },
    roles={
        "charges": "costs",
        "cost": "amount",
        "currency": "currency",
        "cost_scale": "0.01",  # amounts are in cents
        "principal": "workspace_id",
        "principal_kind": "project",
        "model": "model",
    },
)
MESSAGES = StreamSchema(  # no money of its own
    identity=("api_key_id", "workspace_id", "model", "service_tier", "context_window"),
    columns={
        "api_key_id": "text",
        "workspace_id": "text",
        "model": "text",
        "service_tier": "text",
        "context_window": "text",
        "uncached_input_tokens": "count",
        "cache_creation.ephemeral_1h_input_tokens": "count",
        "cache_creation.ephemeral_5m_input_tokens": "count",
        "cache_read_input_tokens": "count",
        "output_tokens": "count",
        "server_tool_use.web_search_requests": "count",
    },
    roles={
        "principal": "api_key_id",
        "principal_kind": "api_key",
        "model": "model",
        "input_tokens": "uncached_input_tokens",
        "output_tokens": "output_tokens",
        "cache_read_tokens": "cache_read_input_tokens",
    },
)
