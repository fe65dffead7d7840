"""The few things the archive asks of S3 beside uploads; whatever goes wrong comes as an error of this package."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_usage_provider.archive.arguments import accepted_args, check_extra_args
from airflow_usage_provider.archive.checksums import sha256_argument
from airflow_usage_provider.archive.errors import translated_errors
from airflow_usage_provider.archive.lost import looking_for
from airflow_usage_provider.exceptions import UsageProviderError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True, slots=True)
class Bucket:
    """
    One bucket, through a boto3 client.

    :param extra_args: arguments of every object written; those that other calls take go along with these too.
    """

    client: Any
    name: str
    extra_args: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_extra_args(self.client, self.extra_args)

    def list_keys(self, prefix: str, *, after: str = "") -> Iterator[tuple[str, int]]:
        """
        Yield key and size of the objects below a prefix, page by page.

        :param after: leave out the keys up to this one.
        """
        start = {"StartAfter": after} if after else {}
        with translated_errors(self.name):
            extra = accepted_args(self.client, "ListObjectsV2", self.extra_args)
            paginator = self.client.get_paginator("list_objects_v2")
            for page in paginator.paginate(Bucket=self.name, Prefix=prefix, **start, **extra):
                for entry in page.get("Contents", ()):
                    yield entry["Key"], entry.get("Size", -1)

    def read(self, key: str, *, limit: int) -> bytes:
        """Return the bytes of a small object: of a larger one, a few more than the limit."""
        with translated_errors(self.name):
            extra = accepted_args(self.client, "GetObject", self.extra_args)
            with self.client.get_object(Bucket=self.name, Key=key, **extra)["Body"] as body:
                content: bytes = body.read(limit + 1)
        return content

    def create(self, key: str, body: bytes, *, content_type: str) -> None:
        """Write a small object, create-only."""
        target = {"Bucket": self.name, "Key": key}
        sha256 = hashlib.sha256(body).hexdigest()
        checksum = sha256_argument(self.client, sha256, self.extra_args)
        with looking_for(self.client, target, self.extra_args, size=len(body), sha256=sha256):
            self.client.put_object(
                **target, ContentType=content_type, Body=body, IfNoneMatch="*", **checksum, **self.extra_args
            )

    def list_uploads(self, prefix: str) -> list[tuple[str, str]]:
        """Return key and id of the open uploads below a prefix; none where S3 does not tell us, whatever it says."""
        with suppress(UsageProviderError, LookupError, ValueError), translated_errors(self.name):
            extra = accepted_args(self.client, "ListMultipartUploads", self.extra_args)
            answer = self.client.list_multipart_uploads(Bucket=self.name, Prefix=prefix, **extra)
            return [(upload["Key"], upload["UploadId"]) for upload in answer.get("Uploads", ())]
        return []

    def abort_upload(self, key: str, upload_id: str) -> None:
        """Abort an open upload, if it is still there and S3 lets us."""
        with suppress(UsageProviderError, LookupError, ValueError), translated_errors(self.name):
            extra = accepted_args(self.client, "AbortMultipartUpload", self.extra_args)
            self.client.abort_multipart_upload(Bucket=self.name, Key=key, UploadId=upload_id, **extra)
