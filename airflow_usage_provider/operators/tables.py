"""The operator that builds tables: an Airflow shell over ``tables``, quiet when nothing changed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.sdk import Asset, AssetAlias, BaseOperator

from airflow_usage_provider.archive.catalog import Selection, find_series
from airflow_usage_provider.archive.checksums import prefer_checksums
from airflow_usage_provider.archive.keys import ArchiveLocation
from airflow_usage_provider.archive.objects import S3Objects
from airflow_usage_provider.compat import AirflowException, AirflowFailException, BaseHook
from airflow_usage_provider.configuration import read_option, read_tables_url
from airflow_usage_provider.exceptions import FatalError
from airflow_usage_provider.operators import lineage
from airflow_usage_provider.tables.iceberg import load_iceberg, update_iceberg
from airflow_usage_provider.tables.layout import Month
from airflow_usage_provider.tables.target_s3 import S3Target
from airflow_usage_provider.tables.update import update_tables

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import date

    from airflow_usage_provider.archive.keys import Series
    from airflow_usage_provider.tables.layout import Piece
    from airflow_usage_provider.tables.update import Outcome

ALIAS = "usage_tables"


class UsageTablesOperator(BaseOperator):
    """
    Brings the Parquet tables up to date with the archive: of every month that lags behind, or of those named.

    Needs pyarrow (``airflow-usage-provider[tables]``). One month that cannot be built stops no other; the task fails at
    the end and says which. An event of the asset ``usage_tables/<vendor>_<stream>`` is emitted for each table whose
    rows changed, under the alias ``usage_tables``.

    :param archive_url: where the archive is, ``s3://bucket/prefix``. (templated)
    :param tables_url: where tables go; default: ``tables`` below the archive. (templated)
    :param aws_conn_id: Airflow connection to S3. (templated)
    :param vendor: only this vendor. (templated)
    :param account: only this account. (templated)
    :param stream: only this stream. (templated)
    :param months: only these months, each ``YYYY-MM``; default: all. (templated)
    :param s3_extra_args: arguments of boto3's ``put_object`` for every object, such as SSE-KMS, storage class, tags.
        (templated)
    :param iceberg_catalog: name of a pyiceberg catalog to commit the current rows to as well; its properties come from
        ``iceberg_conn_id``, else from pyiceberg's own configuration. (templated)
    :param iceberg_conn_id: Airflow connection with the catalog's properties: ``host`` is its ``uri``, login and
        password are its ``credential``, the extra holds all others. (templated)
    :param iceberg_namespace: of the Iceberg tables. (templated)
    :param emit_events: emit the events; else they are left in the XCom ``asset_event`` for another task to emit.
    :return: one dict for each month that was built: ``table``, ``account``, ``month``, ``written`` (which of
        ``current``, ``history``, ``snapshots``), ``changed``, ``unreadable`` and ``rounded`` (values by column).
    """

    template_fields: Sequence[str] = (
        "archive_url",
        "tables_url",
        "aws_conn_id",
        "vendor",
        "account",
        "stream",
        "months",
        "s3_extra_args",
        "iceberg_catalog",
        "iceberg_conn_id",
        "iceberg_namespace",
    )
    ui_color = "#e4e8f0"

    def __init__(
        self,
        *,
        archive_url: str,
        tables_url: str | None = None,
        aws_conn_id: str | None = "aws_default",
        vendor: str | None = None,
        account: str | None = None,
        stream: str | None = None,
        months: Sequence[str] | str | None = None,
        s3_extra_args: dict[str, Any] | None = None,
        iceberg_catalog: str | None = None,
        iceberg_conn_id: str | None = None,
        iceberg_namespace: str = "usage",
        emit_events: bool = True,
        **kwargs: Any,
    ) -> None:
        outlets = kwargs.pop("outlets", None) or []
        alias = [AssetAlias(ALIAS, group="usage")] if emit_events else []
        super().__init__(outlets=[*(outlets if isinstance(outlets, list) else [outlets]), *alias], **kwargs)
        self.archive_url = archive_url
        self.tables_url = tables_url
        self.aws_conn_id = aws_conn_id
        self.vendor = vendor
        self.account = account
        self.stream = stream
        self.months = months
        self.s3_extra_args = s3_extra_args
        self.iceberg_catalog = iceberg_catalog
        self.iceberg_conn_id = iceberg_conn_id
        self.iceberg_namespace = iceberg_namespace
        self.emit_events = emit_events

    def execute(self, context: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Build what lags behind."""
        try:
            outcomes = self._build()
        except FatalError as error:
            raise AirflowFailException(str(error)) from None
        self._tell(context, [outcome for outcome in outcomes if outcome.is_changed])
        if failures := [outcome for outcome in outcomes if outcome.error]:
            _raise_failures(failures, len(outcomes))
        return [_summarize(outcome) for outcome in outcomes if outcome.written]

    def _build(self) -> list[Outcome]:
        from airflow.providers.amazon.aws.hooks.s3 import S3Hook

        archive = ArchiveLocation.parse(self.archive_url)
        place = ArchiveLocation.parse(self.tables_url or f"{self.archive_url.rstrip('/')}/tables")
        client = S3Hook(aws_conn_id=self.aws_conn_id).get_conn()
        prefer_checksums(client)
        payer = {name: value for name, value in (self.s3_extra_args or {}).items() if name == "RequestPayer"}
        objects, target = S3Objects(client, archive, payer), S3Target(client, place, self.s3_extra_args or {})
        outcomes = []
        for selection in self._selections():
            for outcome in self._update(objects, target, selection):
                self._log(outcome)
                outcomes.append(outcome)
        built = sum(bool(outcome.written) for outcome in outcomes)
        self.log.info("%d of %d months built below %s", built, len(outcomes), target.uri("").rstrip("/"))
        return outcomes

    def _update(self, objects: S3Objects, target: S3Target, selection: Selection) -> Iterator[Outcome]:
        def begin(piece: Piece) -> None:
            self.log.info("Building %s", piece)

        yield from update_tables(objects, target, selection, begin=begin)
        if self.iceberg_catalog or self.iceberg_conn_id:
            catalog = load_iceberg(self.iceberg_catalog or "default", self._read_catalog_properties())
            yield from update_iceberg(objects, catalog, self.iceberg_namespace, selection)

    def _read_catalog_properties(self) -> dict[str, str]:
        if not self.iceberg_conn_id:
            return {}
        connection = BaseHook.get_connection(self.iceberg_conn_id)
        credential = ":".join(filter(None, [connection.login, connection.password]))
        own = {"uri": connection.host, "credential": credential}
        properties = {name: str(value) for name, value in own.items() if value}
        return {**properties, **{name: str(value) for name, value in connection.extra_dejson.items()}}

    def _selections(self) -> list[Selection]:
        series = {"vendor": self.vendor, "account": self.account, "stream": self.stream}
        given = self.months.split(",") if isinstance(self.months, str) else self.months or []
        months = sorted({Month.parse(text.strip()) for text in given if text.strip()})
        spans: list[tuple[date | None, date | None]] = [(month.first, month.last) for month in months]
        return [Selection(**series, since=since, until=until) for since, until in spans or [(None, None)]]

    def _log(self, outcome: Outcome) -> None:
        if outcome.error:
            self.log.error("%s was not built. %s", outcome.piece, outcome.error)
            return
        for column, values in outcome.count("unreadable").items():
            self.log.warning(
                "%s: %d values of %s cannot be read as the schema says; null there, the text is in other_columns",
                outcome.piece,
                values,
                column,
            )
        for column, values in outcome.count("rounded").items():
            self.log.warning("%s: %d values of %s rounded at the 18th decimal", outcome.piece, values, column)

    def _tell(self, context: Mapping[str, Any], changed: Sequence[Outcome]) -> None:
        """Emit an event for each table that changed, or leave them to another task; none when nothing did."""
        place = (self.tables_url or f"{self.archive_url.rstrip('/')}/tables").rstrip("/")
        months: dict[str, set[str]] = {}
        for outcome in changed:
            months.setdefault(quote(outcome.piece.table, safe=""), set()).add(str(outcome.piece.month))
        told = [
            {
                "name": f"{ALIAS}/{table}",
                "uri": f"{place}/current/{table}",
                "extra": {"table": table, "months": json.dumps(sorted(own))},  # Airflow 3.0 takes no lists here
            }
            for table, own in sorted(months.items())
        ]
        if self.emit_events:
            _emit(context, told)
        elif told:
            context["ti"].xcom_push(lineage.EVENT_KEY, told)


