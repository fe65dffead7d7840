"""What Airflow reads of this package at the start of every process."""

from airflow_usage_provider.provider_info import connection_type


def get_provider_info():
    return {
        "package-name": "airflow-usage-anthropic",
        "name": "Anthropic usage",
        "description": "Archives costs and usage of an Anthropic organization.",
        "connection-types": [
            connection_type(
                "anthropic_usage",
                hook="airflow_usage_anthropic.hooks.AnthropicUsageHook",
                name="Anthropic usage",
                base_url="https://api.anthropic.com",
                api_key="an admin key of the organization",
            )
        ],
    }
