"""A podman with everything in one directory, that serves Docker's API and has images of its own making.

For machines with neither a Docker engine nor a way to an image registry. It needs root, and Debian's packages
``podman runc netavark aardvark-dns iptables mmdebstrap``. What it leaves behind is nothing.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CGROUPS = Path("/sys/fs/cgroup")
PACKAGES = "ca-certificates,curl,dumb-init,postgresql,python3-venv,redis-server,wget"
STAND_INS = {
    "postgres": "docker.io/library/postgres:17.10",
    "valkey": "docker.io/valkey/valkey:8.1.10",
    "seaweedfs": "docker.io/chrislusf/seaweedfs:4.48",
    "airflow": "docker.io/apache/airflow:3.3.2",
}
OURS = {
    "airflow": "docker.io/library/airflow-usage-provider:local",
    "sandbox": "docker.io/library/airflow-usage-sandbox:local",
}
CONTAINERS_CONF = """\
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=8192:8192"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
tmp_dir = "{home}/tmp"
[network]
network_backend = "netavark"
network_config_dir = "{home}/networks"
"""
STORAGE_CONF = """\
[storage]
driver = "overlay"
graphroot = "{home}/storage"
runroot = "{home}/run"
"""


def read_rules() -> list[str]:
    """The machine's packet filter."""
    return subprocess.run(["iptables-save"], check=True, capture_output=True, text=True).stdout.splitlines()


class Podman:
    """The engine, as a context manager; ``environment`` leads Docker's clients to it.

    :param base: tar of the Debian that the stand-ins are made from; made with mmdebstrap when None.
    """

    def __init__(self, base: Path | None = None) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="compose-test-"))
        self._base = base
        self._had_rules = any("NETAVARK" in line for line in read_rules())
        self._stopping = threading.Event()
        self._health = threading.Thread(target=self._check_health, daemon=True)
        self._service: subprocess.Popen[bytes] | None = None
        self.environment = os.environ | {
            "CONTAINERS_CONF": self._write("containers.conf", CONTAINERS_CONF),
            "CONTAINERS_STORAGE_CONF": self._write("storage.conf", STORAGE_CONF),
            "CONTAINERS_REGISTRIES_CONF": self._write(
                "registries.conf", 'unqualified-search-registries = ["docker.io"]\n'
            ),
            "DISABLE_HC_SYSTEMD": "true",
            "DOCKER_HOST": f"unix://{self.home}/podman.sock",
        }

    def __enter__(self) -> Self:
        try:
            self._build()
            self._serve()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stopping.set()
        if self._health.is_alive():
            self._health.join(30)
        if self._service is not None:
            self._service.terminate()
            self._service.wait()
        with suppress(subprocess.CalledProcessError):
            self.run("rm", "--all", "--force", "--volumes", "--time=0")
            self.run("network", "prune", "--force")
        self._end_processes()
        for _ in range(5):  # what ended a container may still be at work
            self._unmount()
            shutil.rmtree(self.home, ignore_errors=True)
            if not self.home.exists():
                break
            time.sleep(1)
        cgroups = [*CGROUPS.glob("**/libpod_parent/**/"), *CGROUPS.glob("**/buildah-*/")]
        for cgroup in sorted(cgroups, reverse=True):
            with suppress(OSError):  # another podman's
                cgroup.rmdir()
        if not self._had_rules:
            kept = [line for line in read_rules() if "NETAVARK" not in line]
            subprocess.run(["iptables-restore"], input="\n".join(kept) + "\n", text=True, check=False)

    def run(self, *arguments: str, check: bool = True, **options: Any) -> str:
        """Call podman and return what it prints."""
        options = {"stdout": subprocess.PIPE, **options}
        done = subprocess.run(["podman", *arguments], env=self.environment, check=check, text=True, **options)
        printed: str = done.stdout
        return printed

    def _end_processes(self) -> None:
        """End what watches over containers, which would wait for five minutes and then make the directory anew."""
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if str(self.home) in (process / "cmdline").read_text():
                    os.kill(int(process.name), signal.SIGKILL)

    def _unmount(self) -> None:
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for mount in reversed(mounts):
            if mount.startswith(f"{self.home}/"):
                subprocess.run(["umount", "--lazy", mount], check=False)

    def _write(self, name: str, text: str) -> str:
        path = self.home / name
        path.write_text(text.format(home=self.home))
        return str(path)

    def _build(self) -> None:
        base = self._base or self.home / "base.tar"
        if self._base is None:
            command = ["mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", f"--include={PACKAGES}"]
            subprocess.run([*command, "bookworm", str(base)], check=True)
        self.run("import", "--quiet", str(base), "localhost/debian", stdout=subprocess.DEVNULL)
        context = self.home / "images"
        shutil.copytree(HERE / "images", context)
        pins = re.findall(r"^[a-z].*==.*?(?= \\$)", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
        (context / "constraints.txt").write_text("\n".join(pins) + "\n")  # without the hashes
        for target, name in STAND_INS.items():
            self._build_image(context, target, name)
        for target, name in OURS.items():
            self._build_image(ROOT, target, name)

    def _build_image(self, context: Path, target: str, name: str) -> None:
        """Build with the host's network, and with its pip's way to a package index."""
        sys.stdout.write(f"building {name}\n")
        sys.stdout.flush()
        pip = self.home / "pip.conf"
        command = [sys.executable, "-m", "pip", "config", "list"]
        settings = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        options = dict(re.findall(r"^(?:global|:env:)\.(cert|index-url)='(.*)'$", settings, re.MULTILINE))
        pip.write_text("[global]\n" + "".join(f"{key} = {value}\n" for key, value in options.items()))
        mounts = [f"--volume={pip}:/etc/pip.conf:ro", "--volume=/etc/ssl/certs:/etc/ssl/certs:ro"]
        build = ["build", "--quiet", "--pull=never", "--network=host", *mounts, f"--target={target}", f"--tag={name}"]
        self.run(*build, str(context), stdout=subprocess.DEVNULL)

    def _serve(self) -> None:
        if (CGROUPS / "cpu" / "cpu.shares").exists():  # else all containers together weigh as much as one process
            (CGROUPS / "cpu" / "libpod_parent").mkdir(exist_ok=True)
            (CGROUPS / "cpu" / "libpod_parent" / "cpu.shares").write_text("10240")
        with (self.home / "service.log").open("wb") as log:
            self._service = subprocess.Popen(
                ["podman", "system", "service", "--time=0", self.environment["DOCKER_HOST"]],
                env=self.environment,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + 30
        while not (self.home / "podman.sock").exists():
            if time.monotonic() > deadline:
                raise RuntimeError((self.home / "service.log").read_text())
            time.sleep(0.1)
        self._health.start()

    def _check_health(self) -> None:
        """Do what podman leaves to systemd: run each container's health check from time to time."""
        while not self._stopping.wait(2):
            for container in self.run("ps", "--quiet").split():
                self.run("healthcheck", "run", container, check=False, stderr=subprocess.DEVNULL)