def tell_tables(context: Mapping[str, Any], task_id: str) -> list[str]:
    """Emit what tasks left to this one, whose outlet is the alias; return the assets' names."""
    left = context["ti"].xcom_pull(task_ids=[task_id], key=lineage.EVENT_KEY) or []
    told = [event for events in left for event in events or []]
    _emit(context, told)
    return [event["name"] for event in told]


def plan_tables(context: Mapping[str, Any]) -> list[dict[str, Any]]:
    """
    Return the arguments of a run's tasks, one a stream.

    They are of the months that the triggering events name; in a run by hand or by the clock, of every month.

    :raises ConfigurationError: the configuration cannot be, or there is no archive.
    """
    archive_url, aws_conn_id = read_option("archive_url"), read_option("aws_conn_id")
    common = {"archive_url": archive_url, "tables_url": read_tables_url(), "aws_conn_id": aws_conn_id}
    months = (context.get("params") or {}).get("months")
    named: dict[tuple[str, str], set[str]] = {}
    if not months:
        for event in (event for events in _triggers(context) for event in events):
            for day in json.loads((event.extra or {}).get("snapshots", "[]")):
                named.setdefault((day["vendor"], day["stream"]), set()).add(str(day["usage_date"])[:7])
    if not named:
        series = _list_series(archive_url, aws_conn_id)
        return [
            {**common, "vendor": vendor, "stream": stream, "months": months}
            for vendor, stream in sorted({(each.vendor, each.stream) for each in series})
        ]
    return [
        {**common, "vendor": vendor, "stream": stream, "months": sorted(own)}
        for (vendor, stream), own in sorted(named.items())
    ]


