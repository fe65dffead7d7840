"""Archives OpenAI's costs and usage every day."""

from airflow_usage_openai.operators import OpenAIUsageToS3Operator

from airflow_usage_provider.daily import daily_dag

dag = daily_dag("openai_usage_daily", OpenAIUsageToS3Operator, section="openai_usage", streams=["costs", "completions"])
