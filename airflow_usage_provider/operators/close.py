"""The steps that close a month, as the DAG's tasks run them: an Airflow shell over ``tables.close``."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, AssetAlias

from airflow_usage_provider.archive.checksums import prefer_checksums
from airflow_usage_provider.archive.keys import ArchiveLocation
from airflow_usage_provider.archive.objects import S3Objects
from airflow_usage_provider.compat import AirflowFailException
from airflow_usage_provider.configuration import read_option, read_owners_url, read_principal_names, read_tables_url
from airflow_usage_provider.exceptions import ConfigurationError, FatalError, UnreconciledError
from airflow_usage_provider.operators.alerts import read_owners
from airflow_usage_provider.tables.charges import add_up, choose_pots, iter_charges, read_views
from airflow_usage_provider.tables.close import Sealed, check_month, seal_month, write_close
from airflow_usage_provider.tables.figures import Sums
from airflow_usage_provider.tables.focusfiles import write_focus
from airflow_usage_provider.tables.layout import Month
from airflow_usage_provider.tables.owners import Owners
from airflow_usage_provider.tables.shelf import S3Shelf

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ALIAS = "usage_month_close"


def plan_close(context: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return what a run closes: the month of its param, or the one before its date, as known now.

    :raises ConfigurationError: the configuration or the month cannot be.
    """
    now = datetime.now(UTC)
    params = context.get("params") or {}
    run = context.get("dag_run")
    at: datetime = getattr(run, "logical_date", None) or now
    before = Month.of(at.date().replace(day=1) - timedelta(days=1))
    month = Month.parse(params["month"]) if params.get("month") else before
    if month.first > now.date():
        raise ConfigurationError(f"{month} has not begun", next_step="Give a month that has.")
    return {
        "month": str(month),
        "as_of": now.isoformat(),
        "partial": bool(params.get("partial")),
        "tolerance": str(params.get("tolerance") or "0"),
        "skip": list(params.get("skip") or ()),
        "archive_url": read_option("archive_url"),
        "tables_url": read_tables_url(),
        "owners_url": read_owners_url(),
        "names": read_principal_names(),
        "aws_conn_id": read_option("aws_conn_id"),
    }


def verify_month(plan: Mapping[str, Any]) -> int:
    """Prove the month whole and its figures in agreement; nothing is written before that."""
    with _opened(plan) as (objects, month, as_of):
        lines = check_month(
            objects,
            month,
            as_of=as_of,
            tolerance=Decimal(plan["tolerance"]),
            partial=plan["partial"],
            skip=plan["skip"],
        )
    return len(lines)


def seal(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Verify the archive until the month's end, and write its seal."""
    with _opened(plan) as (objects, month, _):
        return asdict(seal_month(objects, month, now=datetime.now(UTC)))


def write_focus_files(plan: Mapping[str, Any]) -> dict[str, str]:
    """Write the month as FOCUS, and return its totals by currency."""
    totals = Sums()
    with _opened(plan) as (objects, month, as_of):
        shelf = S3Shelf(objects.client, ArchiveLocation.parse(plan["tables_url"]))
        for file in write_focus(objects, month, shelf, as_of=as_of, names=plan["names"]):
            for currency, total in file.totals.items():
                totals.add((currency,), total)
    return {currency: f"{total:f}" for (currency,), total in sorted(totals.items())}


def reconcile_focus(plan: Mapping[str, Any], written: Mapping[str, str]) -> dict[str, str]:
    """Hold what was written as FOCUS against the archive, to the last digit."""
    totals = Sums()
    with _opened(plan) as (objects, month, as_of):
        for pot in choose_pots(read_views(objects, month, as_of=as_of)):
            for currency, total in add_up(iter_charges(objects, pot.finest)).items():
                totals.add((currency,), total)
        found = {currency: total for (currency,), total in totals.items()}
        if found != {currency: Decimal(total) for currency, total in written.items()}:
            told = {currency: f"{total:f}" for currency, total in sorted(found.items())}
            raise UnreconciledError(f"FOCUS of {month} adds up to {dict(written)}, the archive to {told}")
    return dict(written)


def write_report(plan: Mapping[str, Any], sealed: Mapping[str, Any], context: Mapping[str, Any]) -> dict[str, Any]:
    """Write the close, and tell Airflow of it by one asset event."""
    with _opened(plan) as (objects, month, as_of):
        folder, close = write_close(
            objects,
            month,
            as_of=as_of,
            now=datetime.now(UTC),
            owners=read_owners(objects, plan["owners_url"]) if plan["owners_url"] else Owners(),
            sealed=Sealed(**sealed),
            tolerance=Decimal(plan["tolerance"]),
            skip=plan["skip"],
        )
        told = {"month": str(month), "totals": json.dumps(close["totals"]), "root": close["root"]}
        told |= {"report": objects.uri(f"{folder}/report.html"), "difference": json.dumps(close["difference"])}
    if (events := context.get("outlet_events")) is not None:
        asset = Asset(name=ALIAS, uri=f"{plan['archive_url'].rstrip('/')}/closes", group="usage")
        events[AssetAlias(ALIAS, group="usage")].add(asset, extra=told)
    return told


@contextmanager
def _opened(plan: Mapping[str, Any]) -> Iterator[tuple[S3Objects, Month, datetime]]:
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

    try:
        client = S3Hook(aws_conn_id=plan["aws_conn_id"]).get_conn()
        prefer_checksums(client)
        objects = S3Objects(client, ArchiveLocation.parse(plan["archive_url"]))
        yield objects, Month.parse(plan["month"]), datetime.fromisoformat(plan["as_of"])
    except FatalError as error:
        raise AirflowFailException(str(error)) from None
