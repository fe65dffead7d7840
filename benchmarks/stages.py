"""What a contender finds when it starts: servers, a folder, an environment; and the check of what it left."""

from __future__ import annotations

import json
import os
import re
import ssl
import tempfile
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.data import Expected, ExportData, UserData
from benchmarks.measure import FailedRunError, Sample, Server, run
from benchmarks.works import BIN, MB, Tool, Work

if TYPE_CHECKING:
    from collections.abc import Iterator

_TRUST = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")
_BUCKET = "archive"


@dataclass(frozen=True, slots=True)
class Amounts:
    """
    How much there is to do.

    :param export: bytes.
    :param users: of one listing.
    :param folder: bytes of all parts to verify.
    :param parts: so many they are.
    :param month: bytes of the parts of one month, of which tables are made.
    :param days: usage dates that one run archives.
    :param snapshots: accounts or streams that one run archives, one after the other.
    """

    export: int = 1000 * MB
    users: int = 100_000
    folder: int = 2000 * MB
    parts: int = 200
    month: int = 300 * MB
    days: int = 1
    snapshots: int = 1


class Stage:
    """What all have: an environment of their own, without the trust and proxies of this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def perform(self, tool: Tool) -> Sample:
        """
        Let a contender do the work once.

        :raises FailedRunError: it has not.
        """
        return run(tool.arguments(), self.environment(tool))

    def environment(self, tool: Tool) -> dict[str, str]:  # noqa: ARG002
        """Return the environment of a contender."""
        kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        return {
            **{name: value for name, value in kept.items() if name not in _TRUST},
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "AIRFLOW_HOME": str(self.folder),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        }


class VendorStage(Stage):
    """Source and sink."""

    def __init__(self, folder: Path, work: Work, amounts: Amounts, source: Server, sink: Server) -> None:
        super().__init__(folder)
        self._is_export = work.kind == "export"
        self._amounts = amounts
        self._amount = amounts.export if self._is_export else amounts.users
        scheme = "https" if work.is_tls else "http"
        self._source = f"{scheme}://127.0.0.1:{source.port}"
        self._sink = f"{scheme}://127.0.0.1:{sink.port}"
        self._ca = str(folder / "ca.pem") if work.is_tls else ""

    def perform(self, tool: Tool) -> Sample:
        """
        Let a contender do the work once, and see that it has.

        :raises FailedRunError: it has not.
        """
        self.fetch("-/reset")
        sample = run(tool.arguments(), self.environment(tool))
        self._check(json.loads(self.fetch(f"-/check?work={'export' if self._is_export else 'users'}")))
        return sample

    def environment(self, tool: Tool) -> dict[str, str]:
        """Return the environment: connections of Airflow, settings of AWS and of rclone."""
        key = f"{'size' if self._is_export else 'users'}-{self._amount}"
        file = f"{self._source}/file/{self._amount}?signature=bench"
        settings = {
            "work": "export" if self._is_export else "users",
            "source": self._source,
            "file": file,
            "api_key": key,
            "ca": self._ca,
            "options": tool.options,
            "lookback_days": self._amounts.days - 1,
            "snapshots": self._amounts.snapshots,
            "usage_date": (datetime.now(UTC).date() - timedelta(days=2)).isoformat(),  # vendors keep a year
        }
        switches = dict.fromkeys(("allow_insecure_download", "allow_private_download"), True)
        extra = {**switches, "requests_per_minute": 0, "ca_bundle": self._ca}
        aws = {"region_name": "us-east-1", "endpoint_url": self._sink, "verify": self._ca or None}
        connections = {
            "bench": {"conn_type": "generic", "host": self._source, "password": key, "extra": extra},
            "http_default": {"conn_type": "http", "host": self._source},
            "aws_default": {"conn_type": "aws", "login": "bench", "password": "bench", "extra": aws},
        }
        return {
            **super().environment(tool),
            **{f"AIRFLOW_CONN_{name.upper()}": json.dumps(fields) for name, fields in connections.items()},
            **(dict.fromkeys(_TRUST[:-1], self._ca) if self._ca else {}),
            "BENCHMARK": json.dumps(settings),
            "FILE_URL": file,
            "AWS_ACCESS_KEY_ID": "bench",
            "AWS_SECRET_ACCESS_KEY": "bench",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self._sink,
            "RCLONE_S3_PROVIDER": "Other",
            "RCLONE_S3_ENV_AUTH": "true",
            "RCLONE_S3_ENDPOINT": self._sink,
        }

    def fetch(self, path: str) -> bytes:
        """Get something from the sink."""
        context = ssl.create_default_context(cafile=self._ca) if self._ca else None
        with urllib.request.urlopen(f"{self._sink}/{path}", context=context) as answer:
            return bytes(answer.read())

    def _check(self, stored: dict[str, Any]) -> None:
        copies = self._amounts.days * self._amounts.snapshots
        expected = expect(self._is_export, self._amount, copies)
        found = {name: stored[name] for name in ("rows", "bytes", "sha256") if name in stored}
        if found != {name: getattr(expected, name) for name in found} or stored["open_uploads"]:
            raise FailedRunError(f"stored {stored}, expected {expected}")


class FolderStage(Stage):
    """An archive in a folder: one snapshot of the package's own, laid down for one usage date after the other."""

    def __init__(self, folder: Path, amounts: Amounts) -> None:
        super().__init__(folder)
        from airflow_usage_provider.archive.manifest import Manifest

        size = amounts.folder // amounts.parts
        with open_vendor_stage(_SEED, Amounts(export=size)) as stage:
            stage.perform(_SEED.tools[0])
            keys = re.findall(r"<Key>(.*?)</Key>", stage.fetch(f"{_BUCKET}?list-type=2").decode())
            bodies = {key: stage.fetch(f"{_BUCKET}/{key}") for key in keys}
        (manifest_key,) = (key for key in keys if key.endswith("_manifest.json"))
        manifest = Manifest.from_json(bodies.pop(manifest_key), key=manifest_key)
        ((part_key, part),) = bodies.items()
        for number in range(amounts.parts):
            day = (date.fromisoformat(manifest.usage_date) - timedelta(days=number)).isoformat()
            key = part_key.replace(manifest.usage_date, day)
            dated = replace(manifest, usage_date=day, files=(replace(manifest.files[0], key=key),))
            path = folder / key[key.index("raw/") :]
            path.parent.mkdir(parents=True)
            path.write_bytes(part)
            path.with_name("_manifest.json").write_bytes(dated.to_json())

    def environment(self, tool: Tool) -> dict[str, str]:
        """Return the environment with the folder's name."""
        folder = str(self.folder)
        return {**super().environment(tool), "FOLDER": folder, "BENCHMARK": json.dumps({"folder": folder})}


