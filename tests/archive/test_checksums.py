"""Every body that leaves for S3 is bound to its request, by what the user's configuration says or by a checksum."""

from __future__ import annotations

import base64
import hashlib
import io
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from botocore.config import Config

from airflow_usage_provider.archive.checksums import prefer_checksums
from airflow_usage_provider.archive.upload import ObjectUpload
from airflow_usage_provider.exceptions import UsageProviderError

MIB = 1 << 20
PATH_STYLE = {"addressing_style": "path"}
Headers = dict[str, list[dict[str, str]]]


def store(place: Any, client: Any, size: int, **extra_args: Any) -> Headers:
    """Write an object and return the headers that left, by operation."""
    left: Headers = {}

    def remember(request: Any, event_name: str, **_: Any) -> None:
        texts = {name.lower(): decode(value) for name, value in request.headers.items()}
        left.setdefault(event_name.rpartition(".")[2], []).append(texts)

    client.meta.events.register("before-send.s3", remember)
    key = f"{place.location.prefix}/object"
    settings = {"content_type": "text/csv", "part_size": 5 * MIB, "extra_args": extra_args}
    upload = ObjectUpload(client, place.location.bucket, key, **settings)
    upload.write(bytes(size))
    assert upload.compute_sha256() == hashlib.sha256(bytes(size)).hexdigest()
    upload.complete()
    assert place.read(key) == bytes(size)
    return left


def decode(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def encoded(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def test_a_part_brings_a_signed_crc_and_is_not_hashed_for_its_signature(
    place: Any, client_as: Callable[..., Any]
) -> None:
    client = client_as()
    prefer_checksums(client)
    left = store(place, client, 6 * MIB)
    parts = sorted(left["UploadPart"], key=lambda headers: int(headers["content-length"]))
    assert [part["x-amz-checksum-crc32"] for part in parts] == [
        encoded(zlib.crc32(bytes(size)).to_bytes(4, "big")) for size in (MIB, 5 * MIB)
    ]
    for part in parts:
        assert part["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"
        assert "x-amz-checksum-crc32" in part["authorization"].partition("SignedHeaders=")[2].partition(",")[0]


def test_a_small_body_brings_its_signed_sha256(place: Any, client_as: Callable[..., Any]) -> None:
    client = client_as()
    prefer_checksums(client)
    (put,) = store(place, client, 100)["PutObject"]
    assert put["x-amz-checksum-sha256"] == encoded(hashlib.sha256(bytes(100)).digest())
    assert "x-amz-checksum-sha256" in put["authorization"].partition("SignedHeaders=")[2].partition(",")[0]


@pytest.mark.parametrize(
    "config",
    [
        Config(s3=PATH_STYLE, request_checksum_calculation="when_required"),
        Config(s3={**PATH_STYLE, "payload_signing_enabled": True}),
    ],
    ids=["no checksums", "signed payload"],
)
@pytest.mark.parametrize("size", [100, 6 * MIB])
def test_what_the_connection_says_stays(place: Any, client_as: Callable[..., Any], config: Config, size: int) -> None:
    client = client_as(config=config)
    prefer_checksums(client)
    left = store(place, client, size)
    for headers in left["UploadPart" if size > MIB else "PutObject"]:
        assert headers["x-amz-content-sha256"] == hashlib.sha256(bytes(int(headers["content-length"]))).hexdigest()
        assert "x-amz-checksum-sha256" not in headers


def test_an_algorithm_of_the_users_is_taken(place: Any, client_as: Callable[..., Any]) -> None:
    client = client_as()
    prefer_checksums(client)
    left = store(place, client, 6 * MIB, ChecksumAlgorithm="SHA256")
    assert all("x-amz-checksum-sha256" in headers for headers in left["UploadPart"])
    assert not any("x-amz-checksum-crc32" in headers for headers in left["UploadPart"])


def test_a_body_that_was_changed_on_its_way_is_refused(place: Any, client_as: Callable[..., Any]) -> None:
    client = client_as()
    prefer_checksums(client)

    def tamper(request: Any, **_: Any) -> None:
        request.body = io.BytesIO(b"x" + request.body.read()[1:])

    client.meta.events.register("before-send.s3.UploadPart", tamper)
    client.meta.events.register("before-send.s3.PutObject", tamper)
    for size in (100, 6 * MIB):
        with pytest.raises(UsageProviderError, match=r"(?i)checksum|digest"):
            store(place, client, size)
    assert place.list_keys() == []
