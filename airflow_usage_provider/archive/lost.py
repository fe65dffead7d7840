"""Answers that get lost: what was written may be there all the same, and then it is not written again.

boto3 sends a request whose answer is lost once more, and S3 refuses the second: the key is taken, the upload is gone.
Whether the first one did it, the object itself can tell.
"""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow_usage_provider.archive.arguments import accepted_args
from airflow_usage_provider.archive.errors import translated_errors
from airflow_usage_provider.exceptions import ArchiveAccessError, ArchiveCorruptError, ArchiveUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_CHUNK = 1024 * 1024


@contextmanager
def looking_for(
    client: Any, target: Mapping[str, str], extra_args: Mapping[str, Any], *, size: int, sha256: str
) -> Iterator[None]:
    """
    Pass over a write's failure if the object is there with every byte.

    :param target: ``Bucket`` and ``Key``.
    :param sha256: of what was to be written, as hex.
    :raises ArchiveCorruptError: the key holds something else.
    """
    try:
        with translated_errors(target["Bucket"]):
            yield
    except ArchiveUnavailableError:
        if not _is_there(client, target, extra_args, size=size, sha256=sha256):
            raise


def _is_there(client: Any, target: Mapping[str, str], extra_args: Mapping[str, Any], *, size: int, sha256: str) -> bool:
    """Read it back: sizes and ETags alone prove little, and not every store keeps checksums."""
    digest = hashlib.sha256()
    try:
        with translated_errors(target["Bucket"]):
            answer = client.get_object(**target, **accepted_args(client, "GetObject", extra_args))
            with answer["Body"] as body:
                if answer["ContentLength"] != size:
                    _refuse(target["Key"], f"{answer['ContentLength']} bytes in place of {size}")
                while chunk := body.read(_CHUNK):
                    digest.update(chunk)
    except (ArchiveAccessError, ArchiveUnavailableError):
        return False  # not there, or nobody can tell: the write's own error stands
    if digest.hexdigest() != sha256:
        _refuse(target["Key"], "other bytes")
    return True


def _refuse(key: str, what: str) -> None:
    raise ArchiveCorruptError(f"{key} exists with {what}", next_step="Find out who else writes below this prefix.")
