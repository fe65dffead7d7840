"""Where the pages read: S3 as the Amazon provider's connection says, with waits that suit a page."""

from __future__ import annotations

import hashlib
import threading
import time
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from airflow_usage_provider.archive.keys import ArchiveLocation
from airflow_usage_provider.configuration import Options, read_option, read_owners_url, read_tables_url
from airflow_usage_provider.exceptions import ConfigurationError
from airflow_usage_provider.tables.owners import parse_owners
from airflow_usage_provider.ui.charges import OwnersFile
from airflow_usage_provider.ui.store import TableStore

if TYPE_CHECKING:
    from collections.abc import Callable


_LARGEST_OWNERS = 4 * 1024 * 1024
_FRESH = 300.0  # seconds for which a client is used, so that a connection that was changed is noticed


@dataclass(slots=True)
class Sources:
    """
    Opens stores when they are first asked for; one that was opened stays, with what it keeps.

    :param connect: makes a boto3 S3 client of a connection's id.
    :param clock: seconds that only grow.
    """

    connect: Callable[[str], Any]
    clock: Callable[[], float] = time.monotonic
    _stores: dict[ArchiveLocation, TableStore] = field(default_factory=dict, init=False)
    _made: dict[ArchiveLocation, float] = field(default_factory=dict, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def tables(self) -> TableStore:
        """
        Return the store of the tables.

        :raises ConfigurationError: they are nowhere, or nothing can read them.
        """
        if find_spec("pyarrow") is None:
            raise ConfigurationError(
                "These pages need pyarrow in the API server, where it is not installed",
                next_step="Install airflow-usage-provider[tables] there.",
            )
        return self._open(read_tables_url())

    def archive(self) -> TableStore:
        """Return the store of the archive, for its closes."""
        return self._open(read_option("archive_url"))

    def owners(self) -> OwnersFile | None:
        """
        Return the file of owners; None if there is none.

        :raises ConfigurationError: it is not there, or cannot be read.
        """
        url = read_owners_url()
        if url is None:
            return None
        folder, _, name = url.rpartition("/")
        body = self._open(folder).read(name, _LARGEST_OWNERS)
        return OwnersFile(parse_owners(body), hashlib.sha256(body).hexdigest())

    def _open(self, url: str) -> TableStore:
        location = ArchiveLocation.parse(url)
        with self._lock:
            if location not in self._stores or self.clock() - self._made[location] > _FRESH:
                client = self.connect(Options().find("aws_conn_id") or "aws_default")
                self._stores.setdefault(location, TableStore(client, location)).client = client
                self._made[location] = self.clock()
            return self._stores[location]


def connect(aws_conn_id: str) -> Any:
    """Return an S3 client of a connection, that waits less than a task would."""
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook
    from botocore.config import Config

    patience = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 2})
    own = S3Hook(aws_conn_id=aws_conn_id).config
    return S3Hook(aws_conn_id=aws_conn_id, config=own.merge(patience)).get_conn()
