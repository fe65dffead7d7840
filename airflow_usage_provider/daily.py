"""The bundled DAGs' pattern, for any operator of ours: every day, every stream of every account, told of once.

``plan`` reads the configuration, ``wait_until_settled`` lets the day rest, one group a stream archives it for every
account, and ``tell`` emits the events of what was archived, also after failures. A run is judged by its last task:
``complete`` succeeds only if everything before it did. Nothing is asked of anybody while the DAG is parsed.
"""

from __future__ import annotations

import inspect
import math
import re
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, AssetAlias, Param, task, task_group
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_usage_provider.compat import AirflowFailException
from airflow_usage_provider.configuration import Options, plan_settled_at, plan_window, split_list
from airflow_usage_provider.exceptions import ConfigurationError, FatalError
from airflow_usage_provider.operators.lineage import alias_name, tell_assets

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow.sdk import BaseSensorOperator, XComArg

    from airflow_usage_provider.models import UsageWindow
    from airflow_usage_provider.operators.snapshot import UsageSnapshotToS3Operator

_DAYS_IN_FLIGHT = 4  # as the operator's default
_SHORT = timedelta(minutes=30)  # for tasks that only speak to Airflow
_REQUESTS_A_DAY = 600  # more than a listing of 250,000 users takes, read twice
_GROUP = re.compile(r"[A-Za-z0-9_-]{1,100}", re.ASCII)


def daily_dag(
    dag_id: str,
    operator: type[UsageSnapshotToS3Operator],
    *,
    section: str,
    streams: Iterable[str] = (),
    sensor: type[BaseSensorOperator] | None = None,
    sensor_arguments: Mapping[str, Any] | None = None,
    task_id: str = "archive",
    execution_timeout: timedelta | None = None,
    description: str | None = None,
    doc_md: str | None = None,
    tags: Iterable[str] = (),
    start_date: datetime = datetime(2024, 1, 1, tzinfo=UTC),
    **operator_arguments: Any,
) -> DAG:
    """
    Build a DAG that archives the day before, and those before it again, of every configured account.

    Put what it returns into a variable of the DAG file, where Airflow finds it.

    :param operator: archives one stream of one account.
    :param section: of ``airflow.cfg``: its ``conn_ids`` (default: the hook's default id), ``streams`` and ``pool``, and
        where they are not to be those of ``[usage_provider]``: ``archive_url``, ``aws_conn_id``, ``timezone``,
        ``lookback_days``, ``settle_hours``, ``s3_extra_args``.
    :param streams: what is archived where the section names none, each ``stream`` or ``stream:group_by``; nothing, if
        the operator has no ``stream``.
    :param sensor: waits before an archiving task, with its connection, stream and day.
    :param sensor_arguments: its other arguments.
    :param task_id: of the archiving tasks, below their group.
    :param execution_timeout: of one archiving task; default: :func:`longest_task` of the look-back and the hook's rate.
    :param description: one line, in the list of DAGs.
    :param doc_md: the page that Airflow shows.
    :param tags: beside ``usage`` and the vendor.
    :param start_date: no day before it is archived without being asked for.
    :param operator_arguments: other arguments of the operator.
    """
    options = Options(section, operator.vendor)
    entries = split_list(options.find("streams")) or list(streams)
    pool = options.find("pool") or "default_pool"
    timeout = execution_timeout or longest_task(*_read_shape(options, operator, operator_arguments))
    with DAG(
        dag_id=dag_id,
        description=description,
        doc_md=doc_md,
        schedule=CronDataIntervalTimetable("0 0 * * *", timezone="UTC"),
        start_date=start_date,
        catchup=False,
        max_active_runs=3,
        is_paused_upon_creation=True,
        default_args={
            "owner": "airflow-usage-provider",
            "retries": 3,
            "retry_delay": timedelta(minutes=5),
            "weight_rule": "upstream",  # what is ready is archived before others are asked about
        },
        params={
            "usage_date": Param(
                None,
                type=["null", "string"],
                format="date",
                description="The day to archive. Left empty: the day before the run's date.",
            )
        },
        tags=["usage", operator.vendor, *tags],
    ) as dag:
        accounts, settled = _plan(operator, options, list(streams))
        archives = []
        for group_id, stream in name_groups(entries, operator).items():
            make_archive = partial(
                operator,
                task_id=task_id,
                emit_events=False,
                execution_timeout=timeout,
                pool=pool,
                **stream,
                **operator_arguments,
            )
            waits = {"task_id": "wait", "pool": pool, **stream, **(sensor_arguments or {})}
            make_sensor = partial(sensor, **waits) if sensor else None
            archives.append(_archive_accounts(group_id, accounts, settled, make_archive, make_sensor))
        _tell(operator.vendor, archives)
    return dag


