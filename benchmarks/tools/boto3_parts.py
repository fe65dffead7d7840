"""boto3 as far as it goes: four threads that send parts from buffers of 8 MiB, which the socket is read into."""

from __future__ import annotations

import http.client
import ssl
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Queue
from urllib.parse import urlsplit

import boto3
import botocore.config

from benchmarks.tools.stopwatch import SETTINGS, measure

PART = 8 * 1024 * 1024
THREADS = 4
TARGET = {"Bucket": "archive", "Key": "bench/export.csv"}


def open_file() -> http.client.HTTPResponse:
    url = urlsplit(SETTINGS["file"])
    connection = http.client.HTTPConnection(url.netloc)
    if url.scheme == "https":
        connection = http.client.HTTPSConnection(url.netloc, context=ssl.create_default_context(cafile=SETTINGS["ca"]))
    connection.request("GET", f"{url.path}?{url.query}", headers={"Accept-Encoding": "identity"})
    return connection.getresponse()


def work() -> None:
    settings = botocore.config.Config(
        request_checksum_calculation="when_required", s3={"payload_signing_enabled": False}
    )
    client = boto3.client("s3", config=settings)
    upload = client.create_multipart_upload(**TARGET)["UploadId"]
    free: Queue[bytearray] = Queue()
    for _ in range(THREADS + 1):
        free.put(bytearray(PART))

    def send(number: int, buffer: bytearray, size: int) -> dict[str, object]:
        body = buffer if size == PART else bytes(buffer[:size])
        answer = client.upload_part(**TARGET, UploadId=upload, PartNumber=number, Body=body)
        free.put(buffer)
        return {"PartNumber": number, "ETag": answer["ETag"]}

    sent: list[Future[dict[str, object]]] = []
    answer = open_file()
    with ThreadPoolExecutor(THREADS) as executor:
        while True:
            buffer = free.get()
            size = answer.readinto(buffer)
            while 0 < size < PART and (more := answer.readinto(memoryview(buffer)[size:])):
                size += more
            if not size:
                break
            sent.append(executor.submit(send, len(sent) + 1, buffer, size))
    client.complete_multipart_upload(
        **TARGET, UploadId=upload, MultipartUpload={"Parts": [part.result() for part in sent]}
    )


measure(work)
