"""What S3 refuses has one of this package's names, says what to do, and leaves nothing behind."""

from __future__ import annotations

import pickle
import socket
import ssl
import subprocess
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from airflow_usage_provider.archive.keys import ArchiveLocation, Series
from airflow_usage_provider.exceptions import ArchiveAccessError, ArchiveUnavailableError, UsageProviderError
from airflow_usage_provider.models import UsageWindow

SERIES = Series("langdock", "eu/acme", "api_keys")
WINDOW = UsageWindow(date(2026, 11, 20))
ClientMaker = Callable[..., Any]


def test_a_missing_bucket_is_named_before_a_byte_is_read(place: Any) -> None:
    archive = place.open(location=ArchiveLocation("achrive", "x"))
    with pytest.raises(ArchiveAccessError, match=r"'achrive' does not exist.*archive_url") as caught:
        place.begin(archive)
    assert caught.value.status == 404


@pytest.mark.parametrize(
    "keys", [{"aws_secret_access_key": "CANARY-SECRET"}, {"aws_access_key_id": "CANARY-KEY"}], ids=["secret", "key"]
)
def test_wrong_keys_are_an_access_error_that_names_the_rights(
    place: Any, client_as: ClientMaker, keys: dict[str, str]
) -> None:
    with pytest.raises(ArchiveAccessError, match=r"refused ListObjectsV2.*s3:PutObject") as caught:
        place.begin(place.open(client=client_as(**keys)))
    assert caught.value.status == 403
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + str(pickle.dumps(caught.value))
    assert "CANARY" not in shown


def test_an_identity_that_may_only_read_is_told_at_the_first_write(place: Any, client_as: ClientMaker) -> None:
    place.store(b"a\n1\n")
    client = client_as(aws_access_key_id="reader", aws_secret_access_key="readersecret")
    archive = place.open(client=client)
    assert archive.read_latest(SERIES, UsageWindow(WINDOW.usage_date)) is not None
    before = place.list_keys()
    with pytest.raises(ArchiveAccessError, match=r"refused PutObject.*AccessDenied"):
        place.store(b"a\n2\n", archive=archive)
    with pytest.raises(ArchiveAccessError, match=r"refused CreateMultipartUpload"):
        place.store(bytes(9 << 20), archive=place.open(client=client, compression="none"))
    assert place.list_keys() == before
    assert place.list_uploads() == []


@pytest.mark.parametrize(
    ("disabled", "kind"), [("true", ArchiveAccessError), ("false", ArchiveUnavailableError)], ids=["none", "metadata"]
)
def test_no_credentials_are_an_access_error_only_where_no_role_can_bring_them(
    place: Any, monkeypatch: pytest.MonkeyPatch, disabled: str, kind: type[UsageProviderError]
) -> None:
    import botocore.session
    from botocore.config import Config
    from botocore.credentials import CredentialResolver

    session = botocore.session.Session()
    session.register_component("credential_provider", CredentialResolver(providers=[]))
    client = session.create_client(
        "s3",
        region_name="us-east-1",
        endpoint_url=place.server.endpoint_url,
        config=Config(s3={"addressing_style": "path"}),
    )
    try:
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", disabled)
        with pytest.raises(kind, match="s3:ListBucket"):
            place.begin(place.open(client=client))
    finally:
        client.close()


def test_a_server_that_does_not_listen_is_unavailable(place: Any, client_as: ClientMaker, dead_url: str) -> None:
    with pytest.raises(ArchiveUnavailableError, match=r"did not answer for bucket 'archive'.*run the task again"):
        place.begin(place.open(client=client_as(endpoint_url=dead_url)))


def test_a_server_that_goes_while_parts_are_written_is_unavailable(
    place: Any, client_as: ClientMaker, canned_server: Callable[..., Any], canned: Any
) -> None:
    keys = canned(body=b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")
    uploads = canned(body=b"<ListMultipartUploadsResult></ListMultipartUploadsResult>")
    failed = b"<?xml version='1.0'?><Error><Code>InternalError</Code><Message>m</Message></Error>"
    server = canned_server()
    archive = place.open(client=client_as(endpoint_url=server.url))
    for code in ("InternalError", "ServiceUnavailable"):
        refusal = canned(503, failed.replace(b"InternalError", code.encode()))
        server.answers = [keys, uploads, keys, refusal]
        with place.begin(archive) as snapshot:
            snapshot.write(b"a\n1\n")
            with pytest.raises(ArchiveUnavailableError, match=code) as caught:
                place.commit(snapshot)
        assert caught.value.status == 503


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (503, "SlowDown", ArchiveUnavailableError),
        (500, "Novelty", ArchiveUnavailableError),
        (409, "ConditionalRequestConflict", ArchiveUnavailableError),
        (429, "TooManyRequests", ArchiveUnavailableError),
        (400, "RequestTimeout", ArchiveUnavailableError),
        (400, "ExpiredToken", ArchiveUnavailableError),
        (403, "RequestTimeTooSkewed", ArchiveUnavailableError),
        (403, "SignatureDoesNotMatch", ArchiveAccessError),
        (400, "InvalidStorageClass", ArchiveAccessError),
        (404, "NoSuchBucket", ArchiveAccessError),
        (404, "NoSuchKey", ArchiveUnavailableError),
        (400, "Novelty", ArchiveUnavailableError),
        (400, "InvalidToken", ArchiveUnavailableError),
        (403, "Forbidden", ArchiveUnavailableError),
        (405, "MethodNotAllowed", ArchiveUnavailableError),
        (412, "PreconditionFailed", ArchiveUnavailableError),
        (507, "InsufficientStorage", ArchiveUnavailableError),
        (403, "AccessDenied", ArchiveAccessError),
        (403, "InvalidAccessKeyId", ArchiveAccessError),
        (403, "InvalidObjectState", ArchiveAccessError),
        (400, "AuthorizationHeaderMalformed", ArchiveAccessError),
        (400, "InvalidArgument", ArchiveAccessError),
        (400, "KMS.DisabledException", ArchiveAccessError),
    ],
)
def test_each_code_of_s3_says_whether_a_retry_can_help(
    place: Any,
    client_as: ClientMaker,
    canned_server: Callable[..., Any],
    canned: Any,
    status: int,
    code: str,
    kind: type[UsageProviderError],
) -> None:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>m</Message></Error>".encode()
    server = canned_server([canned(status, body, {"x-amz-request-id": "R1"})])
    archive = place.open(client=client_as(endpoint_url=server.url))
    with pytest.raises(kind) as caught:
        archive.read_latest(SERIES, WINDOW)
    assert type(caught.value) is kind
    assert (caught.value.status, caught.value.request_id) == (status, "R1")