def _triggers(context: Mapping[str, Any]) -> list[Any]:
    """Return the events that the run was triggered by, by asset; none of a run by hand or by the clock."""
    events = context.get("triggering_asset_events") or {}
    return [events[asset] for asset in events]


def _list_series(archive_url: str, aws_conn_id: str) -> Sequence[Series]:
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

    objects = S3Objects(S3Hook(aws_conn_id=aws_conn_id).get_conn(), ArchiveLocation.parse(archive_url))
    return find_series(objects, Selection(), 8)[0]


def _emit(context: Mapping[str, Any], told: Sequence[Mapping[str, Any]]) -> None:
    if (events := context.get("outlet_events")) is None:
        return
    for event in told:
        asset = Asset(name=event["name"], uri=event["uri"], group="usage")
        events[AssetAlias(ALIAS, group="usage")].add(asset, extra=event["extra"])


def _summarize(outcome: Outcome) -> dict[str, Any]:
    return {
        "table": outcome.piece.table,
        "account": outcome.piece.series.account,
        "month": str(outcome.piece.month),
        "written": list(outcome.written),
        "changed": outcome.is_changed,
        "unreadable": dict(outcome.count("unreadable")),
        "rounded": dict(outcome.count("rounded")),
    }


def _raise_failures(failures: Sequence[Outcome], months: int) -> None:
    told = " ".join(f"{outcome.piece}: {outcome.error}" for outcome in failures)
    kind = AirflowFailException if all(isinstance(each.error, FatalError) for each in failures) else AirflowException
    raise kind(f"{len(failures)} of {months} months were not built. {told}")
