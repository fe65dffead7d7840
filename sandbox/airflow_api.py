"""Airflow's API server without the rest of Airflow, for tests of what it shows; up in a quarter of a minute."""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Self

from sandbox.airflow_standalone import AirflowStandalone

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_usage_provider.testing.leash import Leash


class ApiServer:
    """
    Airflow's API server alone, on a database of its own, below ``/airflow``, as a context manager.

    :param home: ``AIRFLOW_HOME``; what is in it may be imported.
    :param env: further environment.
    :param passwords: of the users, by name; none: everybody is an admin.
    """

    def __init__(self, home: Path, *, env: Mapping[str, str], passwords: Mapping[str, str] | None = None) -> None:
        self.airflow = AirflowStandalone(home, env=env)
        self.url = f"{self.airflow.url}/airflow"
        self.passwords = dict(passwords or {})
        self.airflow.env |= {
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": str(not self.passwords),
            "PYTHONPATH": os.pathsep.join(filter(None, [str(home), self.airflow.env.get("PYTHONPATH")])),
        }
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self._leash: Leash | None = None

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._leash is not None:
            self._leash.end(5)

    def _start(self) -> None:
        self.airflow._prepare_home()
        file = self.airflow.home / "simple_auth_manager_passwords.json.generated"
        file.write_text(json.dumps(self.passwords))
        migrated = self.airflow.run("db", "migrate")
        if migrated.returncode:
            raise RuntimeError(f"The database could not be made:\n{migrated.stderr[-3000:]}")
        process, self._leash = self.airflow._spawn("api-server", log=self.airflow.log)
        deadline = time.monotonic() + 120
        while self.ask("api/v2/version")[0] != 200:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"The API server did not start:\n{self.airflow.logs()[-3000:]}")
            time.sleep(0.25)

    def ask(self, path: str, *, body: object = None, **headers: str) -> tuple[int, str]:
        """Return the status and text of an answer; 0 if there was none."""
        request = urllib.request.Request(f"{self.url}/{path}", headers=headers)
        if body is not None:
            request.add_header("Content-Type", "application/json")
            request.data = json.dumps(body).encode()
        try:
            with self._opener.open(request, timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def token(self, name: str) -> str:
        """Log a user in."""
        _, answer = self.ask("auth/token", body={"username": name, "password": self.passwords[name]})
        return json.loads(answer)["access_token"]
