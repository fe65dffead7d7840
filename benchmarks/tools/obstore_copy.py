"""obstore: the download as a stream of chunks into a multipart upload, all in Rust."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

import obstore
from obstore.store import HTTPStore, S3Store

from benchmarks.tools.stopwatch import SETTINGS, measure

PART = 8 * 1024 * 1024


async def copy(source: HTTPStore, store: S3Store) -> None:
    answer = await obstore.get_async(source, urlsplit(SETTINGS["file"]).path.lstrip("/"))
    chunks = answer.stream(min_chunk_size=PART)
    await obstore.put_async(store, "bench/export.csv", chunks, chunk_size=PART, max_concurrency=4)


def work() -> None:
    options = {"allow_http": True, "timeout": "600s"}
    if SETTINGS["ca"]:
        options["root_certificate"] = Path(SETTINGS["ca"]).read_bytes()
    source = HTTPStore.from_url(SETTINGS["source"], client_options=options)
    store = S3Store("archive", endpoint=os.environ["AWS_ENDPOINT_URL"], client_options=options)
    asyncio.run(copy(source, store))


measure(work)
sys.stdout.flush()
os._exit(0)  # its threads sometimes abort an interpreter that ends, after all work is done
