"""How a body is bound to its request: by a checksum among the signed headers, which S3 compares with what arrives.

boto3 would hash every body with SHA-256 once more for its signature, or over TLS stream a CRC behind it; both cost more
than the sending. A part brings a CRC; a body that is small, as a manifest, its SHA-256. What the user's configuration
says of checksums or payload signing stays as it is.
"""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any

try:
    from isal.isal_zlib import crc32
except ImportError:  # no wheel for this platform
    from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SIGNING = "payload_signing_enabled"
_ALGORITHM = "ChecksumAlgorithm"


def prefer_checksums(client: Any) -> None:
    """Change a boto3 client that nobody else uses: bodies are not signed, but the checksums here are."""
    config = client.meta.config
    s3 = config.s3 or {}
    if config.request_checksum_calculation == "when_supported" and _SIGNING not in s3:
        config.s3 = {**s3, _SIGNING: False}


def multipart_argument(client: Any, extra_args: Mapping[str, Any]) -> dict[str, str]:
    """Return the argument that announces the parts' checksums."""
    return {_ALGORITHM: "CRC32"} if _is_ours_to_add(client, extra_args) else {}


def crc32_argument(client: Any, pieces: Sequence[memoryview], extra_args: Mapping[str, Any]) -> dict[str, str]:
    """Return the argument for a part."""
    if not _is_ours_to_add(client, extra_args):
        return {}
    crc = 0
    for piece in pieces:
        crc = crc32(piece, crc)
    return {"ChecksumCRC32": b64encode(crc.to_bytes(4, "big")).decode()}


def sha256_argument(client: Any, sha256: str, extra_args: Mapping[str, Any]) -> dict[str, str]:
    """Return the argument for a small body of that hash, given as hex."""
    if not _is_ours_to_add(client, extra_args):
        return {}
    return {"ChecksumSHA256": b64encode(bytes.fromhex(sha256)).decode()}


def _is_ours_to_add(client: Any, extra_args: Mapping[str, Any]) -> bool:
    config = client.meta.config
    is_unsigned = (config.s3 or {}).get(_SIGNING) is False
    return is_unsigned and config.request_checksum_calculation == "when_supported" and _ALGORITHM not in extra_args
