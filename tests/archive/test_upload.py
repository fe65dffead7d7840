"""One object of any size: create-only, in parts of the right size, and gone without a trace when it fails."""

from __future__ import annotations

import io
import random
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from urllib3 import HTTPResponse

from airflow_usage_provider.archive.upload import ObjectUpload
from airflow_usage_provider.exceptions import ArchiveCorruptError

MIB = 1 << 20


def begin(place: Any, name: str = "object", **settings: Any) -> ObjectUpload:
    key = f"{place.location.prefix}/{name}"
    settings = {"content_type": "text/csv", "part_size": 5 * MIB, **settings}
    return ObjectUpload(place.client, place.location.bucket, key, **settings)


@pytest.mark.parametrize(("size", "parts"), [(0, 0), (1, 0), (5 * MIB, 0), (5 * MIB + 1, 2), (11 * MIB, 3)])
def test_an_object_is_in_parts_only_beyond_one_parts_size(place: Any, size: int, parts: int) -> None:
    body = random.Random(size).randbytes(size)
    upload = begin(place)
    upload.write(body)
    assert place.list_keys() == []
    upload.complete()
    (key,) = place.list_keys()
    head = place.client.head_object(Bucket=place.location.bucket, Key=key)
    assert upload.bytes == size
    assert place.read(key) == body
    assert head["ContentType"] == "text/csv"
    assert head["ETag"].strip('"').partition("-")[2] == (str(parts) if parts else "")


@pytest.mark.parametrize("size", [1, 6 * MIB])
def test_a_key_that_is_taken_by_other_bytes_is_an_error_and_stays_as_it_is(place: Any, size: int) -> None:
    key = f"{place.location.prefix}/object"
    place.client.put_object(Bucket=place.location.bucket, Key=key, Body=b"theirs")
    upload = begin(place)
    upload.write(bytes(size))
    with pytest.raises(ArchiveCorruptError, match=f"exists with 6 bytes in place of {size}"):
        upload.complete()
    upload.abort()
    assert place.read(key) == b"theirs"
    assert place.list_uploads() == []


def test_a_key_that_is_taken_by_our_own_earlier_attempt_is_done(place: Any) -> None:
    for _ in range(2):
        upload = begin(place)
        upload.write(b"mine")
        upload.complete()
    assert [place.read(key) for key in place.list_keys()] == [b"mine"]


def test_a_part_that_was_refused_once_is_sent_again_whole_whatever_pieces_it_came_in(
    place: Any, client_as: Any
) -> None:
    body, client, refused = random.Random(7).randbytes(11 * MIB), client_as(), []

    def refuse(request: Any, **_: Any) -> Any:
        if request.url not in refused:
            refused.append(request.url)
            assert len(b"".join(iter(lambda: request.body.read(8192), b""))) in {5 * MIB, MIB}
            return AWSResponse(request.url, 500, HTTPHeaders(), HTTPResponse(io.BytesIO(), preload_content=False))
        return None

    client.meta.events.register("before-send.s3.UploadPart", refuse)
    upload = ObjectUpload(
        client, place.location.bucket, f"{place.location.prefix}/object", content_type="text/csv", part_size=5 * MIB
    )
    for start in range(0, len(body), 700_001):
        upload.write(body[start : start + 700_001])
    upload.complete()
    assert len(refused) == 3
    assert [place.read(key) for key in place.list_keys()] == [body]


def test_aborting_is_safe_at_any_time_and_twice(place: Any) -> None:
    for size in (0, 1, 12 * MIB):
        upload = begin(place, f"object-{size}")
        upload.write(bytes(size))
        upload.abort()
        upload.abort()
    assert place.list_keys() == []
    assert place.list_uploads() == []


def test_aborting_a_completed_object_leaves_it_there(place: Any) -> None:
    upload = begin(place)
    upload.write(bytes(6 * MIB))
    upload.complete()
    upload.abort()
    assert len(place.list_keys()) == 1
