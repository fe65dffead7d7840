"""The operator that archives a stream of OpenAI's."""

from airflow_usage_openai.hooks import OpenAIUsageHook
from airflow_usage_provider.operators.snapshot import UsageSnapshotToS3Operator
from airflow_usage_provider.records.days import split_days


class OpenAIUsageToS3Operator(UsageSnapshotToS3Operator):
    vendor = "openai"
    timezones = frozenset({"UTC"})
    template_fields = (*UsageSnapshotToS3Operator.template_fields, "openai_usage_conn_id", "stream")

    def __init__(self, *, openai_usage_conn_id="openai_usage_default", stream="costs", **kwargs):
        super().__init__(**kwargs)
        self.openai_usage_conn_id = openai_usage_conn_id
        self.stream = stream

    def get_hook(self):
        return OpenAIUsageHook(self.openai_usage_conn_id)

    def open_stream(self, hook, window):
        return hook.open_stream(self.stream, window)

    def open_streams(self, hook, windows):
        """Ask for all days of a look-back at once."""
        return split_days(windows, lambda window: self.open_stream(hook, window))