class MonthStage(FolderStage):
    """The same in one month, of which Parquet is made; what was made is counted and added up."""

    def __init__(self, folder: Path, amounts: Amounts) -> None:
        super().__init__(folder, replace(amounts, folder=amounts.month, parts=_DAYS))
        self._expected: tuple[Any, ...] | None = None

    def perform(self, tool: Tool) -> Sample:
        """
        Let a contender build, and see that it has the rows and the money that the first one had.

        :raises FailedRunError: it has not.
        """
        import pyarrow.compute as pc
        import pyarrow.dataset as ds

        sample = super().perform(tool)
        made = ds.dataset(self.folder / "tables" / "current").to_table(columns=["user_id", "payg_cost_usd"])
        totals = (made.num_rows, pc.count_distinct(made["user_id"]).as_py(), pc.sum(made["payg_cost_usd"]).as_py())
        self._expected = self._expected or totals
        if totals != self._expected:
            raise FailedRunError(f"made {totals}, expected {self._expected}")
        return sample


_DAYS = DAY.day  # of a month up to the benchmarks' day
_SEED = Work("seed", "", "export", (Tool("seed", "ours core", options={"compression": "none"}),))


@cache
def expect(is_export: bool, amount: int, copies: int = 1) -> Expected:  # noqa: FBT001
    """Return what must be stored."""
    return (ExportData() if is_export else UserData()).expect(amount, copies)


@contextmanager
def open_stage(work: Work, amounts: Amounts) -> Iterator[Stage]:
    """Prepare what a work needs, and remove it."""
    if work.kind in {"export", "users"}:
        with open_vendor_stage(work, amounts) as stage:
            yield stage
        return
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        folders = {"verify": FolderStage, "tables": MonthStage}
        kind = folders.get(work.kind)
        yield kind(Path(folder), amounts) if kind else Stage(Path(folder))


@contextmanager
def open_vendor_stage(work: Work, amounts: Amounts) -> Iterator[VendorStage]:
    """Start source and sink."""
    bodies = amounts.export if work.kind == "export" else amounts.users * 1000
    memory = int(bodies * amounts.days * amounts.snapshots * 1.1) + 64 * MB
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        tls: tuple[str, ...] = ()
        if work.is_tls:
            from benchmarks.certificates import write_certificates

            tls = ("--tls", write_certificates(Path(folder)))
        source_arguments = (*work.limits.get("source", ()), *tls)
        sink_arguments = ("--memory", memory, *work.limits.get("sink", ()), *tls)
        with Server("source", *source_arguments) as source, Server("sink", *sink_arguments) as sink:
            yield VendorStage(Path(folder), work, amounts, source, sink)
