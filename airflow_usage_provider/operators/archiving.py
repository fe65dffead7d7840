"""One day: the vendor's bytes go into a snapshot, which is committed at their end, or leaves nothing.

Days run in threads of their own and know nothing of one another. When their task is told to stop, each ends at its next
chunk, and what is still open after a few seconds is aborted in its place.
"""

from __future__ import annotations

import threading
import time
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow_usage_provider.exceptions import (
    IncompleteSnapshotError,
    ListingChangedError,
    SnapshotConflictError,
    UnforeseenError,
    UsageProviderError,
)
from airflow_usage_provider.models import StreamFacts, UsageWindow, VendorStream, load_zone
from airflow_usage_provider.operators import log_lines
from airflow_usage_provider.operators.runs import find_other_connection, identify_task, is_of_this_run

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterator, Mapping, Sequence

    from airflow_usage_provider.archive.keys import Series
    from airflow_usage_provider.archive.manifest import Manifest
    from airflow_usage_provider.archive.snapshot import Archive, Snapshot
    from airflow_usage_provider.operators.metrics import DayMeter

MAX_READINGS = 5  # of a listing that moves while it is read
_GRACE = 5.0  # seconds for days that are told to stop


@dataclass(frozen=True, slots=True)
class ArchivedDay:
    """A day's answer, and the one before it: None if it is the first, or as good as unknown."""

    manifest: Manifest
    previous: Manifest | None


class Archiving:
    """
    What one task archives.

    :param context: the task's.
    :param retries: the task's.
    :param lookback_days: a day older than these is final.
    :param new_question: ``refuse`` or ``accept`` another question than that of a day's earlier snapshot.
    :param conn_id: the connection to the vendor, if it is one of ours.
    """

    def __init__(
        self,
        archive: Archive,
        *,
        context: Mapping[str, Any],
        retries: int | None,
        lookback_days: int,
        new_question: str,
        conn_id: str | None,
        log: Any,
    ) -> None:
        self._archive = archive
        self._context = context
        self._retries = retries
        self._lookback_days = lookback_days
        self._new_question = new_question
        self._conn_id = conn_id
        self._log: logging.Logger = log
        self._is_stopping = threading.Event()
        self._open: set[Snapshot] = set()
        self._all_closed = threading.Condition()

    def survey(self, series: Series, windows: Sequence[UsageWindow]) -> None:
        """Look at all days at once. What goes wrong with that, foreseen or not, each day meets for itself."""
        try:
            self._archive.survey(series, windows)
        except Exception as error:  # noqa: BLE001 - it only saves requests
            self._log.warning("%s", UnforeseenError.of(error))

    def stop(self) -> None:
        """Let every day end at its next chunk, and abort what is still open then."""
        self._is_stopping.set()
        deadline = time.monotonic() + _GRACE
        with self._all_closed:
            while self._open and (left := deadline - time.monotonic()) > 0:
                self._all_closed.wait(left)
            left_open = list(self._open)
        for snapshot in left_open:  # its day hangs in a read, and would write no more
            snapshot.__exit__(None, None, None)

    def archive_day(self, meter: DayMeter, stream: VendorStream, window: UsageWindow) -> ArchivedDay:
        """
        Archive one day, anew while its listing moves or another run archives it too.

        :raises UsageProviderError: it could not be archived; nothing of it is left.
        """
        for reading in range(1, MAX_READINGS + 1):
            try:
                with self._open_snapshot(meter, stream, window) as snapshot:
                    previous = snapshot.previous
                    if previous and is_of_this_run(previous, self._context, self._retries):
                        uri = self._archive.manifest_uri(previous)
                        self._log.info(
                            "An earlier try of this run archived %s of %s: %s", stream.name, window.usage_date, uri
                        )
                        return ArchivedDay(previous, self._read_previous(previous))
                    self._log.info(log_lines.describe_begin(meter, window, stream, self._archive, previous))
                    self._warn_of_others(snapshot, window)
                    facts = self._copy(meter, stream, window, snapshot)
                    manifest = snapshot.commit(
                        facts,
                        maturity=self._judge_maturity(window),
                        request=stream.request,
                        schema=getattr(stream, "schema", None),
                        airflow=identify_task(self._context.get("ti"), self._conn_id),
                    )
            except (ListingChangedError, SnapshotConflictError) as error:
                if reading == MAX_READINGS:
                    raise
                self._log.warning("%s Reading it again, %d of %d.", error, reading + 1, MAX_READINGS)
            else:
                for line in log_lines.describe_end(meter, self._archive, manifest, snapshot):
                    self._log.info(line)
                meter.report(manifest, previous)
                return ArchivedDay(manifest, previous)
        raise AssertionError("unreachable")

    def _warn_of_others(self, snapshot: Snapshot, window: UsageWindow) -> None:
        if snapshot.asks_anew:
            self._log.warning("%s begins anew with another question: %s", window.usage_date, snapshot.asks_anew)
        other = snapshot.previous and find_other_connection(snapshot.previous, self._conn_id)
        if other:
            self._log.warning(
                "%s was archived through connection %r before, now through %r: two connections of one account should "
                "differ in their extra 'account', or one of them should go",
                window.usage_date,
                other,
                self._conn_id,
            )

    @contextmanager
    def _open_snapshot(self, meter: DayMeter, stream: VendorStream, window: UsageWindow) -> Iterator[Snapshot]:
        snapshot = self._archive.open_snapshot(
            meter.series,
            window,
            stream.file_format,
            question=getattr(stream, "question", None),
            new_question=self._new_question,
        )
        with self._all_closed:
            self._open.add(snapshot)
        try:
            with snapshot:
                yield snapshot
        finally:
            with self._all_closed:
                self._open.discard(snapshot)
                self._all_closed.notify_all()

    def _copy(self, meter: DayMeter, stream: VendorStream, window: UsageWindow, snapshot: Snapshot) -> StreamFacts:
        """Pass the vendor's bytes to the snapshot."""
        with closing(stream.read()) as chunks:
            while True:
                try:
                    chunk = next(chunks)
                except StopIteration as end:
                    if not isinstance(end.value, StreamFacts):
                        raise IncompleteSnapshotError(
                            "The stream ended without its facts", stream=stream.name
                        ) from None
                    self._end_if_stopping()
                    return end.value
                self._end_if_stopping()
                snapshot.write(chunk)
                if meter.traffic.is_progress_due():
                    self._log.info(log_lines.describe_progress(meter, window, snapshot.raw_bytes))

    def _end_if_stopping(self) -> None:
        if self._is_stopping.is_set():
            raise SystemExit("The task was told to stop")

    def _read_previous(self, manifest: Manifest) -> Manifest | None:
        """Return what a manifest follows: only to say how much it differs, so it is no loss if it cannot be read."""
        with suppress(UsageProviderError):
            return self._archive.read_previous(manifest)
        return None

    def _judge_maturity(self, window: UsageWindow) -> str:
        age = datetime.now(load_zone(window.timezone)).date() - window.usage_date
        return "final" if age.days > self._lookback_days else "provisional"
