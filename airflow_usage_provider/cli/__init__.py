"""``usage-archive``: the command. Needs neither Airflow nor the vendors."""

from airflow_usage_provider.cli.command import main

__all__ = ["main"]
