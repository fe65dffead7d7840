"""Airflow in this process: its own home and database, connections in the environment, vendors and S3 as servers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import warnings
from contextlib import suppress
from pathlib import Path

import pytest

HOME = Path(tempfile.mkdtemp(prefix="usage-provider-airflow-"))
os.environ.update(
    {
        "AIRFLOW_HOME": str(HOME),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(
            [{"name": "usage", "classpath": "airflow_usage_provider.bundles.UsageDagBundle", "kwargs": {}}]
        ),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
    }
)
with warnings.catch_warnings(action="ignore"), suppress(ImportError):  # here once, of what is older than its packages
    import airflow.plugins_manager  # noqa: F401
    import fastapi.testclient  # noqa: F401


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in Path(item.path).parents:
            item.add_marker("airflow")
            item.add_marker(pytest.mark.filterwarnings("default"))  # Airflow's own modules warn of one another


@pytest.fixture(scope="session")
def airflow_database() -> None:
    """The metadata database, with the bundled DAGs serialized in it."""
    for command in (["db", "migrate"], ["dags", "reserialize"]):
        subprocess.run([sys.executable, "-m", "airflow", *command], check=True, capture_output=True)


@pytest.fixture
def set_connection(monkeypatch):
    """Make an Airflow connection for one test."""

    def _set(conn_id: str, **fields: object) -> None:
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fields))

    return _set


@pytest.fixture
def connect_vendors(set_connection, sandbox, s3_server):
    """Connect both vendors with this key, and S3."""

    def _connect(key: str = "sk-acme", **extra: object) -> None:
        extra = {"account": "acme", "requests_per_minute": 0, **extra}
        downloads = {"allow_insecure_download": True, "allow_private_download": True}
        set_connection("keywordsai_default", conn_type="keywordsai", host=sandbox.url, password=key, extra=extra)
        set_connection(
            "langdock_default", conn_type="langdock", host=sandbox.url, password=key, extra={**downloads, **extra}
        )
        set_connection(
            "aws_default",
            conn_type="aws",
            login=s3_server.access_key,
            password=s3_server.secret_key,
            extra={
                "endpoint_url": s3_server.endpoint_url,
                "region_name": "us-east-1",
                "config_kwargs": {"s3": {"addressing_style": "path"}, "retries": {"max_attempts": 1}},
            },
        )

    return _connect


@pytest.fixture
def archive_url(s3_server, request) -> str:
    """A prefix of its own for each test."""
    return f"s3://{s3_server.bucket}/{abs(hash(request.node.nodeid))}"


@pytest.fixture
def objects(s3_server, archive_url):
    """Keys and bodies below the test's prefix."""

    def _objects() -> dict[str, bytes]:
        client = s3_server.client()
        prefix = archive_url.removeprefix(f"s3://{s3_server.bucket}/")
        listing = client.list_objects_v2(Bucket=s3_server.bucket, Prefix=prefix).get("Contents", [])
        return {
            entry["Key"].removeprefix(prefix + "/"): client.get_object(Bucket=s3_server.bucket, Key=entry["Key"])[
                "Body"
            ].read()
            for entry in listing
        }

    return _objects
