"""A write whose answer is lost has been done: it is found, and not done again."""

from __future__ import annotations

import io
import random
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectionClosedError
from botocore.httpsession import URLLib3Session

from airflow_usage_provider.archive.keys import ArchiveKey
from airflow_usage_provider.exceptions import ArchiveCorruptError, ArchiveUnavailableError

MIB = 1 << 20


class Raw(io.BytesIO):
    """The body of an answer as urllib3 would hand it on."""

    def stream(self, **_: Any) -> Any:
        yield self.read()


def answer(status: int, code: str) -> AWSResponse:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>m</Message></Error>".encode()
    return AWSResponse("http://s3", status, {"content-type": "application/xml"}, Raw(body))


class Loser:
    """
    Lets the first request of an operation through and loses its answer.

    :param then: what boto3's second try is answered; the server's own word if None.
    :param harm: done to what the first request wrote, by whoever wishes us ill.
    """

    def __init__(self, client: Any, operation: str, then: AWSResponse | None = None, harm: Any = None) -> None:
        self.sent: list[str] = []
        self._then = then
        self._harm = harm
        self._operation = operation
        client.meta.events.register("before-send.s3", self)

    def __call__(self, request: Any, event_name: str, **_: Any) -> AWSResponse | None:
        operation = event_name.rpartition(".")[2]
        self.sent.append(operation)
        if operation != self._operation:
            return None
        if (tries := self.sent.count(operation)) > 1:
            return self._then if tries == 2 else None
        session = URLLib3Session()
        assert session.send(request).status_code == 200
        session.close()
        if self._harm:
            self._harm()
        raise ConnectionClosedError(endpoint_url=request.url)


SECOND_TRIES = [
    pytest.param(None, id="as the server says"),
    pytest.param((404, "NoSuchUpload"), id="NoSuchUpload"),
    pytest.param((412, "PreconditionFailed"), id="PreconditionFailed"),
    pytest.param((409, "ConditionalRequestConflict"), id="ConditionalRequestConflict"),
    pytest.param((500, "InternalError"), id="InternalError"),
    pytest.param((400, "Novelty"), id="a code nobody knows"),
]


@pytest.mark.parametrize("then", SECOND_TRIES)
@pytest.mark.parametrize(("operation", "size"), [("CompleteMultipartUpload", 9 * MIB), ("PutObject", 1000)])
def test_a_part_whose_answer_is_lost_is_found_and_not_sent_again(
    place: Any, client_as: Any, operation: str, size: int, then: Any
) -> None:
    body = random.Random(size).randbytes(size)
    client = client_as()
    loser = Loser(client, operation, answer(*then) if then else None)
    manifest = place.store(body, archive=place.open(client=client, compression="none"))
    assert place.read(manifest.files[0].key) == body
    assert [ArchiveKey.parse(key).name for key in place.list_keys()] == ["_manifest.json", "part-00000.csv"]  # type: ignore[union-attr]
    assert loser.sent.count("CreateMultipartUpload") == (size > MIB)
    assert place.list_uploads() == []


@pytest.mark.parametrize("size", [1000, 9 * MIB])
def test_what_somebody_else_put_there_meanwhile_is_not_taken_for_ours(place: Any, client_as: Any, size: int) -> None:
    def harm() -> None:
        (key,) = place.list_keys()
        place.client.put_object(Bucket=place.location.bucket, Key=key, Body=bytes(size))

    client = client_as()
    Loser(client, "CompleteMultipartUpload" if size > MIB else "PutObject", answer(412, "PreconditionFailed"), harm)
    archive = place.open(client=client, compression="none")
    with pytest.raises(ArchiveCorruptError, match="exists with other bytes"):
        place.store(random.Random(size).randbytes(size), archive=archive)
    assert not any(key.endswith("_manifest.json") for key in place.list_keys())


def test_what_is_not_there_after_all_is_the_error_that_it_was(place: Any, client_as: Any) -> None:
    def harm() -> None:
        (key,) = place.list_keys()
        place.client.delete_object(Bucket=place.location.bucket, Key=key)

    client = client_as()
    Loser(client, "PutObject", answer(503, "SlowDown"), harm)
    with pytest.raises(ArchiveUnavailableError, match="SlowDown"):
        place.store(b"a\n1\n", archive=place.open(client=client))
    assert place.list_keys() == []
