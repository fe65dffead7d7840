"""The few things the archive asks of S3 beside uploads; whatever goes wrong comes as an error of this package."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_usage_provider.archive.checksums import sha256_argument
from airflow_usage_provider.archive.errors import is_missing, is_precondition_failure, translated_errors
from airflow_usage_provider.archive.upload import accepted_args, check_extra_args
from airflow_usage_provider.exceptions import ArchiveAccessError, ArchiveUnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Bucket:
    """
    One bucket, through a boto3 client.

    :param extra_args: arguments of every object written; customer keys go along with reads too.
    """

    client: Any
    name: str
    extra_args: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_extra_args(self.client, self.extra_args)

    def list_keys(self, prefix: str) -> list[str]:
        """Return the keys below a prefix."""
        with translated_errors(self.name):
            pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
            return [entry["Key"] for page in pages for entry in page.get("Contents", ())]

    def read(self, key: str) -> bytes:
        """Return the bytes of a small object."""
        with translated_errors(self.name):
            extra = accepted_args(self.client, "GetObject", self.extra_args)
            body: bytes = self.client.get_object(Bucket=self.name, Key=key, **extra)["Body"].read()
        return body

    def has(self, key: str, size: int) -> bool:
        """Whether there is an object of that size under the key."""
        from botocore.exceptions import ClientError

        with translated_errors(self.name):
            try:
                extra = accepted_args(self.client, "HeadObject", self.extra_args)
                head = self.client.head_object(Bucket=self.name, Key=key, **extra)
            except ClientError as error:
                if is_missing(error):
                    return False
                raise
        return bool(head["ContentLength"] == size)

    def create(self, key: str, body: bytes, *, content_type: str) -> None:
        """Write a small object, create-only."""
        from botocore.exceptions import ClientError

        target = {"Bucket": self.name, "Key": key, "ContentType": content_type}
        checksum = sha256_argument(self.client, body, self.extra_args)
        with translated_errors(self.name):
            try:
                self.client.put_object(**target, Body=body, IfNoneMatch="*", **checksum, **self.extra_args)
            except ClientError as error:
                # Keys are random: if this one is taken, then by our own attempt whose answer got lost.
                if not is_precondition_failure(error) or self.read(key) != body:
                    raise

    def list_uploads(self, prefix: str) -> list[tuple[str, str]]:
        """Return key and id of the open uploads below a prefix; none where S3 does not tell us."""
        with suppress(ArchiveAccessError), translated_errors(self.name):
            answer = self.client.list_multipart_uploads(Bucket=self.name, Prefix=prefix)
            return [(upload["Key"], upload["UploadId"]) for upload in answer.get("Uploads", ())]
        return []

    def abort_upload(self, key: str, upload_id: str) -> None:
        """Abort an open upload, if it is still there."""
        with suppress(ArchiveAccessError, ArchiveUnavailableError), translated_errors(self.name):
            self.client.abort_multipart_upload(Bucket=self.name, Key=key, UploadId=upload_id)
