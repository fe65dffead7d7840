"""Results as a table for people, as JSON for later, and as plots."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.works import ROOT, WORKS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from benchmarks.measure import Sample

Results = dict[str, Any]
DOCS = ROOT / "docs"
_OURS, _OTHERS = "#2a7f4f", "#9aa5b1"
_BAR = "\\|"
_BEGIN, _END = "<!-- table -->", "<!-- /table -->"
_FACTS = ("wall", "work", "cpu", "work_cpu", "peak", "over_imports")
_HEAD = (
    "| tool | work, s | × ours | process, s | CPU of the work, {unit} | CPU of the process, {unit} | peak, MiB "
    "| over imports, MiB |\n|---|---|---|---|---|---|---|---|"
)


def summarize(samples: Sequence[Sample]) -> dict[str, list[float]]:
    """Return median, least and most of each fact."""
    columns = {name: [asdict(sample)[name] for sample in samples] for name in _FACTS}
    return {name: [round(f(values), 4) for f in (median, min, max)] for name, values in columns.items()}


def format_work(name: str, result: Mapping[str, Any]) -> str:
    """Return the table of one work as Markdown; what it cost per GB where there are bytes."""
    head = _HEAD.format(unit="s/GB" if result["bytes"] else "s")
    title = f"**{WORKS[name].title}**, {result['amount']}, {result['runs']} {'runs' if result['runs'] > 1 else 'run'}"
    if result["load"]:
        title += f"; the machine was busy (load {result['load']}): CPU and memory are right, times are too long"
    lines = [f"{title}\n", head]
    share = result["bytes"] / 1e9 or 1.0
    ours = next((facts["work"][0] for tool, facts in result["tools"].items() if tool.startswith("ours")), 0.0)
    for tool, facts in result["tools"].items():
        cells = [
            _spread(facts["work"]),
            f"{facts['work'][0] / ours:.2f}" if ours else "",
            _spread(facts["wall"]),
            *(f"{facts[fact][0] / share:.2f}" for fact in ("work_cpu", "cpu")),
            *(f"{facts[fact][0]:.0f}" for fact in ("peak", "over_imports")),
        ]
        lines.append(f"| {tool.replace('|', _BAR)} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _spread(values: Sequence[float]) -> str:
    digits = 2 if values[0] >= 0.1 else 4
    middle, least, most = (f"{value:.{digits}f}" for value in values)
    return f"{middle} ({least}–{most})"


def format_growth(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the growth as a Markdown table."""
    lines = [
        f"| {row['axis']} | {row['value']:,} {row['unit']} | {row['work']:.2f} | {row['work_cpu']:.2f} "
        f"| {row['over_imports']:.0f} |"
        for row in rows
    ]
    head = "| of | to | work, s | CPU of the work, s | over imports, MiB |\n|---|---|---|---|---|"
    return "\n".join(["**Growth**, ours alone, one run each\n", head, *lines, ""])


def format_all(results: Results) -> str:
    """Return everything as Markdown."""
    works = [format_work(name, results["works"][name]) for name in WORKS if name in results["works"]]
    growth = [format_growth(results["growth"])] if results.get("growth") else []
    return "\n".join([f"{results['machine']}\n", *works, *growth])


def describe_machine() -> str:
    """Return what the figures depend on."""
    model = next(_lines("/proc/cpuinfo", "model name"), platform.machine())
    return f"{os.cpu_count()} cores ({model}), Python {platform.python_version()}, loopback."


def _lines(path: str, name: str) -> Iterator[str]:
    return (line.partition(":")[2].strip() for line in Path(path).read_text().splitlines() if line.startswith(name))


def save(results: Results) -> None:
    """Add results to those in the docs: JSON, table and plots."""
    folder = DOCS / "benchmarks"
    folder.mkdir(exist_ok=True)
    path = folder / "results.json"
    known = json.loads(path.read_text()) if path.exists() else {"works": {}}
    merged = {**known, **results, "works": {**known["works"], **results["works"]}}
    path.write_text(json.dumps(merged, indent=1) + "\n")
    page = DOCS / "benchmarks.md"
    before, _, rest = page.read_text().partition(_BEGIN)
    after = rest.partition(_END)[2]
    page.write_text(f"{before}{_BEGIN}\n\n{format_all(merged)}\n{_END}{after}")
    import matplotlib

    matplotlib.use("Agg")
    _plot_works(merged["works"], folder / "works.png")
    if merged.get("growth"):
        _plot_growth(merged["growth"], folder / "growth.png")


def _plot_works(works: Mapping[str, Any], path: Path) -> None:
    from matplotlib import pyplot

    names = [name for name in WORKS if name in works]
    heights = [len(works[name]["tools"]) + 1.5 for name in names]
    figure, axes = pyplot.subplots(
        len(names), 1, figsize=(9, 0.3 * sum(heights)), height_ratios=heights, squeeze=False, layout="constrained"
    )
    for axis, name in zip(axes[:, 0], names, strict=True):
        seconds = {tool: facts["work"] for tool, facts in works[name]["tools"].items()}
        spread = [[middle - least, most - middle] for middle, least, most in seconds.values()]
        axis.barh(
            list(seconds),
            [middle for middle, _, _ in seconds.values()],
            xerr=list(zip(*spread, strict=True)),
            color=[_OURS if tool.startswith("ours") else _OTHERS for tool in seconds],
        )
        axis.invert_yaxis()
        axis.set_title(f"{WORKS[name].title}, {works[name]['amount']}: seconds of work", fontsize=9, loc="left")
        axis.tick_params(labelsize=8)
    figure.savefig(path, dpi=100)


def _plot_growth(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    from matplotlib import pyplot

    names = list(dict.fromkeys(row["axis"] for row in rows))
    figure, axes = pyplot.subplots(2, len(names), figsize=(3 * len(names), 5), squeeze=False, layout="constrained")
    for column, name in enumerate(names):
        mine = [row for row in rows if row["axis"] == name]
        for axis, fact, label in zip(
            axes[:, column], ("work", "over_imports"), ("seconds", "MiB over imports"), strict=True
        ):
            axis.plot([row["value"] for row in mine], [row[fact] for row in mine], "o-", color=_OURS)
            axis.set_xscale("log")
            axis.set_title(f"{name}: {label}", fontsize=9)
            axis.tick_params(labelsize=8)
        axes[0, column].set_yscale("log")
        axes[1, column].set_ylim(bottom=0)
    figure.savefig(path, dpi=100)
