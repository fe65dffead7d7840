"""Snapshots: parts first, manifest last. Whatever happens before leaves nothing that a reader takes for an answer.

S3 refuses to replace an object, but cannot tell that two runs archive one day: their keys differ. So the day is looked
at once more just before the manifest is written, and whoever finds a newer one there reads the day again.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any, Self

from airflow_usage_provider import __version__
from airflow_usage_provider.archive.keys import new_snapshot_id, part_name
from airflow_usage_provider.archive.manifest import MAX_MANIFEST_BYTES, FileEntry, Manifest, is_oversized
from airflow_usage_provider.archive.packing import PartPacking
from airflow_usage_provider.archive.question import check_new_question, describe_difference, spell_question
from airflow_usage_provider.archive.upload import ObjectUpload
from airflow_usage_provider.exceptions import (
    ConfigurationError,
    IncompleteSnapshotError,
    InvalidBodyError,
    SnapshotConflictError,
    UsageProviderError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from airflow_usage_provider.archive.keys import Series
    from airflow_usage_provider.archive.snapshot import Archive
    from airflow_usage_provider.archive.standing import Standing
    from airflow_usage_provider.models import FileFormat, StreamFacts, UsageWindow
    from airflow_usage_provider.schema import StreamSchema

_LOOK_HOLDS = timedelta(seconds=2)  # how long a listing counts for what there is
_QUESTION_STEP = (
    "Ask as before, or archive this as another account or at another archive_url; "
    'new_question="accept" of the operator goes on with the new question.'
)


class Snapshot:
    """
    One answer for one stream and day on its way into the archive.

    Use it as a context manager and commit it inside; left without a commit, it aborts its upload. ``previous`` is the
    manifest of the day's current answer, None if there is none; ``asks_anew`` says how an accepted question differs
    from that one's.

    :param standing: what the archive holds of the day.
    :param question: what will be asked, without the day.
    :param new_question: ``refuse`` or ``accept`` another question than the earlier snapshot's.
    :raises ConfigurationError: the earlier snapshot answers another question.
    """

    def __init__(
        self,
        archive: Archive,
        series: Series,
        window: UsageWindow,
        file_format: FileFormat,
        *,
        standing: Standing,
        question: Mapping[str, Any] | None = None,
        new_question: str = "refuse",
    ) -> None:
        check_new_question(new_question)
        self._archive = archive
        self._series = series
        self._window = window
        self._file_format = file_format
        self._known = standing.newest
        stored = archive.read(series, window.usage_date, self._known) if self._known else None
        self.previous = stored.manifest if stored else None
        self._previous_sha256 = stored.sha256 if stored else None
        self._new_question = new_question
        self.asks_anew = ""
        self._ask(question)
        self.snapshot_id = new_snapshot_id(archive.now(), after=self._known)
        self._start_part()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._packing.close()
        with suppress(UsageProviderError):  # what ended the block is the news, not that the clean-up failed too
            self._upload.abort()

    @property
    def raw_bytes(self) -> int:
        """Bytes taken so far, before compression."""
        return self._packing.raw_bytes

    def write(self, chunk: bytes | memoryview) -> None:
        """Take the next bytes of the vendor's answer."""
        self._packing.write(chunk)

    def commit(
        self,
        facts: StreamFacts,
        *,
        maturity: str,
        request: Mapping[str, Any],
        schema: StreamSchema | None = None,
        question: Mapping[str, Any] | None = None,
        airflow: Mapping[str, Any] | None = None,
    ) -> Manifest:
        """
        Make the snapshot the current answer of its day, and return its manifest.

        :param facts: what the vendor's stream returned at its end.
        :param maturity: ``provisional`` or ``final``.
        :param request: how the vendor was asked; nothing secret.
        :param schema: what the columns mean; None if the stream does not say.
        :param question: what was asked, without the day, where that was not known when the snapshot was opened.
        :param airflow: the task that writes.
        :raises ConfigurationError: the earlier snapshot answers another question.
        :raises IncompleteSnapshotError: facts and bytes do not fit together.
        :raises InvalidBodyError: what surrounded the records is too large for a manifest.
        :raises SnapshotConflictError: another run committed this day in the meantime.
        """
        self._ask(question if question is not None else self._question)
        if facts.rows and not self.raw_bytes:
            raise IncompleteSnapshotError(f"{facts.rows} records without a byte", stream=self._series.stream)
        entry = self._packing.finish(self._key, facts.rows, self._file_format.content_type)
        files = (entry,) if facts.rows else ()
        is_same = self.previous is not None and _is_same_answer(self.previous, files)
        looked_at, found = self._archive.now(), self._look_again()
        is_kept = self.previous is not None and is_same and _are_there(self.previous.files, found)
        manifest = self._describe(
            facts,
            files=self.previous.files if self.previous and is_kept else files,
            unchanged=is_kept,
            revision=1 if self.previous is None else self.previous.revision + (not is_same),
            maturity=maturity,
            request=request,
            schema=schema.as_dict() if schema else None,
            airflow=airflow or {},
        )
        self._refuse_large(manifest)
        if files and not is_kept:
            self._upload.complete()
            if self._archive.now() - looked_at > _LOOK_HOLDS:
                self._look_again()
        manifest = replace(manifest, snapshot_at=self._tell_time())
        key = self._archive.manifest_key(self._series, self._window.usage_date, self.snapshot_id)
        self._archive.bucket.create(key, manifest.to_json(), content_type="application/json")
        self._archive.sweep(self._series)
        return manifest

    def _ask(self, question: Mapping[str, Any] | None) -> None:
        """Compare a question with that of the earlier snapshot, where both say what was asked."""
        self._question = None if question is None else spell_question(question)
        if self._question is None or self.previous is None or self.previous.question is None:
            return
        self.asks_anew = describe_difference(self.previous.question, self._question)
        if self.asks_anew and self._new_question == "refuse":
            raise ConfigurationError(
                f"Snapshot {self.previous.snapshot_id} of {self._window.usage_date} answers another question: "
                f"{self.asks_anew}",
                vendor=self._series.vendor,
                stream=self._series.stream,
                next_step=_QUESTION_STEP,
            )

    def _look_again(self) -> Mapping[str, int]:
        """Return the sizes of the day's objects, unless another run has committed the day since."""
        standing = self._archive.look(self._series, self._window)
        if standing.newest != self._known:
            raise SnapshotConflictError(
                f"Another run archived {self._window.usage_date} in the meantime",
                vendor=self._series.vendor,
                stream=self._series.stream,
                next_step="Read the day again.",
            )
        return standing.sizes

    def _describe(self, facts: StreamFacts, **decided: Any) -> Manifest:
        known = self.previous.columns if self.previous else ()
        return Manifest(
            vendor=self._series.vendor,
            account=self._series.account,
            stream=self._series.stream,
            usage_date=self._window.usage_date.isoformat(),
            timezone=self._window.timezone,
            window_requested=self._window.as_dict(),
            window_returned=facts.window_returned,
            snapshot_id=self.snapshot_id,
            snapshot_at=self._tell_time(),
            previous=self._known,
            previous_sha256=self._previous_sha256,
            empty=facts.rows == 0,
            rows=facts.rows,
            vendor_rows=facts.vendor_rows,
            pages=facts.pages,
            duplicates=facts.duplicates,
            conflicts=facts.conflicts,
            end=facts.end,
            columns=facts.columns,
            columns_added=_names_gone(facts.columns, known),
            columns_removed=_names_gone(known, facts.columns),
            envelope=facts.envelope,
            question=self._question,
            tool={"name": "airflow-usage-provider", "version": __version__},
            **decided,
        )

    def _refuse_large(self, manifest: Manifest) -> None:
        body = manifest.to_json()
        if is_oversized(body):
            raise InvalidBodyError(
                f"The manifest of {self._window.usage_date} would have {len(body)} bytes, more than any reader takes "
                f"({MAX_MANIFEST_BYTES}): too much surrounds the records, or there are too many columns",
                vendor=self._series.vendor,
                stream=self._series.stream,
                next_step="Look at what the vendor answers for that day.",
            )

    def _tell_time(self) -> str:
        return self._archive.now().astimezone(UTC).isoformat(timespec="seconds")

    def _start_part(self) -> None:
        name = part_name(0, self._file_format, self._archive.compression)
        folder = f"{self._archive.day_prefix(self._series, self._window)}snapshot={self.snapshot_id}"
        self._key = f"{folder}/{name}"
        is_gzip = self._archive.compression == "gzip"
        self._upload = ObjectUpload(
            self._archive.client,
            self._archive.location.bucket,
            self._key,
            content_type="application/gzip" if is_gzip else self._file_format.content_type,
            extra_args=self._archive.extra_args,
        )
        self._packing = PartPacking(self._upload, self._archive.compression)


def _is_same_answer(previous: Manifest, files: tuple[FileEntry, ...]) -> bool:
    if previous.empty or not files:
        return previous.empty and not files
    return [old.raw_sha256 for old in previous.files] == [new.raw_sha256 for new in files]


def _are_there(files: tuple[FileEntry, ...], sizes: Mapping[str, int]) -> bool:
    """Whether the day holds every part, whole; a part below another prefix is none of the day's."""
    return all(sizes.get(entry.key) == entry.bytes for entry in files)


def _names_gone(names: tuple[str, ...], others: tuple[str, ...]) -> tuple[str, ...]:
    """Names that the others lack; none where either answer had no columns to compare."""
    known = set(others)
    return tuple(name for name in names if name not in known) if others else ()
