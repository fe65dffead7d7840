"""Turns what boto3 raises into the errors of this package."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow_usage_provider.exceptions import ArchiveAccessError, ArchiveUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

_BUCKET_STEP = "Create the bucket or correct archive_url."
_ACCESS_STEP = (
    "Check the keys of the AWS connection and their rights: "
    "s3:ListBucket, s3:GetObject, s3:PutObject, s3:AbortMultipartUpload."
)
_RETRY_STEP = "Nothing was committed; run the task again."
_MISSING_BUCKET = {"NoSuchBucket"}
_PASSING_STATUSES = {408, 409, 429}
_PASSING = {
    "BadDigest",
    "ExpiredToken",
    "IncompleteBody",
    "InternalError",
    "KMS.ThrottlingException",
    "NoSuchUpload",
    "OperationAborted",
    "RequestTimeTooSkewed",
    "RequestTimeout",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TokenRefreshRequired",
    "XAmzContentSHA256Mismatch",
}


def error_code(error: Any) -> str:
    """S3's code in a botocore ``ClientError``: ``NoSuchKey``, ``PreconditionFailed``, ``404``."""
    return str(error.response.get("Error", {}).get("Code", ""))


def is_precondition_failure(error: Any) -> bool:
    """Whether a create-only write found the key taken."""
    return error_code(error) in {"PreconditionFailed", "412"}


def is_missing(error: Any) -> bool:
    """Whether there is no object of that key."""
    return error_code(error) in {"NoSuchKey", "404", "NotFound"}


@contextmanager
def translated_errors(bucket: str) -> Iterator[None]:
    """
    Raise this package's errors in place of boto3's.

    :raises ArchiveAccessError: the bucket is missing or the credentials do not do.
    :raises ArchiveUnavailableError: S3 did not answer or answered that it cannot now.
    """
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        HTTPClientError,
        NoCredentialsError,
        ParamValidationError,
        PartialCredentialsError,
        SSLError,
    )

    try:
        yield
    except ClientError as error:
        raise _from_response(error, bucket) from None
    except SSLError:
        raise ArchiveAccessError(
            f"No trusted TLS connection to S3 for bucket {bucket!r}",
            next_step='Set the private CA in the AWS connection\'s extra: {"verify": "/path/to/ca.pem"}.',
        ) from None
    except (NoCredentialsError, PartialCredentialsError, ParamValidationError) as error:
        raise ArchiveAccessError(
            f"S3 cannot be asked for bucket {bucket!r}: {type(error).__name__}", next_step=_ACCESS_STEP
        ) from None
    except (HTTPClientError, BotoCoreError) as error:
        raise ArchiveUnavailableError(
            f"S3 did not answer for bucket {bucket!r}: {type(error).__name__}", next_step=_RETRY_STEP
        ) from None


def _from_response(error: Any, bucket: str) -> ArchiveAccessError | ArchiveUnavailableError:
    code = error_code(error)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    details = {"status": status, "request_id": error.response.get("ResponseMetadata", {}).get("RequestId")}
    if code in _MISSING_BUCKET:
        return ArchiveAccessError(f"Bucket {bucket!r} does not exist", next_step=_BUCKET_STEP, **details)
    if code in _PASSING or status in _PASSING_STATUSES or (status or 500) >= 500:
        return ArchiveUnavailableError(
            f"S3 could not do {error.operation_name} in bucket {bucket!r}: {code}", next_step=_RETRY_STEP, **details
        )
    return ArchiveAccessError(
        f"S3 refused {error.operation_name} in bucket {bucket!r}: {code}", next_step=_ACCESS_STEP, **details
    )
