"""The loop: for every usage date, pass the vendor's bytes to a snapshot and commit it.

Nothing here knows a vendor or S3. One failing day does not stop the others; the task fails at the end and says which.
"""

from __future__ import annotations

from abc import abstractmethod
from contextlib import closing
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import AssetAlias, BaseOperator

from airflow_usage_provider.archive.checksums import prefer_checksums
from airflow_usage_provider.archive.keys import ArchiveLocation, Series
from airflow_usage_provider.archive.packing import check_compression
from airflow_usage_provider.archive.snapshot import Archive
from airflow_usage_provider.compat import AirflowException, AirflowFailException
from airflow_usage_provider.exceptions import (
    ConfigurationError,
    FatalError,
    IncompleteSnapshotError,
    ListingChangedError,
    SnapshotConflictError,
    UsageProviderError,
)
from airflow_usage_provider.hooks.base import UsageHook
from airflow_usage_provider.http.traffic import Traffic
from airflow_usage_provider.models import StreamFacts, UsageWindow, VendorStream, load_zone, resolve_usage_date
from airflow_usage_provider.operators import lineage, log_lines
from airflow_usage_provider.operators.links import SnapshotLink
from airflow_usage_provider.operators.metrics import DayMeter
from airflow_usage_provider.operators.openlineage import Lineage
from airflow_usage_provider.operators.runs import identify_task, is_of_this_run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_usage_provider.archive.manifest import Manifest
    from airflow_usage_provider.archive.snapshot import Snapshot

MAX_LOOKBACK_DAYS = 400  # vendors keep a year at most
MAX_READINGS = 5  # of a listing that moves while it is read