def _plan(
    operator: type[UsageSnapshotToS3Operator], options: Options, default_streams: list[str]
) -> tuple[XComArg, BaseSensorOperator]:
    """Read the configuration, which is refused here if it is wrong, and wait until the day has settled."""
    from airflow.providers.standard.sensors.date_time import DateTimeSensor

    @task(execution_timeout=_SHORT)
    def plan(**context: Any) -> list[dict[str, Any]]:
        """Read the configuration: which accounts, which day, and when that day has settled."""
        try:
            window = plan_window(context, options)
            settled_at = plan_settled_at(window, options)
            planned = plan_accounts(operator, options, window, default_streams=default_streams)
        except FatalError as error:
            raise AirflowFailException(str(error)) from None
        context["ti"].xcom_push("settled_at", settled_at.isoformat())
        return planned

    accounts = plan()
    wait_until_settled = DateTimeSensor(  # not the async one: it defers even for a moment that is past, and a trigger
        task_id="wait_until_settled",  # that fires before the scheduler has seen its task defer makes that task fail
        mode="reschedule",
        poke_interval=600,
        target_time="{{ ti.xcom_pull(task_ids='plan', key='settled_at') }}",
    )
    accounts >> wait_until_settled
    return accounts, wait_until_settled


def _archive_accounts(
    group_id: str,
    accounts: XComArg,
    settled: BaseSensorOperator,
    make_archive: partial[UsageSnapshotToS3Operator],
    make_sensor: partial[BaseSensorOperator] | None,
) -> UsageSnapshotToS3Operator:
    """Make the group of a stream, mapped over accounts; return its last task."""
    made = []
    conn_name, _ = _find_conn_id(make_archive.func) or (None, "")

    @task_group(group_id=group_id)
    def archive_account(
        archive_url: str,
        aws_conn_id: str,
        usage_date: str,
        timezone: str,
        lookback_days: int,
        s3_extra_args: dict[str, Any],
        conn_id: str,
    ) -> None:
        day: dict[str, Any] = {"usage_date": usage_date, "timezone": timezone}
        if conn_name:  # Airflow 3.0 renders the task of ``ti``, and not ``task`` itself
            day |= {conn_name: conn_id, "map_index_template": f"{{{{ ti.task.{conn_name} }}}}"}
        archive = make_archive(
            archive_url=archive_url,
            aws_conn_id=aws_conn_id,
            lookback_days=lookback_days,
            s3_extra_args=make_archive.keywords.get("s3_extra_args", s3_extra_args),
            **day,
        )
        if make_sensor:
            make_sensor(**day) >> archive
        made.append(archive)

    settled >> archive_account.expand_kwargs(accounts)
    return made[0]


def _tell(vendor: str, archives: list[UsageSnapshotToS3Operator]) -> None:
    """Emit the run's events in one task, and judge the run in another, which fails if anything did."""
    from airflow.providers.standard.operators.empty import EmptyOperator

    @task(
        trigger_rule="all_done",
        execution_timeout=_SHORT,
        max_active_tis_per_dag=1,  # two at once that tell of the same new asset: Airflow fails one of them
        outlets=[AssetAlias(alias_name(vendor), group="usage")],
    )
    def tell(**context: Any) -> int:
        """Tell Airflow of every stream's asset that something was archived of, also in a run that fails."""
        return len(tell_assets(context, [archive.task_id for archive in archives]))

    complete = EmptyOperator(task_id="complete")
    archives >> tell() >> complete
    archives >> complete


