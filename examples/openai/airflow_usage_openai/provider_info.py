"""What Airflow reads of this package at the start of every process."""

from airflow_usage_provider.provider_info import connection_type, text


def get_provider_info():
    return {
        "package-name": "airflow-usage-openai",
        "name": "OpenAI usage",
        "description": "Archives costs and usage of an OpenAI organization.",
        "connection-types": [
            connection_type(
                "openai_usage",
                hook="airflow_usage_openai.hooks.OpenAIUsageHook",
                name="OpenAI usage",
                base_url="https://api.openai.com",
                api_key="an admin key of the organization",
                extras={"organization": text("Organization", "Its id, where the key is of more than one.")},
            )
        ],
    }
