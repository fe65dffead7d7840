"""What a bucket remembers of objects that were replaced or deleted, and how it keeps anybody from doing so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_usage_provider.archive.checks import Finding
from airflow_usage_provider.archive.errors import error_code, translated_errors
from airflow_usage_provider.archive.objects import ROOT
from airflow_usage_provider.archive.seal import SEALS
from airflow_usage_provider.exceptions import ArchiveAccessError, ArchiveUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_usage_provider.archive.objects import S3Objects

_NO_LOCK = {"ObjectLockConfigurationNotFoundError", "ObjectLockConfigurationNotFound"}


def find_versions(objects: S3Objects) -> Iterator[Finding]:
    """Yield a finding for every version below ``raw/`` and ``seals/`` that was replaced, and every delete marker."""
    for page in (page for root in (ROOT, SEALS) for page in objects.version_pages(root)):
        for entry in page.get("Versions", ()):
            if not entry["IsLatest"]:
                step = "Hold it against the one that is there now; restore it if that was forged."
                yield Finding(
                    "replaced", objects.name(entry["Key"]), f"has an earlier version {entry['VersionId']}", step
                )
        for entry in page.get("DeleteMarkers", ()):
            step = "Remove the marker to have the object back."
            yield Finding("deleted", objects.name(entry["Key"]), f"has a delete marker {entry['VersionId']}", step)


def describe_protection(objects: S3Objects) -> str:
    """Say in one line whether the bucket keeps versions and locks objects, as far as it tells."""

    def ask(call: Callable[..., Any]) -> Any:
        from botocore.exceptions import ClientError

        try:
            with translated_errors(objects.location.bucket):
                try:
                    return call(Bucket=objects.location.bucket)
                except ClientError as error:
                    if error_code(error) in _NO_LOCK:
                        return {}
                    raise
        except (ArchiveAccessError, ArchiveUnavailableError):
            return None

    versioning, lock = ask(objects.client.get_bucket_versioning), ask(objects.client.get_object_lock_configuration)
    kept = "not told" if versioning is None else str(versioning.get("Status", "off")).replace("Enabled", "on").lower()
    return f"Versioning: {kept}; Object Lock: {_describe_lock(lock)}."


def _describe_lock(answer: Any) -> str:
    if answer is None:
        return "not told"
    settings = answer.get("ObjectLockConfiguration", {})
    rule = settings.get("Rule", {}).get("DefaultRetention", {})
    if settings.get("ObjectLockEnabled") != "Enabled":
        return "off"
    if not rule:
        return "on, without a default retention"
    length = f"{rule['Days']} days" if "Days" in rule else f"{rule.get('Years')} years"
    return f"{str(rule.get('Mode')).lower()} mode, {length}"
