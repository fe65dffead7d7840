"""Closing a month: proven whole, sealed, and told on one page below ``closes/<month>/``. No close is ever replaced.

Closing again makes another close, which says what has changed since the last one. Every step reads the archive as of
the moment the close began, so that all of them tell of the same figures.
"""

from __future__ import annotations

import hashlib
import io
import json
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow_usage_provider import __version__
from airflow_usage_provider.archive.catalog import Selection
from airflow_usage_provider.archive.seal import compress, name_seal
from airflow_usage_provider.archive.verify import verify_archive
from airflow_usage_provider.exceptions import ArchiveCorruptError, UnreconciledError
from airflow_usage_provider.tables.charges import EXACT, choose_pots, read_views
from airflow_usage_provider.tables.reconcile import reconcile
from airflow_usage_provider.tables.report import gather_report, render_report

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from airflow_usage_provider.archive.objects import Objects
    from airflow_usage_provider.tables.layout import Month
    from airflow_usage_provider.tables.owners import Owners
    from airflow_usage_provider.tables.reconcile import Line

CLOSES = "closes/"
_TOLD = 10  # findings that a message names
_SECOND = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, slots=True)
class Sealed:
    """A seal that was written: its root, its name within the archive, and how many days it holds."""

    root: str
    name: str
    days: int


def check_month(
    objects: Objects,
    month: Month,
    *,
    as_of: datetime,
    tolerance: Decimal = Decimal(0),
    partial: bool = False,
    skip: Collection[str] = (),
) -> list[Line]:
    """
    Prove that a month may be closed: every day of every pot is there and final, and its figures agree.

    :param partial: let days be missing or not yet final.
    :param skip: comparisons that are left out.
    :return: everything that was compared.
    :raises UnreconciledError: it may not.
    """
    views = read_views(objects, month, as_of=as_of)
    pots = choose_pots(views)
    problems = [] if pots else [f"nothing in the archive is a charge of {month}"]
    days = [month.first.replace(day=number) for number in range(1, month.last.day + 1)]
    lines = list(reconcile(objects, views, [] if partial else days, skip=skip))
    problems += [str(line) for line in lines if line.is_beyond(tolerance)]
    if not partial:
        problems += [f"{pot.finest} is provisional" for pot in pots if not pot.finest.is_final]
    if problems:
        told = "; ".join(islice(problems, _TOLD))
        more = f"; and {len(problems) - _TOLD} more" if len(problems) > _TOLD else ""
        raise UnreconciledError(
            f"{month} cannot be closed: {told}{more}",
            next_step="See usage-archive reconcile, mend it or archive the days again, and close again.",
        )
    return lines


def seal_month(objects: Objects, month: Month, *, now: datetime, jobs: int = 8) -> Sealed:
    """
    Verify the archive until the end of a month, and write its seal.

    :raises ArchiveCorruptError: something does not verify; nothing is sealed.
    """
    findings: list[str] = []
    digest, days = hashlib.sha256(), 0
    with tempfile.TemporaryFile() as store, tempfile.TemporaryFile() as packed:
        for report in verify_archive(objects, Selection(until=month.last), now=now, jobs=jobs):
            findings += [f"{each.kind} {each.name}: {each.problem}" for each in report.findings if each.is_failure]
            lines = "".join(f"{sha256}  {name}\n" for name, sha256 in report.hashes.items()).encode()
            digest.update(lines)
            store.write(lines)
            days += bool(lines)
        if findings:
            raise ArchiveCorruptError(
                f"Not sealed until {month.last}: {'; '.join(findings[:_TOLD])}", next_step="Run usage-archive verify."
            )
        name = name_seal(month.last, now, digest.hexdigest())
        compress(store, packed)
        packed.seek(0)
        objects.create(name, packed)
    return Sealed(digest.hexdigest(), name, days)


def list_closes(objects: Objects, month: Month) -> list[str]:
    """Return the names of a month's closes, the latest last; each is a folder's."""
    found = (entry.name for entry in objects.list(f"{CLOSES}{month}/") if entry.name.endswith("/close.json"))
    return sorted(name.removesuffix("/close.json") for name in found)


def read_close(objects: Objects, folder: str) -> dict[str, Any]:
    """
    Return what a close says of itself.

    :raises ArchiveCorruptError: it is no close.
    """
    body = b"".join(bytes(chunk) for chunk in objects.chunks(f"{folder}/close.json"))
    try:
        close: dict[str, Any] = json.loads(body)
        datetime.fromisoformat(close["as_of"])
        {currency: Decimal(total) for currency, total in close["totals"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError):
        raise ArchiveCorruptError(f"{objects.uri(folder)} is no close", next_step="Find out who wrote it.") from None
    return close


def write_close(
    objects: Objects,
    month: Month,
    *,
    as_of: datetime,
    now: datetime,
    owners: Owners,
    sealed: Sealed,
    tolerance: Decimal = Decimal(0),
    skip: Collection[str] = (),
) -> tuple[str, dict[str, Any]]:
    """
    Write the report of a month and what its close says of itself, and return the folder's name and the latter.

    ``close.json`` comes last: a close is there if and only if it is.

    :param now: names the folder, so that a second try is not in the way of the first.
    """
    closes = list_closes(objects, month)
    last = read_close(objects, closes[-1]) if closes else None
    since = datetime.fromisoformat(last["as_of"]) if last else None
    report = gather_report(
        objects, month, owners=owners, now=as_of, as_of=as_of, since=since, tolerance=tolerance, skip=skip
    )
    totals = {currency: total for (currency,), total in sorted(report.figures.totals.items())}
    folder = f"{CLOSES}{month}/{now.astimezone(UTC):{_SECOND}}-{sealed.root[:8]}"
    document = {
        "month": str(month),
        "as_of": as_of.isoformat(),
        "root": sealed.root,
        "seal": sealed.name,
        "totals": {currency: f"{total:f}" for currency, total in totals.items()},
        "previous": closes[-1] if closes else None,
        "difference": _subtract(totals, last["totals"]) if last else None,
        "revised": [
            {
                "day": each.subject,
                "currency": each.currency,
                "before": None if each.before is None else f"{each.before:f}",
                "after": f"{each.after:f}",
            }
            for each in report.revised or ()
        ],
        "reconciliation": {**_count(report.lines, tolerance), "skipped": sorted(skip)},
        "tool": {"name": "airflow-usage-provider", "version": __version__},
    }
    _create(objects, f"{folder}/report.html", render_report(report).encode())
    _create(objects, f"{folder}/reconciliation.txt", "".join(f"{line}\n" for line in report.lines).encode())
    _create(objects, f"{folder}/close.json", (json.dumps(document, ensure_ascii=False, indent=2) + "\n").encode())
    return folder, document


def _subtract(totals: Mapping[str, Decimal], last: Mapping[str, str]) -> dict[str, str]:
    zero = Decimal(0)
    return {
        currency: f"{EXACT.subtract(totals.get(currency, zero), Decimal(last.get(currency, '0'))):f}"
        for currency in sorted({*totals, *last})
    }


def _count(lines: Sequence[Line], tolerance: Decimal) -> dict[str, int]:
    findings = sum(line.is_beyond(tolerance) for line in lines)
    return {
        "comparisons": len(lines),
        "differences": sum(bool(line.difference) for line in lines),
        "findings": findings,
    }


def _create(objects: Objects, name: str, body: bytes) -> None:
    objects.create(name, io.BytesIO(body))
