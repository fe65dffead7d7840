"""What vendors of one's own are tested with: real servers, and the rules that every stream keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_usage_provider.testing.connection import FakeTime, connect
from airflow_usage_provider.testing.s3 import Identity, S3Server
from airflow_usage_provider.testing.server import Answer, FaultServer, Request

if TYPE_CHECKING:
    from airflow_usage_provider.testing.contract import StreamContract

__all__ = ["Answer", "FakeTime", "FaultServer", "Identity", "Request", "S3Server", "StreamContract", "connect"]


def __getattr__(name: str) -> Any:
    """Import the contract, and pytest with it, only for those who ask for it."""
    if name != "StreamContract":
        raise AttributeError(name)
    import pytest

    pytest.register_assert_rewrite("airflow_usage_provider.testing.contract")
    from airflow_usage_provider.testing.contract import StreamContract

    return StreamContract
