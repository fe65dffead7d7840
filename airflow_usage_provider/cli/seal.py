"""``usage-archive seal``: the hashes of everything up to a day, once all of it was verified."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING

from airflow_usage_provider.archive.catalog import Selection
from airflow_usage_provider.archive.seal import compress, name_seal
from airflow_usage_provider.archive.verify import verify_archive
from airflow_usage_provider.cli.findings import print_findings
from airflow_usage_provider.cli.options import parse_date, place_options
from airflow_usage_provider.cli.seals import open_seal
from airflow_usage_provider.cli.terminal import print_line, tell
from airflow_usage_provider.cli.words import count
from airflow_usage_provider.exceptions import ConfigurationError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from airflow_usage_provider.archive.objects import Objects
    from airflow_usage_provider.archive.verify import Report
    from airflow_usage_provider.cli.options import Commands


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "seal",
        parents=[place_options()],
        help="verify, and list the hash of every object up to a day",
        description="Verify everything up to a day, and list the SHA-256 of every object as sha256sum does. "
        "The list's own SHA-256 is the root: keep it elsewhere.",
    )
    parser.add_argument(
        "--until", metavar="YYYY-MM-DD", type=parse_date, required=True, help="last usage date, included"
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", type=Path, help="write the list there, compressed if it ends in .gz"
    )
    parser.add_argument("--write", action="store_true", help="write it under seals/ of the archive, create-only")
    parser.add_argument(
        "--since-seal",
        metavar="SEAL",
        nargs="?",
        const="",
        help="do not read again what this earlier seal holds (default: the archive's latest)",
    )
    parser.add_argument("--root", metavar="HEX", help="the root the earlier seal must have")
    parser.set_defaults(run=run)


def run(objects: Objects, options: argparse.Namespace) -> int:
    """Seal; 1 if something does not verify, which is then not sealed."""
    made_at = datetime.now(UTC)  # before anything is listed: what is begun later is newer than the seal
    totals: Counter[str] = Counter()
    with open_seal(objects, options, options.since_seal) as earlier, tempfile.TemporaryFile() as store:
        selection = Selection(until=options.until)
        reports = verify_archive(
            objects, selection, now=made_at, jobs=options.jobs, seal=earlier, is_trusted=earlier is not None
        )
        root = _write_lines(print_findings(objects, reports, totals), store, totals)
        if totals["finding"]:
            tell(f"Not sealed: {count(totals['finding'], 'finding')}.")
            return 1
        if not totals["day"]:
            raise ConfigurationError(f"Nothing to seal until {options.until}", next_step="See usage-archive ls.")
        _keep(objects, options, store, name_seal(options.until, made_at, root))
    print_line(f"root {root}")
    print_line(", ".join(count(totals[noun], noun) for noun in ("stream", "day", "snapshot", "row", "byte")))
    return 0


def _write_lines(reports: Iterable[Report], store: IO[bytes], totals: Counter[str]) -> str:
    """Write the lines of the seal, and return its root."""
    digest, series = hashlib.sha256(), None
    for report in reports:
        lines = "".join(f"{sha256}  {name}\n" for name, sha256 in report.hashes.items()).encode()
        digest.update(lines)
        store.write(lines)
        if lines:
            totals.update(stream=report.series != series, day=1, row=report.rows or 0)
            series = report.series
    return digest.hexdigest()


def _keep(objects: Objects, options: argparse.Namespace, store: IO[bytes], name: str) -> None:
    """Write the seal where it was asked for."""
    with tempfile.TemporaryFile() as packed:
        compress(store, packed)
        if options.output:
            source = packed if options.output.suffix == ".gz" else store
            source.seek(0)
            try:
                with options.output.open("wb") as file:
                    shutil.copyfileobj(source, file)
            except OSError as error:
                step = "Give another FILE after -o."
                raise ConfigurationError(f"{options.output}: {error.strerror}", next_step=step) from None
        if options.write:
            packed.seek(0)
            objects.create(name, packed)
            print_line(f"wrote {objects.uri(name)}")
