"""Which task wrote a manifest: what lets a retry skip the days that an earlier try of it has archived."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_usage_provider.archive.manifest import Manifest

_RUN_FIELDS = ("dag_id", "run_id", "task_id", "map_index")


def identify_task(ti: Any) -> dict[str, Any]:
    """Return what a manifest says of the task that wrote it; nothing outside Airflow."""
    return {name: getattr(ti, name, None) for name in (*_RUN_FIELDS, "try_number")} if ti is not None else {}


def is_of_this_run(manifest: Manifest, context: Mapping[str, Any], retries: int | None) -> bool:
    """
    Whether an earlier try of this very task wrote the manifest, so that a retry need not repeat it.

    A task that was cleared begins anew, and so does a run that was deleted and made again under its old id: what they
    wrote before does not count.

    :param retries: the task's, which Airflow adds to the tries so far when it is cleared.
    """
    ti, run = context.get("ti"), context.get("dag_run")
    if ti is None or any(manifest.airflow.get(name) != getattr(ti, name, None) for name in _RUN_FIELDS):
        return False
    started = getattr(run, "start_date", None)
    if started is not None and datetime.fromisoformat(manifest.snapshot_at) < started:
        return False
    first_try = getattr(ti, "max_tries", 0) - (retries or 0) + 1
    return bool(first_try <= (manifest.airflow.get("try_number") or 0) < getattr(ti, "try_number", 0))
