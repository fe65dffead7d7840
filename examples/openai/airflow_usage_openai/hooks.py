"""The hook that holds an admin key of an OpenAI organization."""

from airflow_usage_openai.streams import open_stream
from airflow_usage_provider.hooks.base import UsageHook
from airflow_usage_provider.http import HttpClient


class OpenAIUsageHook(UsageHook):
    conn_type = "openai_usage"
    hook_name = "OpenAI usage"
    base_url = "https://api.openai.com"
    check_path = "/v1/organization/projects"
    extras = {"organization": "text"}

    def open_vendor(self, **options):
        organization = self.read_extra("organization")
        headers = {"OpenAI-Organization": organization} if organization else {}
        return HttpClient("openai", self.connection, headers=headers, **options)

    def open_stream(self, stream, window):
        return open_stream(self.get_conn(), stream, window)
