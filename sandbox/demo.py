"""The demo: real Airflow, a real S3 server, both vendors in the sandbox; three days archived, and closed as a month.

``python -m sandbox.demo`` shows what is in the archive afterwards and ends; with ``--ui`` weeks were archived before,
and Airflow stays up for a look at its pages.
Nothing of it survives: signals, failures and the normal end all stop every process it started.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import shutil
import signal
import sys
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from airflow_usage_provider.testing.s3 import S3Server
from sandbox.airflow_standalone import AirflowStandalone
from sandbox.archive import ArchiveReader
from sandbox.runs import DemoError, archive_days, await_dags, close_month, say
from sandbox.server import Sandbox
from sandbox.tables import build_tables, show_tables

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import date

STREAMS = "api_keys,api_keys:model,models"
DAYS = 3
OWNERS = """vendor,principal,owner,cost_center
langdock,,Platform,4711
keywordsai,team/berlin/*,Berlin,4712
keywordsai,*@example.com,Sales,4713
"""
BUNDLES = [
    {"name": "dags-folder", "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle", "kwargs": {}},
    {"name": "usage", "classpath": "airflow_usage_provider.bundles.UsageDagBundle", "kwargs": {}},
]


def describe_environment(vendors: Sandbox, s3: S3Server) -> dict[str, str]:
    """What a deployment has to set: the bundle, the archive, and three connections."""
    keywordsai = {
        "conn_type": "keywordsai",
        "host": vendors.url,
        "password": "sk-acme;revise_after=1",  # what was pulled once is revised, as vendors do
        "extra": {"account": "acme"},
    }
    langdock = {
        "conn_type": "langdock",
        "host": vendors.url,
        "password": "sk-acme;byok=1",
        "extra": {"account": "acme", "allow_insecure_download": True, "allow_private_download": True},
    }
    aws = {
        "conn_type": "aws",
        "login": s3.access_key,
        "password": s3.secret_key,
        "extra": {
            "endpoint_url": s3.endpoint_url,
            "region_name": "us-east-1",
            "config_kwargs": {"s3": {"addressing_style": "path"}},
        },
    }
    return {
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(BUNDLES),
        "AIRFLOW__USAGE_PROVIDER__ARCHIVE_URL": f"s3://{s3.bucket}/llm-usage",
        "AIRFLOW__USAGE_PROVIDER__LANGDOCK_STREAMS": STREAMS,
        "AIRFLOW__USAGE_PROVIDER__LOOKBACK_DAYS": "1",
        "AIRFLOW__USAGE_PROVIDER__SETTLE_HOURS": "0",
        "AIRFLOW_CONN_KEYWORDSAI_DEFAULT": json.dumps(keywordsai),
        "AIRFLOW_CONN_LANGDOCK_DEFAULT": json.dumps(langdock),
        "AIRFLOW_CONN_AWS_DEFAULT": json.dumps(aws),
    }


def show_archive(reader: ArchiveReader) -> None:
    """Print the archive: its tree, one manifest, and the totals of each day."""
    print("\nThe archive: stream, day, snapshot, files with their size in bytes\n")
    show_tree(reader.list_sizes())
    current = {key: reader.read_manifest(key) for key in reader.find_current_manifests()}
    key = max(current, key=lambda each: current[each]["revision"])
    print(f"\nOne manifest, of revision {current[key]['revision']}\n\n{key}")
    print(json.dumps(current[key], indent=2, ensure_ascii=False))
    print("\nTotals, from the parts that each day's newest manifest names\n")
    print(
        f"{'day':<10}  {'vendor':<10}  {'stream':<17} {'revision':>8} {'rows':>6} {'requests':>10} {'cost (USD)':>16}"
    )
    for totals in map(reader.add_up, current.values()):
        print(
            f"{totals.day:<10}  {totals.vendor:<10}  {totals.stream:<17} {totals.revision:>8} {totals.rows:>6}"
            f" {totals.requests:>10} {totals.cost:>16.8f}"
        )
    print("\nStreams of one vendor show the same usage from several sides; their costs are not to be added up.")


def show_tree(sizes: dict[str, int]) -> None:
    """Print each stream with its days below, each day's snapshots with the size of their files in bytes."""
    snapshots: dict[str, dict[str, list[str]]] = {}
    for key, size in sorted(sizes.items()):
        stream, mark, rest = key.partition("/usage_date=")
        folder, _, name = rest.rpartition("/")
        snapshots.setdefault(stream, {}).setdefault(mark[1:] + folder, []).append(f"{name} {size}")
    for stream, folders in snapshots.items():
        print(f"{stream}/")
        for folder, files in folders.items():
            print(f"  {folder}/  {', '.join(files)}")


def stop_on_signals() -> None:
    """Make each signal that ends a program raise, once, so that what was started is stopped in order."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def stop(number: int, _frame: object) -> NoReturn:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise SystemExit(128 + number)

    for each in numbers:
        signal.signal(each, stop)


@contextmanager
def claim(home: Path) -> Iterator[None]:
    """Empty the demo's directory for this process alone.

    :raises DemoError: another demo has it.
    """
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoError(f"Another demo is running in {home}.") from None
        for name in ("airflow", "s3"):
            shutil.rmtree(home / name, ignore_errors=True)
        yield


def make_past(vendors: Sandbox, s3: S3Server, until: date) -> dict[str, str]:
    """Archive the days from the first of the month before, and return the settings of what else the pages show."""
    from airflow_usage_provider.testing.past import archive_past

    first = (until.replace(day=1) - timedelta(days=1)).replace(day=1)
    days = [first + timedelta(days=number) for number in range((until - first).days)]
    environment = describe_environment(vendors, s3)
    keys = {
        vendor: json.loads(environment[f"AIRFLOW_CONN_{vendor.upper()}_DEFAULT"])["password"]
        for vendor in ("keywordsai", "langdock")
    }
    client = s3.client()
    client.put_object(Bucket=s3.bucket, Key="owners.csv", Body=OWNERS.encode())
    count = archive_past(vendors.url, keys, client, environment["AIRFLOW__USAGE_PROVIDER__ARCHIVE_URL"], days)
    client.close()
    say(f"archived {len(days)} days before: {count} snapshots")
    return {
        "AIRFLOW__USAGE_PROVIDER__OWNERS_URL": f"s3://{s3.bucket}/owners.csv",
        "AIRFLOW__USAGE_PROVIDER__BUDGETS": "USD:150",
    }


def months_to_close(days: Sequence[date]) -> list[str]:
    """Return the months of the days, and the one before them, the latest first."""
    before = days[0].replace(day=1) - timedelta(days=1)
    return sorted({f"{day:%Y-%m}" for day in (before, *days)}, reverse=True)


def is_closed(s3: S3Server, month: str) -> bool:
    """Whether a month has a close."""
    closes = s3.client().list_objects_v2(Bucket=s3.bucket, Prefix=f"llm-usage/closes/{month}/")
    return any(entry["Key"].endswith("/close.json") for entry in closes.get("Contents", ()))


def run_demo(home: Path, *, ui: bool) -> None:
    """Start everything, archive, show, stop."""
    today = datetime.now(UTC).date()
    days = [today - timedelta(days=ago) for ago in range(DAYS, 0, -1)]
    with claim(home), Sandbox() as vendors, S3Server(data=home / "s3") as s3:
        say(f"vendors at {vendors.url}, downloads at {vendors.download_url}")
        say(f"S3 server: {s3.kind} at {s3.endpoint_url}, bucket {s3.bucket}")
        environment = describe_environment(vendors, s3) | (make_past(vendors, s3, days[0]) if ui else {})
        say("starting Airflow, about 15 seconds")
        with AirflowStandalone(home / "airflow", env=environment) as airflow:
            say(f"Airflow is healthy at {airflow.url}")
            await_dags(airflow)
            say(f"archiving {days[0]} to {days[-1]} by a backfill")
            archive_days(airflow, days)
            say("all runs succeeded")
            if not ui:
                show_archive(ArchiveReader(s3.client(), s3.bucket))
                show_tables(s3, "llm-usage")
            for month in months_to_close(days) if ui else [f"{days[-1]:%Y-%m}"]:
                if not is_closed(s3, month):  # switched on, the DAG closes the month before by itself
                    say(f"closing {month}, as much of it as there is")
                    closed = close_month(airflow, month)
                    say(f"closed: {', '.join(f'{name} {value}' for name, value in closed.items())}")
            if ui:
                say(build_tables(s3, f"s3://{s3.bucket}/llm-usage").splitlines()[-1])
                print(f"\nAirflow: {airflow.url}  user {airflow.username}  password {airflow.password}")
                print(f"What was spent, and what is archived: {airflow.url}/plugin/llm-usage")
                print(f"S3: {s3.endpoint_url}  access key {s3.access_key}  secret key {s3.secret_key}")
                print("Ctrl-C stops everything.", flush=True)
                signal.pause()


def main(arguments: list[str] | None = None) -> int:
    """Run the demo; 0 when everything was archived."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.demo", description=__doc__)
    parser.add_argument(
        "--ui", action="store_true", help="with weeks of a past, and leave Airflow running until Ctrl-C"
    )
    parser.add_argument("--home", type=Path, default=Path(".demo"), help="where it writes (default %(default)s)")
    options = parser.parse_args(arguments)
    stop_on_signals()
    try:
        run_demo(options.home.absolute(), ui=options.ui)
    except (DemoError, RuntimeError) as error:
        print(f"\nThe demo failed: {error}", file=sys.stderr)
        return 1
    finally:
        say("everything stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
