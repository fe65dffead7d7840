"""The operator that archives a stream of Anthropic's."""

from airflow_usage_anthropic.hooks import AnthropicUsageHook
from airflow_usage_provider.operators.snapshot import UsageSnapshotToS3Operator


class AnthropicUsageToS3Operator(UsageSnapshotToS3Operator):
    vendor = "anthropic"
    timezones = frozenset({"UTC"})
    template_fields = (*UsageSnapshotToS3Operator.template_fields, "anthropic_usage_conn_id", "stream")

    def __init__(self, *, anthropic_usage_conn_id="anthropic_usage_default", stream="costs", **kwargs):
        super().__init__(**kwargs)
        self.anthropic_usage_conn_id = anthropic_usage_conn_id
        self.stream = stream

    def get_hook(self):
        return AnthropicUsageHook(self.anthropic_usage_conn_id)

    def open_stream(self, hook, window):
        return hook.open_stream(self.stream, window)