def plan_accounts(
    operator: type[UsageSnapshotToS3Operator],
    options: Options,
    window: UsageWindow,
    *,
    default_streams: list[str],
) -> list[dict[str, Any]]:
    """
    Return the arguments of each account's tasks, which are the same for every stream.

    :raises ConfigurationError: an option, the day or a stream cannot be.
    """
    operator.plan(window)
    for entry in split_list(options.find("streams")) or default_streams:
        stream = read_stream(entry)
        if unknown := [name for name in stream if not _takes(operator, name)]:
            raise ConfigurationError(
                f"{options.describe('streams')} names {entry!r}, but {operator.__name__} has no {unknown[0]}",
                next_step="Leave it out.",
            )
        operator.check_stream(window, **stream)
    common = {
        "archive_url": options.read("archive_url"),
        "aws_conn_id": options.read("aws_conn_id"),
        "usage_date": window.usage_date.isoformat(),
        "timezone": window.timezone,
        "lookback_days": options.read_count("lookback_days"),
        "s3_extra_args": options.read_s3_extra_args(),
    }
    _, default = _find_conn_id(operator) or ("", f"{operator.vendor}_default")
    return [{**common, "conn_id": conn_id} for conn_id in options.read_list("conn_ids", default)]


def read_stream(entry: str) -> dict[str, Any]:
    """Return the arguments that ``stream`` or ``stream:group_by`` stands for."""
    stream, _, group_by = (part.strip() for part in entry.partition(":"))
    return {"stream": stream} | ({"group_by": group_by} if group_by else {})


def name_groups(entries: Iterable[str], operator: type[UsageSnapshotToS3Operator]) -> dict[str, dict[str, Any]]:
    """
    Return the arguments of each stream by the name of its group; of a vendor without streams, of one group.

    What cannot be a name or an argument is left out: the DAG must be there, so that ``plan`` can say what is wrong.
    """
    groups: dict[str, dict[str, Any]] = {}
    for stream in map(read_stream, entries):
        name = "_by_".join(stream.values())
        if _GROUP.fullmatch(name) and all(_takes(operator, argument) for argument in stream):
            groups.setdefault(name, stream)
    return groups or {operator.vendor: {}}


def longest_task(lookback_days: int, days_in_flight: int, requests_per_minute: int) -> timedelta:
    """
    Return how long one archiving task may take.

    An hour for every ``days_in_flight`` days, as long as one download may take, an hour for whatever else, and what 600
    requests a day take under the connection's rate.
    """
    days = lookback_days + 1
    hours = 1 + math.ceil(days / days_in_flight)
    minutes = days * _REQUESTS_A_DAY / requests_per_minute if requests_per_minute else 0
    return timedelta(hours=hours, minutes=math.ceil(minutes))


def _read_shape(
    options: Options, operator: type[UsageSnapshotToS3Operator], arguments: Mapping[str, Any]
) -> tuple[int, int, int]:
    """Return look-back, days in flight and rate, as far as they can be: what cannot be, ``plan`` refuses."""
    lookback = options.find("lookback_days")
    rate = operator.hook_class.default_requests_per_minute if operator.hook_class else 0
    return (
        min(int(lookback), 400) if lookback.isdecimal() and lookback.isascii() else 7,
        max(1, int(arguments.get("days_in_flight", _DAYS_IN_FLIGHT))),
        rate,
    )


def _find_conn_id(operator: Any) -> tuple[str, str] | None:
    """Return the operator's parameter for the connection id, and its default; None if it has none."""
    if operator.hook_class is not None:
        return operator.hook_class.conn_name_attr, operator.hook_class.default_conn_name
    found = {
        name: str(parameter.default)
        for name, parameter in _parameters(operator).items()
        if name.endswith("_conn_id") and name != "aws_conn_id"
    }
    own = f"{operator.vendor}_conn_id"
    return next(iter({**({own: found[own]} if own in found else {}), **found}.items()), None)


def _takes(operator: type[UsageSnapshotToS3Operator], argument: str) -> bool:
    return argument in _parameters(operator)


def _parameters(operator: type[UsageSnapshotToS3Operator]) -> dict[str, inspect.Parameter]:
    """Return what the operator can be given by name, its bases' included."""
    makers = [maker for kind in operator.__mro__[:-1] if (maker := vars(kind).get("__init__"))]
    return {
        name: parameter for maker in reversed(makers) for name, parameter in inspect.signature(maker).parameters.items()
    }
