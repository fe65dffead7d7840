"""How time and memory grow with what there is to do; ours alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from benchmarks.stages import Amounts, open_stage
from benchmarks.works import MB, OURS, USERS, Work

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.measure import Sample

_SMALL = 100_000  # bytes of export of a day or account where there are many


@dataclass(frozen=True, slots=True)
class Axis:
    """
    What is made larger.

    :param field: of the amounts.
    :param values: from small to large.
    :param unit: one of them, in the table.
    """

    name: str
    kind: str
    field: str
    values: tuple[int, ...]
    unit: str


AXES = (
    Axis("export size", "export", "export", (10 * MB, 100 * MB, 1000 * MB, 5000 * MB), "bytes"),
    Axis("users", "users", "users", (1000, 10_000, 100_000, 1_000_000), "users"),
    Axis("accounts or streams", "export", "snapshots", (1, 10, 100, 1000), "snapshots"),
    # Seen from the end of a month, the middle of the one before is 47 days old, and the vendor keeps 365.
    Axis("days back", "export", "days", (1, 10, 100, 300), "days"),
)
SMOKE_AXES = tuple(replace(axis, values=(2,)) for axis in AXES[2:])


def measure_growth(axes: tuple[Axis, ...]) -> Iterator[tuple[Axis, int, Sample]]:
    """Yield each value of each axis with one run of it."""
    for axis in axes:
        tool = USERS if axis.kind == "users" else OURS
        work = Work("growth", axis.name, axis.kind, (tool,))
        for value in axis.values:
            amounts = replace(Amounts(export=_SMALL), **{axis.field: value})
            with open_stage(work, amounts) as stage:
                yield axis, value, stage.perform(tool)
