"""Measures the package against what users would pick instead. See docs/benchmarks.md."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.growth import AXES, SMOKE_AXES, measure_growth
from benchmarks.measure import FailedRunError, Sample, await_idle
from benchmarks.stages import Amounts, open_stage
from benchmarks.works import MB, WORKS, Work

IDLE_SECONDS = 600.0  # to wait for a machine on which nothing else runs
SMOKE = Amounts(export=MB, users=2500, folder=MB, parts=10, month=MB)
NAMES = (*WORKS, "growth")


def _parse_size(text: str) -> int:
    found = re.fullmatch(r"([\d.]+) *([kMG]?)B?", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 300MB")
    return int(float(found[1]) * {"": 1, "k": 1000, "M": MB, "G": 1000 * MB}[found[2]])


def _parse_names(text: str) -> list[str]:
    if unknown := [name for name in text.split(",") if name not in NAMES]:
        raise argparse.ArgumentTypeError(f"no work {', '.join(unknown)}; there are {', '.join(NAMES)}")
    return text.split(",")


def compare(work: Work, amounts: Amounts, runs: int) -> tuple[dict[str, list[Sample]], bool]:
    """Let all contenders of a work take turns; return what they took, and whether all did what they should."""
    samples: dict[str, list[Sample]] = {}
    is_good = True
    tools = []
    for tool in work.tools:
        if missing := tool.missing():
            _tell(f"{work.name}: without {tool.name}: {', '.join(missing)} is not installed")
        else:
            tools.append(tool)
    with open_stage(work, amounts) as stage:
        for number in range(runs):
            for tool in tools:
                try:
                    sample = stage.perform(tool)
                except FailedRunError as error:
                    _tell(f"{work.name}: {tool.name}: {error}")
                    is_good = False
                    continue
                samples.setdefault(tool.name, []).append(sample)
                _tell(f"{work.name} {number + 1}/{runs}: {tool.name}: {sample.work:.3f} s, CPU {sample.work_cpu:.3f} s")
    return samples, is_good


def _describe(work: Work, amounts: Amounts) -> dict[str, Any]:
    """Return the amount in words, and in bytes where CPU is told per GB."""
    return {
        "export": {"amount": f"{amounts.export / MB:,g} MB", "bytes": amounts.export},
        "users": {"amount": f"{amounts.users:,} users", "bytes": 0},
        "verify": {"amount": f"{amounts.folder / MB:,g} MB in {amounts.parts:,} parts", "bytes": amounts.folder},
        "tables": {"amount": f"{amounts.month / MB:,g} MB", "bytes": amounts.month},
        "parse": {"amount": "one file", "bytes": 0},
    }[work.kind]


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def grow(*, is_smoke: bool) -> tuple[list[dict[str, Any]], bool]:
    """Run ours with more and more to do; return the rows, and whether all went well."""
    rows: list[dict[str, Any]] = []
    try:
        for axis, value, sample in measure_growth(SMOKE_AXES if is_smoke else AXES):
            rows.append({"axis": axis.name, "value": value, "unit": axis.unit, **asdict(sample)})
            _tell(f"growth: {axis.name} {value}: {sample.work:.2f} s, {sample.over_imports:.0f} MiB")
    except FailedRunError as error:
        _tell(f"growth: {error}")
        return rows, False
    return rows, True


def run_all(amounts: Amounts, options: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    """Run the works that were asked for; return the results, and whether all went well."""
    results: dict[str, Any] = {"machine": report.describe_machine(), "works": {}}
    is_good = True
    for name in options.work:
        load = 0.0 if options.smoke or await_idle(seconds=IDLE_SECONDS) else round(os.getloadavg()[0], 1)
        if load and options.save and not options.force:
            _tell(f"{name}: this machine is busy (load {load}), and nothing is saved. --force saves it, marked.")
            return results, False
        if name == "growth":
            results["growth"], was_good = grow(is_smoke=options.smoke)
            print(report.format_growth(results["growth"]), flush=True)
        else:
            samples, was_good = compare(WORKS[name], amounts, options.runs)
            tools = {tool: report.summarize(seen) for tool, seen in samples.items()}
            facts = {**_describe(WORKS[name], amounts), "runs": options.runs, "load": load}
            results["works"][name] = {**facts, "tools": tools}
            print(report.format_work(name, results["works"][name]), flush=True)
        is_good &= was_good
        if options.save and not was_good:
            _tell(f"{name}: a contender failed, and its row is not saved.")
            results["works"].pop(name, None)
        elif options.save:
            report.save(results)
    return results, is_good


def main() -> None:
    """Run what the command line asks for; exit with 1 if a contender failed."""
    default = Amounts()
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--work", type=_parse_names, default=list(NAMES), help=f"some of {','.join(NAMES)}")
    parser.add_argument("--size", type=_parse_size, default=default.export, help="of an export (1000MB)")
    parser.add_argument("--users", type=int, default=default.users, help="of a listing (%(default)s)")
    parser.add_argument("--folder", type=_parse_size, default=default.folder, help="of all parts to verify (2000MB)")
    parser.add_argument("--parts", type=int, default=default.parts, help="so many they are (%(default)s)")
    parser.add_argument("--runs", type=int, default=5, help="of each contender (%(default)s)")
    parser.add_argument("--smoke", action="store_true", help="everything once, tiny: does it work?")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
    parser.add_argument("--save", action="store_true", help="write table, plots and results into docs/; full rows only")
    parser.add_argument("--force", action="store_true", help="save on a busy machine too, and say so on the page")
    options = parser.parse_args()
    amounts = Amounts(export=options.size, users=options.users, folder=options.folder, parts=options.parts)
    if options.save and (amounts != default or options.runs < parser.get_default("runs")):
        parser.error("--save takes full rows only: leave sizes and runs as they are")
    if options.smoke:
        amounts, options.runs = SMOKE, 1
    results, is_good = run_all(amounts, options)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    sys.exit(not is_good)


if __name__ == "__main__":
    main()
