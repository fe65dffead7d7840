"""Which task wrote a manifest: what lets a retry skip the days that an earlier try of it has archived."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_usage_provider.archive.manifest import Manifest

_RUN_FIELDS = ("dag_id", "run_id", "task_id", "map_index")


def identify_task(ti: Any, conn_id: str | None = None) -> dict[str, Any]:
    """Return what a manifest says of the task that wrote it, and of the connection it asked through."""
    task = {name: getattr(ti, name, None) for name in (*_RUN_FIELDS, "try_number")} if ti is not None else {}
    return {**task, "conn_id": conn_id} if conn_id else task


def find_other_connection(manifest: Manifest, conn_id: str | None) -> str | None:
    """Return the connection that the day was asked through before, if it is another one and both are known."""
    earlier = manifest.airflow.get("conn_id")
    return str(earlier) if earlier and conn_id and earlier != conn_id else None


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
    started, committed = getattr(run, "start_date", None), manifest.committed_at
    if committed is None or (started is not None and committed < started):
        return False
    first_try = getattr(ti, "max_tries", 0) - (retries or 0) + 1
    number = manifest.airflow.get("try_number")
    return isinstance(number, int) and bool(first_try <= number < getattr(ti, "try_number", 0))
