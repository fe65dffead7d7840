"""The loop: for every usage date, pass the vendor's bytes to a snapshot and commit it.

Nothing here knows a vendor or S3. Some days run at the same time. One failing day does not stop the others, whatever
its error; the task fails at the end and says which.
"""

from __future__ import annotations

import inspect
from contextlib import closing
from datetime import UTC, date, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import AssetAlias, BaseOperator

from airflow_usage_provider.archive.checksums import prefer_checksums
from airflow_usage_provider.archive.errors import translated_errors
from airflow_usage_provider.archive.keys import ArchiveLocation, Series
from airflow_usage_provider.archive.packing import check_compression
from airflow_usage_provider.archive.question import check_new_question
from airflow_usage_provider.archive.snapshot import Archive
from airflow_usage_provider.compat import AirflowException, AirflowFailException
from airflow_usage_provider.exceptions import ConfigurationError, FatalError, UnforeseenError, UsageProviderError
from airflow_usage_provider.hooks.base import UsageHook
from airflow_usage_provider.http.traffic import Traffic
from airflow_usage_provider.models import UsageWindow, VendorStream, check_day, load_zone, resolve_usage_date
from airflow_usage_provider.operators import lineage, log_lines
from airflow_usage_provider.operators.archiving import ArchivedDay, Archiving
from airflow_usage_provider.operators.days import MAX_DAYS_IN_FLIGHT, MAX_LOOKBACK_DAYS, Days, plan_days, whole_number
from airflow_usage_provider.operators.in_flight import call_in_flight
from airflow_usage_provider.operators.links import SnapshotLink
from airflow_usage_provider.operators.masking import mask_customer_keys
from airflow_usage_provider.operators.metrics import DayMeter
from airflow_usage_provider.operators.openlineage import Lineage

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence


