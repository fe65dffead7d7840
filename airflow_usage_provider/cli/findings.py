"""What was found, a line each, while it is being looked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_usage_provider.cli.terminal import Progress, print_line
from airflow_usage_provider.cli.words import count

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable, Iterator

    from airflow_usage_provider.archive.checks import Finding
    from airflow_usage_provider.archive.objects import Objects
    from airflow_usage_provider.archive.verify import Report


def print_findings(
    objects: Objects, reports: Iterable[Report], totals: Counter[str], *, fail_on_gaps: bool = False
) -> Iterator[Report]:
    """
    Print what each report has found, and pass the report on.

    :param totals: counts what was read and found.
    :param fail_on_gaps: a gap is a finding.
    """
    progress = Progress()
    for report in reports:
        progress.clear()
        for finding in report.findings:
            is_failure = finding.is_failure or (fail_on_gaps and finding.kind == "gap")
            print_finding(objects, finding, totals, is_failure=is_failure)
        totals.update(snapshot=report.snapshots, object=report.objects, byte=report.bytes)
        progress.show(describe_totals(totals))
        yield report
    progress.clear()


def print_finding(objects: Objects, finding: Finding, totals: Counter[str], *, is_failure: bool) -> None:
    """Print and count one finding."""
    totals["finding" if is_failure else "note"] += 1
    head = f"{'FINDING' if is_failure else 'NOTE'} {finding.kind}: {objects.uri(finding.name)}"
    print_line(f"{head} {finding.problem}. {finding.step}")


def describe_totals(totals: Counter[str]) -> str:
    """``12 snapshots, 19 objects, 4,321 bytes``."""
    return ", ".join(count(totals[noun], noun) for noun in ("snapshot", "object", "byte"))
