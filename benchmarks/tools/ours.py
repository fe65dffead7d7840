"""The package: its operators' ``execute``, or with ``core`` the layers below, as in a script without Airflow."""

from __future__ import annotations

import sys
from contextlib import closing

import boto3
import numpy  # noqa: F401 - what counts a large CSV imports it when it comes

from airflow_usage_provider.archive.checksums import prefer_checksums
from airflow_usage_provider.archive.keys import ArchiveLocation, Series
from airflow_usage_provider.archive.snapshot import Archive
from airflow_usage_provider.http.connection import VendorConnection
from airflow_usage_provider.models import UsageWindow
from airflow_usage_provider.vendors.keywordsai.api import KeywordsAI, UsersQuery
from airflow_usage_provider.vendors.keywordsai.streams import KeywordsAIUsers
from airflow_usage_provider.vendors.langdock.api import ExportQuery, Langdock
from airflow_usage_provider.vendors.langdock.streams import LangdockExport
from benchmarks.tools.stopwatch import SETTINGS, measure, warm_up

IS_EXPORT = SETTINGS["work"] == "export"
OPTIONS = SETTINGS["options"]


def run_core() -> None:
    connection = VendorConnection(
        conn_id="bench",
        api_key=SETTINGS["api_key"],
        base_url=SETTINGS["source"],
        account="bench",
        ca_bundle=SETTINGS["ca"] or None,
        allow_insecure_download=True,
        allow_private_download=True,
    )
    window = UsageWindow.parse(SETTINGS["usage_date"], "UTC")
    options = dict(OPTIONS)
    compression = options.pop("compression", "gzip")
    client = boto3.client("s3")
    prefer_checksums(client)
    archive = Archive(client=client, location=ArchiveLocation.parse("s3://archive/bench"), compression=compression)
    with closing(Langdock(connection) if IS_EXPORT else KeywordsAI(connection)) as vendor:
        if isinstance(vendor, Langdock):
            stream = LangdockExport(vendor, ExportQuery(window=window, stream="users", **options))
        else:
            stream = KeywordsAIUsers(vendor, UsersQuery(window=window, **options))
        with archive.open_snapshot(Series("bench", "bench", stream.name), window, stream.file_format) as snapshot:
            chunks = stream.read()
            while True:
                try:
                    snapshot.write(next(chunks))
                except StopIteration as end:
                    snapshot.commit(end.value, maturity="final", request=stream.request, schema=stream.schema)
                    return


def run_operators() -> None:
    for number in range(SETTINGS["snapshots"]):
        name = f"{'langdock' if IS_EXPORT else 'keywordsai'}_conn_id"
        operator = Operator(
            task_id=f"archive_{number}",
            archive_url=f"s3://archive/bench/{number}",
            usage_date=SETTINGS["usage_date"],
            lookback_days=SETTINGS["lookback_days"],
            **{name: "bench"},
            **({"stream": "users"} if IS_EXPORT else {}),
            **OPTIONS,
        )
        operator.execute({})


if "core" in sys.argv:
    measure(run_core)
else:
    from airflow_usage_provider.hooks import keywordsai, langdock  # noqa: F401
    from airflow_usage_provider.operators.keywordsai import KeywordsAIUsersToS3Operator
    from airflow_usage_provider.operators.langdock import LangdockExportToS3Operator

    Operator = LangdockExportToS3Operator if IS_EXPORT else KeywordsAIUsersToS3Operator
    warm_up()
    measure(run_operators)