CHECKSUM_STEP = "config_kwargs.*request_checksum_calculation.*when_required"


@pytest.mark.parametrize(
    ("status", "code", "message", "step"),
    [
        (501, "NotImplemented", "A header you provided implies functionality that is not implemented.", CHECKSUM_STEP),
        (501, "", "", CHECKSUM_STEP),
        (400, "XNotImplemented", "m", CHECKSUM_STEP),
        (400, "InvalidArgument", "Unsupported header &apos;x-amz-checksum-sha256&apos;", CHECKSUM_STEP),
        (400, "InvalidRequest", "x-amz-sdk-checksum-algorithm is not supported", CHECKSUM_STEP),
        (400, "InvalidArgument", "m", CHECKSUM_STEP),
        (501, "NotImplemented", "If-None-Match is not implemented", "conditional writes"),
    ],
)
def test_a_store_that_lacks_a_feature_is_told_at_once_with_what_to_change(
    place: Any,
    client_as: ClientMaker,
    canned_server: Callable[..., Any],
    canned: Any,
    status: int,
    code: str,
    message: str,
    step: str,
) -> None:
    keys = canned(body=b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")
    error = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>" if code else "no"
    server = canned_server([keys, keys, canned(status, error.encode())])
    archive = place.open(client=client_as(endpoint_url=server.url))
    with pytest.raises(ArchiveAccessError, match=rf"refused PutObject.*{step}"):
        place.store(b"a\n1\n", archive=archive)


@pytest.mark.parametrize("status", [200, 400, 403, 404, 405, 501, 503])
def test_whatever_is_answered_to_housekeeping_the_day_is_archived(
    place: Any, client_as: ClientMaker, status: int
) -> None:
    from botocore.awsrequest import AWSResponse

    class Raw:
        def stream(self, **_: Any) -> Any:
            yield b"<html>"

    def answer(**_: Any) -> AWSResponse:
        asked.append(status)
        return AWSResponse("http://s3", status, {}, Raw())

    asked: list[int] = []
    client = client_as()
    for operation in ("ListMultipartUploads", "AbortMultipartUpload"):
        client.meta.events.register(f"before-send.s3.{operation}", answer)
    manifest = place.store(b"a\n1\n", archive=place.open(client=client))
    assert asked
    assert place.archive.read_latest(SERIES, WINDOW) == manifest
    with place.begin(place.open(client=client, compression="none")) as snapshot:
        snapshot.write(bytes(9 << 20))
    place.archive.bucket.abort_upload(place.list_uploads()[0], "no such id")


def test_an_endpoint_that_closes_within_the_tls_handshake_may_be_back_soon(place: Any, client_as: ClientMaker) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    connection.recv(10_000)
                    connection.close()

        threading.Thread(target=hang_up, daemon=True).start()
        archive = place.open(client=client_as(endpoint_url=f"https://127.0.0.1:{listener.getsockname()[1]}"))
        with pytest.raises(ArchiveUnavailableError, match="did not answer"):
            place.begin(archive)
        listener.shutdown(socket.SHUT_RDWR)


def test_a_certificate_that_cannot_be_verified_is_a_setting(
    place: Any, client_as: ClientMaker, canned_server: Callable[..., Any], tmp_path: Path
) -> None:
    path = tmp_path / "server.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout - -out -"
    path.write_bytes(subprocess.run(command.split(), check=True, capture_output=True).stdout)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    url = canned_server(tls=context).url
    with pytest.raises(ArchiveAccessError, match=r"No trusted TLS connection.*verify"):
        place.begin(place.open(client=client_as(endpoint_url=url)))
    with pytest.raises(ArchiveAccessError, match=r"No trusted TLS connection.*verify"):
        place.begin(place.open(client=client_as(endpoint_url=url, verify=str(tmp_path / "missing.pem"))))