class UsageSnapshotToS3Operator(BaseOperator):
    """
    Archives what a vendor answers for a day to S3: base of the vendors' operators, and of one's own.

    A subclass sets ``vendor`` and implements :meth:`get_hook` and :meth:`open_stream`.

    :param archive_url: where the archive is, ``s3://bucket/prefix``. (templated)
    :param aws_conn_id: Airflow connection to S3. (templated)
    :param usage_date: the day, ``YYYY-MM-DD``; default: resolved from the run. (templated)
    :param lookback_days: archive so many days before it too, as vendors revise them. (templated)
    :param timezone: IANA name of the day's zone. (templated)
    :param compression: of the parts, ``gzip`` or ``none``.
    :param s3_extra_args: arguments of boto3's ``put_object`` for every object, such as SSE-KMS, storage class, tags.
        (templated)
    :return: one dict a usage date, newest first: ``vendor``, ``account``, ``stream``, ``usage_date``,
        ``snapshot_id``, ``manifest_uri``, ``rows``, ``bytes`` (of the stored parts), ``empty``, ``unchanged``,
        ``revision``.
    """

    vendor: ClassVar[str]

    template_fields: Sequence[str] = (
        "archive_url",
        "aws_conn_id",
        "usage_date",
        "lookback_days",
        "timezone",
        "s3_extra_args",
    )
    operator_extra_links = (SnapshotLink(),)
    ui_color = "#e4f0e8"

    def __init__(
        self,
        *,
        archive_url: str,
        aws_conn_id: str | None = "aws_default",
        usage_date: str | None = None,
        lookback_days: int = 0,
        timezone: str = "UTC",
        compression: str = "gzip",
        s3_extra_args: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        outlets = kwargs.pop("outlets", None) or []
        alias = AssetAlias(f"{self.vendor}_usage", group="usage")
        super().__init__(outlets=[*(outlets if isinstance(outlets, list) else [outlets]), alias], **kwargs)
        check_compression(compression)
        self.archive_url = archive_url
        self.aws_conn_id = aws_conn_id
        self.usage_date = usage_date
        self.lookback_days = lookback_days
        self.timezone = timezone
        self.compression = compression
        self.s3_extra_args = s3_extra_args
        self._is_running = False
        self._lineage: Lineage | None = None

    @abstractmethod
    def get_hook(self) -> UsageHook:
        """Return the hook of the connection."""

    @abstractmethod
    def open_stream(self, hook: Any, window: UsageWindow) -> VendorStream:
        """Return the vendor's stream for a day; nothing is asked of the vendor yet."""

    def execute(self, context: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Archive every day of the look-back."""
        self._is_running = True
        try:
            return self._archive_days(context)
        except FatalError as error:
            raise AirflowFailException(str(error)) from None
        finally:
            self._is_running = False

    def on_kill(self) -> None:
        """End the task's work, so that its open upload is aborted on the way out."""
        if self._is_running:
            raise SystemExit(f"{self.task_id} was told to stop")

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:  # noqa: ARG002 - OpenLineage's signature
        """Return what OpenLineage is told when the task has ended; of one that failed, the days it archived."""
        return self._lineage.describe() if self._lineage else None

    def _archive_days(self, context: Mapping[str, Any]) -> list[dict[str, Any]]:
        windows = self._windows(context)
        with closing(self.get_hook()) as hook:
            streams = [self.open_stream(hook, window) for window in windows]
            return self._archive_streams(windows, streams, hook, context)

    def _archive_streams(
        self, windows: list[UsageWindow], streams: list[VendorStream], hook: UsageHook, context: Mapping[str, Any]
    ) -> list[dict[str, Any]]:
        archive = self._open_archive()
        connection = hook.connection if isinstance(hook, UsageHook) else None  # one's own may be of another kind
        traffic = connection.traffic if connection else Traffic()
        manifests: list[Manifest] = []
        failures: list[tuple[UsageWindow, UsageProviderError]] = []
        for window, stream in zip(windows, streams, strict=True):
            meter = DayMeter(Series(self.vendor, hook.account, stream.name), traffic)
            try:
                manifests.append(self._archive_day(archive, meter, stream, window, context))
            except UsageProviderError as error:
                self.log.error(log_lines.describe_failure(meter, window, error))  # noqa: TRY400
                meter.report()
                failures.append((window, error))
        if manifests:
            series = Series(self.vendor, hook.account, manifests[0].stream)
            base_url = connection.base_url if connection else ""
            self._lineage = Lineage.of(series, base_url, archive.location, manifests)
        if failures:
            _raise_failures(failures, len(windows))
        lineage.report(self, context, archive, manifests)
        return [lineage.summarize(archive, manifest) for manifest in manifests]

    def _windows(self, context: Mapping[str, Any]) -> list[UsageWindow]:
        zone = load_zone(self.timezone)
        day = self.usage_date or resolve_usage_date(context, self.timezone)
        newest = UsageWindow.parse(day, self.timezone)
        if newest.usage_date > (today := datetime.now(zone).date()):
            raise ConfigurationError(
                f"usage_date {newest.usage_date} is in the future; in {self.timezone} it is {today}",
                next_step="Give a day that has begun.",
            )
        try:
            lookback_days = int(self.lookback_days)
        except (TypeError, ValueError):
            lookback_days = -1
        if lookback_days < 0:
            raise ConfigurationError(
                f"lookback_days is {self.lookback_days!r}", next_step="Give a whole number of days, 0 or more."
            )
        if lookback_days > MAX_LOOKBACK_DAYS:
            raise ConfigurationError(
                f"lookback_days is {lookback_days}", next_step=f"Give {MAX_LOOKBACK_DAYS} at most."
            )
        days = (newest.usage_date - timedelta(days=back) for back in range(lookback_days + 1))
        return [UsageWindow(day, self.timezone) for day in days]

    def _open_archive(self) -> Archive:
        from airflow.providers.amazon.aws.hooks.s3 import S3Hook

        location = ArchiveLocation.parse(self.archive_url)
        client = S3Hook(aws_conn_id=self.aws_conn_id).get_conn()
        prefer_checksums(client)
        return Archive(
            client=client, location=location, compression=self.compression, extra_args=self.s3_extra_args or {}
        )

    def _archive_day(
        self, archive: Archive, meter: DayMeter, stream: VendorStream, window: UsageWindow, context: Mapping[str, Any]
    ) -> Manifest:
        """Archive one day, anew while its listing moves or another run archives it too."""
        for reading in range(1, MAX_READINGS + 1):
            try:
                with archive.open_snapshot(meter.series, window, stream.file_format) as snapshot:
                    if snapshot.previous and is_of_this_run(snapshot.previous, context, self.retries):
                        uri, day = archive.manifest_uri(snapshot.previous), window.usage_date
                        self.log.info("An earlier try of this run archived %s of %s: %s", stream.name, day, uri)
                        return snapshot.previous
                    self.log.info(log_lines.describe_begin(meter, window, stream, archive, snapshot.previous))
                    facts = self._copy(meter, stream, window, snapshot)
                    task = identify_task(context.get("ti"))
                    manifest = snapshot.commit(
                        facts,
                        maturity=self._maturity(window),
                        request=stream.request,
                        schema=getattr(stream, "schema", None),
                        question=getattr(stream, "question", None),
                        airflow=task,
                    )
            except (ListingChangedError, SnapshotConflictError) as error:
                if reading == MAX_READINGS:
                    raise
                self.log.warning("%s Reading it again, %d of %d.", error, reading + 1, MAX_READINGS)
            else:
                for line in log_lines.describe_end(meter, archive, manifest, snapshot):
                    self.log.info(line)
                meter.report(manifest, snapshot.previous)
                return manifest
        raise AssertionError("unreachable")

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
                    return end.value
                snapshot.write(chunk)
                if meter.traffic.is_progress_due():
                    self.log.info(log_lines.describe_progress(meter, window, snapshot.raw_bytes))

    def _maturity(self, window: UsageWindow) -> str:
        age = datetime.now(load_zone(self.timezone)).date() - window.usage_date
        return "final" if age.days > int(self.lookback_days) else "provisional"


def _raise_failures(failures: list[tuple[UsageWindow, UsageProviderError]], days: int) -> None:
    if days == 1:
        raise failures[0][1]
    told = " ".join(f"{window.usage_date}: {error}" for window, error in failures)
    others = "" if len(failures) == days else ", the others were"
    message = f"{len(failures)} of {days} days were not archived{others}. {told}"
    kind = AirflowFailException if all(isinstance(error, FatalError) for _, error in failures) else AirflowException
    raise kind(message)
