"""The hook that holds an admin key of an Anthropic organization."""

from airflow_usage_anthropic.streams import open_stream
from airflow_usage_provider.hooks.base import UsageHook
from airflow_usage_provider.http import HeaderAuth, HttpClient

HEADERS = {"anthropic-version": "2023-06-01"}


class AnthropicUsageHook(UsageHook):
    conn_type = "anthropic_usage"
    hook_name = "Anthropic usage"
    base_url = "https://api.anthropic.com"
    check_path = "/v1/organizations/workspaces"

    def open_vendor(self, **options):
        return HttpClient("anthropic", self.connection, auth=HeaderAuth("x-api-key"), headers=HEADERS, **options)

    def open_stream(self, stream, window):
        return open_stream(self.get_conn(), stream, window)
