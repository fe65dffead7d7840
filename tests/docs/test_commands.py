"""Every ``usage-archive`` of the docs is one that the command takes, and those of the how-tos are run in a shell.

The month they are about is the one before today's, so that nothing in the archive is of the future.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from blocks import ROOT

from airflow_usage_provider.archive.keys import ArchiveLocation, Series
from airflow_usage_provider.archive.snapshot import Archive
from airflow_usage_provider.cli.command import build_parser
from airflow_usage_provider.models import FileFormat, StreamFacts, UsageWindow
from airflow_usage_provider.testing.s3 import S3Server
from airflow_usage_provider.vendors.schemas import find_schema

BUCKET = "company-llm-usage"
LAST = datetime.now(UTC).date().replace(day=1) - timedelta(days=1)
YESTERDAY = datetime.now(UTC).date() - timedelta(days=1)
#: What stands in for the docs' days, the longest first.
DAYS = {
    "2026-10-31": str(LAST),
    "2026-10-01": str(LAST.replace(day=1)),
    "2026-11-05": str(datetime.now(UTC).date()),
    "2026-10": f"{LAST:%Y-%m}",
}
PAGES = ["tutorial", "how-to/close-a-month"]  # what the others need is made by these
PAGES += sorted({f"how-to/{page.stem}" for page in (ROOT / "docs/how-to").glob("*.md")} - set(PAGES))
#: Blocks that end otherwise than with 0, by a text of theirs.
STATUS = {"--since-seal --fail-on-gaps": int(YESTERDAY > LAST)}
ROWS = {
    "api_keys": b"api_key_id,requests,total_cost_usd\na,3,0.30\nb,1,0.05\n",
    "api_keys_by_model": b"api_key_id,requests,total_cost_usd,model\na,1,0.10,m\na,2,0.20,n\nb,1,0.05,m\n",
}


def read_blocks(page: Path, language: str = "bash") -> list[str]:
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```$", page.read_text(), re.DOTALL | re.MULTILINE)
    return [dedent(code) for _, code in found]


def find_commands() -> Iterator[tuple[str, str]]:
    for page in sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]):
        for code in (*read_blocks(page), *read_blocks(page, "")):
            for line in code.replace("\\\n", " ").splitlines():
                if line.lstrip().startswith("usage-archive ") and "[" not in line and "…" not in line:
                    yield page.relative_to(ROOT).as_posix(), line


@pytest.mark.parametrize(("page", "line"), list(find_commands()))
def test_every_command_is_one_that_can_be_given(page: str, line: str) -> None:
    words = shlex.split(re.split(r" {3,}", line.strip())[0], comments=True)[1:]
    assert build_parser().parse_args(words).run


@pytest.fixture
def shell(s3_server: S3Server, tmp_path: Path) -> Iterator[Any]:
    """Run a block in a folder of its own, over the archive of a whole month; return its status and what it printed."""
    if not (Path(sys.executable).parent / "usage-archive").exists():
        pytest.skip("the package is not installed")
    (tmp_path / "owners.csv").write_text("vendor,account,principal,owner\nlangdock,acme,,Platform\n")
    client = s3_server.client()
    client.create_bucket(Bucket=BUCKET)
    archive = Archive(client=client, location=ArchiveLocation(BUCKET, "archive"))
    for number in range(1, LAST.day + 1):
        for stream, body in ROWS.items():
            store(archive, stream, LAST.replace(day=number), body)
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "AWS_ACCESS_KEY_ID": s3_server.access_key,
        "AWS_SECRET_ACCESS_KEY": s3_server.secret_key,
        "AWS_ENDPOINT_URL": s3_server.endpoint_url,
        "AWS_DEFAULT_REGION": "us-east-1",
    }

    def _shell(code: str) -> subprocess.CompletedProcess[str]:
        if "./synced" in code or "cd synced" in code:
            sync(client, tmp_path / "synced")
        if (seal := tmp_path / "october.sha256.gz").exists():
            listed = subprocess.run(["gunzip", "-c", seal], check=True, capture_output=True).stdout
            environment["ROOT"] = hashlib.sha256(listed).hexdigest()
        for ours, real in DAYS.items():
            code = code.replace(ours, real)
        command = ["bash", "-eu", "-o", "pipefail", "-c", code]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    yield _shell
    client.close()


def store(archive: Archive, stream: str, day: date, body: bytes) -> None:
    with archive.open_snapshot(Series("langdock", "acme", stream), UsageWindow(day), FileFormat.CSV) as snapshot:
        snapshot.write(body)
        columns = tuple(body.partition(b"\n")[0].decode().split(","))
        facts = StreamFacts(rows=body.count(b"\n") - 1, columns=columns)
        request = {"method": "POST", "path": f"/export/{stream}"}
        snapshot.commit(facts, maturity="final", request=request, schema=find_schema("langdock", stream))


def sync(client: Any, folder: Path) -> None:
    """What ``aws s3 sync`` does."""
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="archive/"):
        for entry in page["Contents"]:
            path = folder / entry["Key"].removeprefix("archive/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(client.get_object(Bucket=BUCKET, Key=entry["Key"])["Body"].read())


@pytest.mark.slow
def test_the_commands_of_the_how_tos_do_what_they_say(shell: Any) -> None:
    for page in PAGES:
        for code in read_blocks(ROOT / "docs" / f"{page}.md"):
            if "usage-archive " not in code:  # of Airflow and make: other tests have those
                continue
            done = shell(code.replace("2026-11 ", "2026-10 ").replace("2026-11\n", "2026-10\n"))  # the tutorial's
            wanted = next((status for text, status in STATUS.items() if text in code), 0)
            assert done.returncode == wanted, f"{page}\n{code}\n{done.stdout}\n{done.stderr}"
