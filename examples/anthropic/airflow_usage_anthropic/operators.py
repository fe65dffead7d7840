"""The operator that archives a stream of Anthropic's."""

from airflow_usage_anthropic.hooks import AnthropicUsageHook
from airflow_usage_provider.operators.snapshot import UsageSnapshotToS3Operator
from airflow_usage_provider.records.days import split_days


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

    def open_streams(self, hook, windows):
        """Ask for all days of a look-back at once."""
        return split_days(windows, lambda window: self.open_stream(hook, window))
