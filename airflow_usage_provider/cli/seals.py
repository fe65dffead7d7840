"""How a seal is named on the command line: a file, an object of any bucket, or a name within the archive."""

from __future__ import annotations

import argparse
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_usage_provider.archive.objects import FolderObjects
from airflow_usage_provider.archive.seal import SEALS, list_seals, read_seal
from airflow_usage_provider.cli.options import open_objects
from airflow_usage_provider.exceptions import ArchiveCorruptError, ArchiveUnavailableError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_usage_provider.archive.objects import Objects
    from airflow_usage_provider.archive.seal import Seal


@contextmanager
def open_seal(objects: Objects, options: argparse.Namespace, where: str | None) -> Iterator[Seal | None]:
    """
    Open the seal that was named; the latest of the archive where the name is empty, and none for None.

    :raises ConfigurationError: there is no such seal, or it is none.
    """
    if where is None:
        yield None
        return
    if not where:
        seals = list_seals(objects)
        if not seals:
            raise ConfigurationError(f"There is no seal below {objects.uri(SEALS)}", next_step="Name one.")
        where = seals[-1]
    with ExitStack() as stack:
        store = stack.enter_context(tempfile.TemporaryFile())
        place, name = objects, where
        if "://" in where:
            folder, _, name = where.rpartition("/")
            place = stack.enter_context(open_objects(argparse.Namespace(**vars(options) | {"archive": folder})))
        elif not where.startswith(SEALS):
            place, name = FolderObjects(Path(where).parent), Path(where).name
        try:
            seal = read_seal(place.chunks(name), store, objects, name=where, root=options.root)
        except (ArchiveCorruptError, ArchiveUnavailableError) as error:
            raise ConfigurationError(f"No seal at {where}: {error.message}", next_step="Name a seal.") from None
        yield seal
