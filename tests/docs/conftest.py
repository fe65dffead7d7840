"""One example archive, in a bucket and in a folder synced from it, and a DuckDB connection to either."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pytest
from example import Example, build_example, build_tables

from airflow_usage_provider.archive.checksums import prefer_checksums
from airflow_usage_provider.testing.s3 import S3Server


@pytest.fixture(scope="session")
def example(s3_server: S3Server) -> Iterator[Example]:
    client = s3_server.client()
    prefer_checksums(client)
    example = build_example(client, s3_server.bucket)
    build_tables(example)
    yield example
    client.close()


@pytest.fixture(scope="session")
def synced_folder(example: Example, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``aws s3 sync`` makes of the archive and its tables."""
    folder = tmp_path_factory.mktemp("synced")
    for name, body in example.download().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(body)
    return folder


@pytest.fixture(params=["bucket", "folder"])
def place(request: pytest.FixtureRequest) -> str:
    """Where the archive is read from, with a slash at its end."""
    if request.param == "folder":
        return f"{request.getfixturevalue('synced_folder')}/"
    example: Example = request.getfixturevalue("example")
    return f"{example.location.uri(example.location.prefix)}/"


@pytest.fixture
def connection(place: str, s3_server: S3Server) -> Iterator[Any]:
    """A connection of DuckDB that reads the place, in a zone that is not the archive's."""
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect(config={"autoinstall_known_extensions": "false"}) as connection:
        connection.execute("SET TimeZone = 'America/New_York'")
        if place.startswith("s3://"):
            connection.execute(f"LOAD '{_find_httpfs()}'")
            host = s3_server.endpoint_url.removeprefix("http://")
            connection.execute(
                f"CREATE SECRET (TYPE s3, KEY_ID '{s3_server.access_key}', SECRET '{s3_server.secret_key}', "
                f"ENDPOINT '{host}', URL_STYLE 'path', USE_SSL false)"
            )
        yield connection


def _find_httpfs() -> Path:
    try:
        package = distribution("duckdb-ext-httpfs")
    except PackageNotFoundError:
        pytest.skip("DuckDB's httpfs is not packaged for this platform")
    (file,) = [file for file in package.files or () if file.name == "httpfs.duckdb_extension"]
    return Path(str(package.locate_file(file)))
