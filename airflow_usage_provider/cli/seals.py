"""How a seal is named on the command line: a file, an object of any bucket, or a name within the archive."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_usage_provider.archive.objects import FolderObjects
from airflow_usage_provider.archive.seal import SEALS, list_seals, read_seal
from airflow_usage_provider.cli.options import open_objects
from airflow_usage_provider.exceptions import ArchiveCorruptError, ConfigurationError

if TYPE_CHECKING:
    from airflow_usage_provider.archive.objects import Objects
    from airflow_usage_provider.archive.seal import Seal


def open_seal(objects: Objects, options: argparse.Namespace, where: str) -> Seal:
    """
    Read the seal that was named; the latest of the archive where the name is empty.

    :raises ConfigurationError: there is none, or it is none.
    """
    if not where:
        seals = list_seals(objects)
        if not seals:
            raise ConfigurationError(f"There is no seal below {objects.uri(SEALS)}", next_step="Name one.")
        where = seals[-1]
    try:
        if "://" in where:
            folder, _, name = where.rpartition("/")
            with open_objects(argparse.Namespace(**vars(options) | {"archive": folder})) as others:
                return read_seal(others.chunks(name), objects, name=where, root=options.root)
        if where.startswith(SEALS):
            return read_seal(objects.chunks(where), objects, name=where, root=options.root)
        path = Path(where)
        return read_seal(FolderObjects(path.parent).chunks(path.name), objects, name=where, root=options.root)
    except ArchiveCorruptError as error:
        raise ConfigurationError(f"No seal at {where}: {error.message}", next_step="Name a seal.") from None
