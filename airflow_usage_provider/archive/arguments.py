"""The user's extra arguments for S3, and which call takes which of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_usage_provider.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

_RESERVED = {"Bucket", "Key", "Body", "IfNoneMatch", "IfMatch", "ContentType", "ContentEncoding", "ContentLength"}


def check_extra_args(client: Any, extra_args: Mapping[str, Any]) -> None:
    """
    Refuse what cannot be an argument of every object written.

    :raises ConfigurationError: a name is unknown to S3's ``PutObject`` or decided by the archive itself.
    """
    allowed = set(_members(client, "PutObject")) & set(_members(client, "CreateMultipartUpload")) - _RESERVED
    if unknown := sorted(set(extra_args) - allowed):
        raise ConfigurationError(
            f"s3_extra_args has {', '.join(unknown)}",
            next_step="Give arguments of boto3's put_object, such as ServerSideEncryption, StorageClass or Tagging.",
        )


def accepted_args(client: Any, operation: str, extra_args: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the extra arguments that an operation knows: who pays and customer keys go along with reads too."""
    members = _members(client, operation)
    return {name: value for name, value in extra_args.items() if name in members}


def _members(client: Any, operation: str) -> Mapping[str, Any]:
    members: Mapping[str, Any] = client.meta.service_model.operation_model(operation).input_shape.members
    return members
