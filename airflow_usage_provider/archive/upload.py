"""Writes one object of any size, create-only and in constant memory.

Nothing is visible under the key before :meth:`ObjectUpload.complete`. A small object is one ``PutObject``, sent at the
end; a large one is a multipart upload whose parts leave while the next one fills. Every byte that was written is
counted against what S3 then holds.
"""

from __future__ import annotations

import hashlib
from collections import deque
from typing import TYPE_CHECKING, Any

from airflow_usage_provider.archive.arguments import accepted_args
from airflow_usage_provider.archive.checksums import crc32_argument, multipart_argument, sha256_argument
from airflow_usage_provider.archive.errors import translated_errors
from airflow_usage_provider.archive.lost import looking_for
from airflow_usage_provider.archive.pieces import PieceReader, cut
from airflow_usage_provider.archive.stages import Stage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PART_SIZE = 8 * 1024 * 1024
PARTS_IN_FLIGHT = 4
_PARTS_PER_SIZE = 1000  # S3 takes 10,000 parts: every thousand, the part grows by PART_SIZE


class ObjectUpload:
    """
    One object being written.

    :param client: boto3 S3 client.
    :param extra_args: arguments of ``put_object``, as checked by
        :func:`~airflow_usage_provider.archive.arguments.check_extra_args`.
    :param part_size: bytes of a part; S3's least is 5 MiB.
    """

    def __init__(
        self,
        client: Any,
        bucket: str,
        key: str,
        *,
        content_type: str,
        extra_args: Mapping[str, Any] | None = None,
        part_size: int = PART_SIZE,
    ) -> None:
        self._client = client
        self._target = {"Bucket": bucket, "Key": key}
        self._content_type = content_type
        self._extra_args = extra_args or {}
        self._part_size = part_size
        self._pieces: deque[memoryview] = deque()
        self._waiting = 0  # bytes in the pieces
        self._sent = 0  # parts
        self._upload_id: str | None = None
        self._digest, self._sha256 = hashlib.sha256(), ""
        self._hashing = Stage("hash")
        self._sending = Stage("s3-part", threads=PARTS_IN_FLIGHT)
        self.bytes = 0

    def write(self, data: bytes) -> None:
        """Take more bytes; blocks while as many parts are on their way as may be."""
        self._sha256 = ""
        self._pieces.extend(cut(data))
        self._waiting += len(data)
        self.bytes += len(data)
        while self._waiting > (size := self._part_size * (1 + self._sent // _PARTS_PER_SIZE)):
            self._send_part(self._take(size))

    def compute_sha256(self) -> str:
        """Hash of all bytes written, as hex; nothing is written behind."""
        if not self._sha256:
            self._hashing.finish()
            digest = self._digest.copy()
            for piece in self._pieces:
                digest.update(piece)
            self._sha256 = digest.hexdigest()
        return self._sha256

    def complete(self) -> None:
        """
        Make the object visible.

        :raises ArchiveCorruptError: S3 holds something else under the key.
        """
        sha256, rest = self.compute_sha256(), self._take(self._waiting)
        if self._upload_id is not None:
            self._send_part(rest)
        with translated_errors(self._target["Bucket"]):
            parts = self._sending.finish()
        with looking_for(self._client, self._target, self._extra_args, size=self.bytes, sha256=sha256):
            if self._upload_id is None:
                self._put(rest, sha256)
            else:
                self._client.complete_multipart_upload(
                    **self._target,
                    UploadId=self._upload_id,
                    MultipartUpload={"Parts": parts},
                    IfNoneMatch="*",
                    **accepted_args(self._client, "CompleteMultipartUpload", self._extra_args),
                )
        self._upload_id = None
        self._shut_down()

    def abort(self) -> None:
        """Leave nothing behind. Safe to call at any time, also twice."""
        self._shut_down()
        if self._upload_id is not None:
            upload_id, self._upload_id = self._upload_id, None
            with translated_errors(self._target["Bucket"]):
                self._client.abort_multipart_upload(
                    **self._target,
                    UploadId=upload_id,
                    **accepted_args(self._client, "AbortMultipartUpload", self._extra_args),
                )

    def _take(self, size: int) -> list[memoryview]:
        """Take so many of the bytes that wait, or all there are."""
        taken: list[memoryview] = []
        while size and self._pieces:
            piece = self._pieces.popleft()
            if len(piece) > size:
                self._pieces.appendleft(piece[size:])
                piece = piece[:size]
            taken.append(piece)
            size -= len(piece)
            self._waiting -= len(piece)
        return taken

    def _put(self, pieces: Sequence[memoryview], sha256: str) -> None:
        self._client.put_object(
            **self._target,
            Body=b"".join(pieces),
            ContentType=self._content_type,
            IfNoneMatch="*",
            **sha256_argument(self._client, sha256, self._extra_args),
            **self._extra_args,
        )

    def _send_part(self, pieces: Sequence[memoryview]) -> None:
        with translated_errors(self._target["Bucket"]):
            if self._upload_id is None:
                answer = self._client.create_multipart_upload(
                    **self._target,
                    ContentType=self._content_type,
                    **multipart_argument(self._client, self._extra_args),
                    **self._extra_args,
                )
                self._upload_id = answer["UploadId"]
            self._hashing.submit(self._hash, pieces)
            self._sent += 1
            self._sending.submit(self._upload_part, self._upload_id, self._sent, pieces)

    def _hash(self, pieces: Sequence[memoryview]) -> None:
        for piece in pieces:
            self._digest.update(piece)

    def _upload_part(self, upload_id: str, number: int, pieces: Sequence[memoryview]) -> dict[str, Any]:
        answer = self._client.upload_part(
            **self._target,
            UploadId=upload_id,
            PartNumber=number,
            Body=PieceReader(pieces),
            **crc32_argument(self._client, pieces, self._extra_args),
            **accepted_args(self._client, "UploadPart", self._extra_args),
        )
        checksums = {name: value for name, value in answer.items() if name in _CHECKSUMS}
        return {"PartNumber": number, "ETag": answer["ETag"], **checksums}

    def _shut_down(self) -> None:
        self._pieces.clear()
        self._waiting = 0
        self._sending.close()
        self._hashing.close()


_CHECKSUMS = {"ChecksumCRC32", "ChecksumCRC32C", "ChecksumCRC64NVME", "ChecksumSHA1", "ChecksumSHA256"}
