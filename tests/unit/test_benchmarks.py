from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from benchmarks.data import ExportData, UserData
from benchmarks.measure import FailedRunError, Server, await_idle, run
from benchmarks.works import MB

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def source():
    with Server("source") as server:
        yield f"http://127.0.0.1:{server.port}"


@pytest.fixture(scope="module")
def sink():
    with Server("sink", "--memory", 64 * MB) as server:
        yield f"http://127.0.0.1:{server.port}"


@pytest.fixture
def client(sink):
    urllib.request.urlopen(f"{sink}/-/reset").close()
    settings = Config(proxies={}, s3={"addressing_style": "path"})
    return boto3.client(
        "s3", endpoint_url=sink, region_name="x", aws_access_key_id="x", aws_secret_access_key="x", config=settings
    )


def read(url, **headers):
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
        return answer.read()


def test_the_source_sends_the_export_that_the_runner_expects(source):
    body = read(f"{source}/file/20000000")
    expected = ExportData().expect(20_000_000)
    assert (len(body), hashlib.sha256(body).hexdigest()) == (expected.bytes, expected.sha256)
    assert len(list(csv.reader(io.StringIO(body.decode(), newline="")))) - 1 == expected.rows
    envelope = json.loads(read(f"{source}/export/users", Authorization="Bearer size-20000000"))
    assert envelope["data"]["recordCount"] == expected.rows
    assert read(f"{source}/file/20000000", Range="bytes=17000000-17000009") == body[17_000_000:17_000_010]


def test_the_source_lists_as_many_users_as_the_key_says(source):
    pages = [
        json.loads(read(f"{source}/api/users/?page={number}&page_size=1000", Authorization="Bearer users-2500"))
        for number in (1, 2, 3)
    ]
    names = [user["customer_identifier"] for page in pages for user in page["results"]]
    assert [len(page["results"]) for page in pages] == [1000, 1000, 500]
    assert [page["next"] is None for page in pages] == [False, False, True]
    assert len(set(names)) == UserData().expect(2500).rows == 2500


def test_the_sink_keeps_and_hashes_what_boto3_sends_it(client, sink):
    client.upload_fileobj(io.BytesIO(b"a" * 20 * MB), "archive", "large.csv")
    client.put_object(Bucket="archive", Key="small.json", Body=b"{}", IfNoneMatch="*")
    listed = client.list_objects_v2(Bucket="archive")["Contents"]
    assert {entry["Key"]: entry["Size"] for entry in listed} == {"large.csv": 20 * MB, "small.json": 2}
    assert client.get_object(Bucket="archive", Key="small.json")["Body"].read() == b"{}"
    digest = json.loads(read(f"{sink}/-/check?work=export"))
    assert digest["sha256"] == hashlib.sha256(b"a" * 20 * MB).hexdigest()
    with pytest.raises(ClientError, match="PreconditionFailed"):
        client.put_object(Bucket="archive", Key="small.json", Body=b"[]", IfNoneMatch="*")


def test_a_run_tells_time_and_memory_of_the_whole_process_tree():
    child = "b = bytearray(60_000_000); import time; time.sleep(0.3)"
    script = f"import subprocess, sys; b = bytearray(60_000_000); subprocess.run([sys.executable, '-c', '{child}'])"
    sample = run([sys.executable, "-c", script], {})
    assert sample.wall >= 0.3
    assert sample.peak > 115
    with pytest.raises(FailedRunError, match="no such thing"):
        run([sys.executable, "-c", "raise SystemExit('no such thing')"], {})


@pytest.mark.slow
def test_a_busy_machine_is_told_from_an_idle_one():
    spin = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]
    try:
        assert not await_idle(seconds=2.0, looks=1)
    finally:
        for process in spin:
            process.kill()
            process.wait()
    assert await_idle(seconds=60.0, busy=1.0, looks=1)


def test_rows_that_are_not_full_are_not_saved():
    command = [sys.executable, "-m", "benchmarks", "--save", "--runs", "1"]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "--save takes full rows only" in done.stderr


@pytest.mark.slow
@pytest.mark.airflow
@pytest.mark.timeout(900)  # about twenty processes that import Airflow
def test_every_work_runs_with_what_is_installed_and_stores_what_it_should(tmp_path):
    results = tmp_path / "results.json"
    command = [sys.executable, "-m", "benchmarks", "--smoke", "--json", str(results)]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=850)
    assert done.returncode == 0, done.stderr
    found = json.loads(results.read_text())
    assert {"export", "export-gzip", "users", "parse", "verify"} <= set(found["works"])
    assert all(facts["wall"][0] > 0 for work in found["works"].values() for facts in work["tools"].values())
    assert len(found["growth"]) == 2
