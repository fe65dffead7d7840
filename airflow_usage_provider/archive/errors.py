"""Turns what boto3 raises into the errors of this package.

Fatal is a short list: what is known to fail again until a person changes something. S3's own verdict on keys, rights,
bucket, region or arguments is; so is a certificate that cannot be verified, and a store that says it lacks a feature.
Everything else, also what nobody foresaw, may pass and is left to a retry.
"""

from __future__ import annotations

import os
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
_REGION_STEP = "Correct region_name or endpoint_url in the AWS connection's extra."
_ARGUMENT_STEP = "Check s3_extra_args and the extra of the AWS connection."
_STORE_STEP = (
    'If the store knows no checksums, set {"config_kwargs": {"request_checksum_calculation": "when_required"}} in the '
    "AWS connection's extra; else look for what it lacks in docs/deployment/s3.md."
)
_CONDITION_STEP = "The archive needs a store with conditional writes (If-None-Match): see docs/deployment/s3.md."
_TRUST_STEP = 'Set the private CA in the AWS connection\'s extra: {"verify": "/path/to/ca.pem"}.'
_RESTORE_STEP = "Restore the manifests of the day for some days (aws s3api restore-object)."
_RETRY_STEP = "Nothing was committed; run the task again."
_FATAL_CODES = {
    **dict.fromkeys(("NoSuchBucket", "InvalidBucketName"), _BUCKET_STEP),
    **dict.fromkeys(
        # A right that was given a moment ago may be refused for seconds still; whoever gave it is there to run again.
        ("AccessDenied", "AccountProblem", "AllAccessDisabled", "InvalidAccessKeyId", "NotSignedUp"),
        _ACCESS_STEP,
    ),
    "SignatureDoesNotMatch": f"{_ACCESS_STEP} Stores other than S3 may mean checksums: see docs/deployment/s3.md.",
    **dict.fromkeys(
        ("AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "PermanentRedirect"), _REGION_STEP
    ),
    **dict.fromkeys(
        ("InvalidStorageClass", "InvalidTag", "InvalidEncryptionAlgorithmError", "KeyTooLongError"), _ARGUMENT_STEP
    ),
    **dict.fromkeys(("KMS.DisabledException", "KMS.NotFoundException"), _ARGUMENT_STEP),
    **dict.fromkeys(("InvalidArgument", "InvalidRequest"), f"{_ARGUMENT_STEP} {_STORE_STEP}"),
    "InvalidObjectState": _RESTORE_STEP,
}
_FATAL_SETTINGS = {  # of botocore's own errors, those that come before anything is sent
    "InvalidChecksumConfigError",
    "InvalidEndpointConfigurationError",
    "InvalidRegionError",
    "MissingDependencyException",
    "NoRegionError",
    "ParamValidationError",
    "PartialCredentialsError",
    "UnknownSignatureVersionError",
    "UnsupportedS3AccesspointConfigurationError",
    "UnsupportedS3ArnError",
    "UnsupportedS3ConfigurationError",
}
_UNTRUSTED = (
    "certificate verify failed",
    "certificate_verify_failed",
    "doesn't match",
    "no such file",
    "no certificate",
)
_LACKING = ("notimplemented", "not implemented", "unsupported", "not supported")


def error_code(error: Any) -> str:
    """S3's code in a botocore ``ClientError``: ``NoSuchKey``, ``PreconditionFailed``, ``404``."""
    return str(error.response.get("Error", {}).get("Code", ""))


def is_missing(error: Any) -> bool:
    """Whether there is no object of that key."""
    return error_code(error) in {"NoSuchKey", "404", "NotFound"}


@contextmanager
def translated_errors(bucket: str) -> Iterator[None]:
    """
    Raise this package's errors in place of boto3's.

    :raises ArchiveAccessError: it is known to fail again: the bucket is missing, the credentials do not do, the store
        lacks a feature.
    :raises ArchiveUnavailableError: anything else.
    """
    from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

    try:
        yield
    except ClientError as error:
        raise _from_response(error, bucket) from None
    except (BotoCoreError, HTTPClientError, OSError) as error:
        raise _from_client(error, bucket) from None


def _from_response(error: Any, bucket: str) -> ArchiveAccessError | ArchiveUnavailableError:
    code, meta = error_code(error), error.response.get("ResponseMetadata", {})
    details = {"status": meta.get("HTTPStatusCode"), "request_id": meta.get("RequestId")}
    if code == "NoSuchBucket":
        return ArchiveAccessError(f"Bucket {bucket!r} does not exist", next_step=_BUCKET_STEP, **details)
    if step := _find_lack(error, details["status"]) or _FATAL_CODES.get(code):
        message = f"S3 refused {error.operation_name} in bucket {bucket!r}: {code}"
        return ArchiveAccessError(message, next_step=step, **details)
    return ArchiveUnavailableError(
        f"S3 could not do {error.operation_name} in bucket {bucket!r}: {code}", next_step=_RETRY_STEP, **details
    )


def _find_lack(error: Any, status: int | None) -> str | None:
    """Return what to do about a store that says it lacks a feature; None if it does not say so."""
    details = error.response.get("Error", {})
    said = " ".join(str(details.get(name, "")) for name in ("Code", "Message", "Header")).lower()
    if status != 501 and not (400 <= (status or 0) < 406 and any(words in said for words in _LACKING)):
        return None
    return _CONDITION_STEP if "if-none-match" in said else _STORE_STEP


def _from_client(error: Exception, bucket: str) -> ArchiveAccessError | ArchiveUnavailableError:
    """Translate what went wrong on this side, or on the way."""
    name = type(error).__name__
    if name == "SSLError" and any(words in str(error).lower() for words in _UNTRUSTED):
        return ArchiveAccessError(f"No trusted TLS connection to S3 for bucket {bucket!r}", next_step=_TRUST_STEP)
    is_setting = not _FATAL_SETTINGS.isdisjoint(kind.__name__ for kind in type(error).__mro__)
    if is_setting or (name == "NoCredentialsError" and not _may_have_role()):
        step = _ACCESS_STEP if "Credentials" in name else _ARGUMENT_STEP
        return ArchiveAccessError(f"S3 cannot be asked for bucket {bucket!r}: {name}", next_step=step)
    step = f"If it stays so: {_ACCESS_STEP}" if name == "NoCredentialsError" else _RETRY_STEP
    return ArchiveUnavailableError(f"S3 did not answer for bucket {bucket!r}: {name}", next_step=step)


def _may_have_role() -> bool:
    """
    Whether keys may yet come from a role though there are none now.

    boto3 says the same when there is nothing and when an instance's metadata service failed to answer: it asks that
    service last, unless told not to. A container's, a web identity's or an assumed role that fails raises errors of its
    own, which count as passing.
    """
    return os.environ.get("AWS_EC2_METADATA_DISABLED", "false").lower() != "true"
