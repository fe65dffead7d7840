"""Archives Anthropic's costs and usage every day."""

from airflow_usage_anthropic.operators import AnthropicUsageToS3Operator

from airflow_usage_provider.daily import daily_dag

dag = daily_dag(
    "anthropic_usage_daily", AnthropicUsageToS3Operator, section="anthropic_usage", streams=["costs", "messages"]
)