class UsageSnapshotToS3Operator(BaseOperator):
    """
    Archives what a vendor answers for a day to S3: base of the vendors' operators, and of one's own.

    A subclass sets ``vendor`` and ``hook_class``, and implements :meth:`open_stream` (or has its hook do so, and a
    ``stream``). It takes its connection id under the hook's name for it, ``acme_conn_id``, and that is templated.
    A vendor that knows days of some zones only says so in ``timezones``; one that forgets overrides :meth:`oldest_day`.

    :param archive_url: where the archive is, ``s3://bucket/prefix``. (templated)
    :param aws_conn_id: Airflow connection to S3. (templated)
    :param usage_date: the day, ``YYYY-MM-DD``; default: resolved from the run. (templated)
    :param lookback_days: archive so many days before it too, as vendors revise them; those that the vendor no longer
        has are skipped. (templated)
    :param days_in_flight: so many of these days are asked for at the same time, 1 to 32.
    :param timezone: IANA name of the day's zone. (templated)
    :param compression: of the parts, ``gzip`` or ``none``.
    :param s3_extra_args: arguments of boto3's ``put_object`` for every object, such as SSE-KMS, storage class, tags.
        (templated)
    :param new_question: what becomes of an answer to another question (parameters, environment, time zone) than that of
        the day's earlier snapshot: ``refuse`` fails before the vendor is asked and says how they differ, ``accept``
        goes on with the new one.
    :param emit_events: tell of the stream's asset when the task has succeeded. False leaves that to a task behind it,
        :func:`~airflow_usage_provider.operators.lineage.tell_assets`: tasks that tell of one new asset at the same
        moment make Airflow fail one of them.
    :return: one dict a usage date, newest first: ``vendor``, ``account``, ``stream``, ``usage_date``,
        ``snapshot_id``, ``manifest_uri``, ``rows``, ``bytes`` (of the stored parts), ``empty``, ``unchanged``,
        ``revision``.
    """

    vendor: ClassVar[str]
    hook_class: ClassVar[type[UsageHook] | None] = None
    #: IANA names of the zones whose days the vendor knows; None for all.
    timezones: ClassVar[Collection[str] | None] = None

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

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        names = [cls.hook_class.conn_name_attr] if cls.hook_class else []
        if maker := vars(cls).get("__init__"):
            names += [name for name in inspect.signature(maker).parameters if name.endswith("_conn_id")]
        # Mapped over accounts, an id is filled in only where it is templated.
        cls.template_fields = tuple(dict.fromkeys([*cls.template_fields, *names]))

    def __init__(
        self,
        *,
        archive_url: str,
        aws_conn_id: str | None = "aws_default",
        usage_date: str | None = None,
        lookback_days: int = 0,
        days_in_flight: int = 4,
        timezone: str = "UTC",
        compression: str = "gzip",
        s3_extra_args: dict[str, Any] | None = None,
        new_question: str = "refuse",
        emit_events: bool = True,
        **kwargs: Any,
    ) -> None:
        hook = self.hook_class
        conn_id = kwargs.pop(hook.conn_name_attr, hook.default_conn_name) if hook else None
        outlets = kwargs.pop("outlets", None) or []
        alias = [AssetAlias(lineage.alias_name(self.vendor), group="usage")] if emit_events else []
        super().__init__(outlets=[*(outlets if isinstance(outlets, list) else [outlets]), *alias], **kwargs)
        if hook is not None:
            setattr(self, hook.conn_name_attr, conn_id)
        check_compression(compression)
        check_new_question(new_question)
        self.archive_url = archive_url
        self.aws_conn_id = aws_conn_id
        self.usage_date = usage_date
        self.lookback_days = lookback_days
        self.days_in_flight = days_in_flight
        self.timezone = timezone
        self.compression = compression
        self.s3_extra_args = s3_extra_args
        self.new_question = new_question
        self.emit_events = emit_events
        self._is_running = False
        self._lineage: Lineage | None = None

    @property
    def s3_extra_args(self) -> dict[str, Any] | None:
        """Arguments for every object; their secrets are masked as soon as they are known, given or rendered."""
        return self._s3_extra_args

    @s3_extra_args.setter
    def s3_extra_args(self, extra_args: dict[str, Any] | None) -> None:
        mask_customer_keys(extra_args)
        self._s3_extra_args = extra_args

    def get_hook(self) -> UsageHook:
        """Return the hook of the connection; by default one of ``hook_class``."""
        if self.hook_class is None:
            raise NotImplementedError(f"{type(self).__name__} has neither a hook_class nor a get_hook")
        return self.hook_class(getattr(self, self.hook_class.conn_name_attr))

    def open_stream(self, hook: Any, window: UsageWindow) -> VendorStream:
        """Return the vendor's stream for a day; nothing is asked of the vendor yet. By default the hook's."""
        stream: VendorStream = hook.open_stream(getattr(self, "stream", self.vendor), window)
        return stream

    def open_streams(self, hook: Any, windows: Sequence[UsageWindow]) -> list[VendorStream]:
        """
        Return a stream for each day, in their order: for a vendor that answers many days at once.

        Several of them may be read at the same time.
        """
        return [self.open_stream(hook, window) for window in windows]

    @classmethod
    def oldest_day(cls, today: date) -> date | None:  # noqa: ARG003 - for vendors that forget
        """Return the oldest day that the vendor still has; None if it forgets nothing."""
        return None

    @classmethod
    def plan(cls, newest: UsageWindow, lookback_days: int = 0) -> Days:
        """
        Return the days to archive: before the vendor is asked, and what the bundled DAGs ask first of all.

        :raises ConfigurationError: the day cannot be, the vendor no longer has it, or knows no days of its zone.
        """
        check_day(newest)
        if cls.timezones is not None and newest.timezone not in cls.timezones:
            raise ConfigurationError(
                f"{cls.vendor}: it knows no days of the time zone {newest.timezone!r}",
                next_step=f"Set timezone to {' or '.join(sorted(cls.timezones))}.",
            )
        today = datetime.now(UTC).astimezone(load_zone(newest.timezone)).date()
        return plan_days(newest, lookback_days, horizon=cls.oldest_day(today))

    @classmethod
    def check_stream(cls, window: UsageWindow, **stream: Any) -> None:
        """
        Refuse a stream that the vendor does not have, before a run begins.

        :param stream: arguments of the operator: ``stream``, and what else a DAG names it by.
        :raises ConfigurationError: there is none.
        """

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
        """End the task's work, so that its open uploads are aborted on the way out."""
        if self._is_running:
            raise SystemExit(f"{self.task_id} was told to stop")

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:  # noqa: ARG002 - OpenLineage's signature
        """Return what OpenLineage is told when the task has ended; of one that failed, the days it archived."""
        return self._lineage.describe() if self._lineage else None

    def _archive_days(self, context: Mapping[str, Any]) -> list[dict[str, Any]]:
        lookback_days = whole_number("lookback_days", self.lookback_days, least=0, most=MAX_LOOKBACK_DAYS)
        windows = self._windows(context, lookback_days)
        with closing(self.get_hook()) as hook:
            streams = self.open_streams(hook, windows)
            archive = self._open_archive()
            archiving = Archiving(
                archive,
                context=context,
                retries=self.retries,
                lookback_days=lookback_days,
                new_question=self.new_question,
                conn_id=getattr(hook, "conn_id", None),
                log=self.log,
            )
            for name in {stream.name for stream in streams}:
                archiving.survey(Series(self.vendor, hook.account, name), windows)
            outcomes = call_in_flight(
                partial(self._archive_day, archiving, hook),
                list(zip(windows, streams, strict=True)),
                limit=whole_number("days_in_flight", self.days_in_flight, least=1, most=MAX_DAYS_IN_FLIGHT),
                stop=archiving.stop,
            )
            days = [outcome for outcome in outcomes if isinstance(outcome, ArchivedDay)]
            self._report(context, archive, hook, days)
        failures = [
            (window, outcome)
            for window, outcome in zip(windows, outcomes, strict=True)
            if isinstance(outcome, UsageProviderError)
        ]
        if failures:
            _raise_failures(failures, len(windows))
        return [lineage.summarize(archive, day.manifest) for day in days]

    def _archive_day(
        self, archiving: Archiving, hook: UsageHook, day: tuple[UsageWindow, VendorStream]
    ) -> ArchivedDay | UsageProviderError:
        """Archive a day; what goes wrong with it, foreseen or not, is the day's own."""
        window, stream = day
        traffic = hook.connection.traffic if isinstance(hook, UsageHook) else Traffic()  # one's own may be another kind
        with traffic.counted_apart() as share:
            meter = DayMeter(Series(self.vendor, hook.account, stream.name), share)
            try:
                return archiving.archive_day(meter, stream, window)
            except UsageProviderError as error:
                failure = error
            except Exception as error:  # noqa: BLE001 - the other days go on
                failure = UnforeseenError.of(error)
            self.log.error(log_lines.describe_failure(meter, window, failure))
            meter.report()
            return failure

    def _report(self, context: Mapping[str, Any], archive: Archive, hook: UsageHook, days: list[ArchivedDay]) -> None:
        """Tell what was archived; Airflow passes the asset's event on if the task succeeds."""
        if not days:
            return
        series = Series(self.vendor, hook.account, days[0].manifest.stream)
        base_url = hook.connection.base_url if isinstance(hook, UsageHook) else ""
        self._lineage = Lineage.of(series, base_url, archive.location, [day.manifest for day in days])
        lineage.report(self, context, lineage.describe_event(archive, days))

    def _windows(self, context: Mapping[str, Any], lookback_days: int) -> list[UsageWindow]:
        day = self.usage_date or resolve_usage_date(context, self.timezone)
        days = self.plan(UsageWindow.parse(day, self.timezone), lookback_days)
        if days.skipped:
            self.log.warning(
                "%d days of the look-back are skipped: the vendor has nothing older than %s", days.skipped, days.oldest
            )
        return days.windows

    def _open_archive(self) -> Archive:
        from airflow.providers.amazon.aws.hooks.s3 import S3Hook

        location = ArchiveLocation.parse(self.archive_url)
        with translated_errors(location.bucket):  # a role is assumed here already
            client = S3Hook(aws_conn_id=self.aws_conn_id).get_conn()
        prefer_checksums(client)
        return Archive(
            client=client, location=location, compression=self.compression, extra_args=self.s3_extra_args or {}
        )


def _raise_failures(failures: list[tuple[UsageWindow, UsageProviderError]], days: int) -> None:
    if days == 1:
        raise failures[0][1]
    told = " ".join(f"{window.usage_date}: {error}" for window, error in failures)
    others = "" if len(failures) == days else ", the others were"
    message = f"{len(failures)} of {days} days were not archived{others}. {told}"
    kind = AirflowFailException if all(isinstance(error, FatalError) for _, error in failures) else AirflowException
    raise kind(message)
