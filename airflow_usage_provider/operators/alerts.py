"""Checks of money as tasks: budgets and days unlike others. A task that finds something fails, or only notifies."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_usage_provider.archive.keys import ArchiveLocation
from airflow_usage_provider.archive.objects import S3Objects
from airflow_usage_provider.compat import AirflowFailException, Stats
from airflow_usage_provider.exceptions import ConfigurationError, FatalError
from airflow_usage_provider.models import parse_usage_date
from airflow_usage_provider.operators.metrics import clean_tag
from airflow_usage_provider.schema import parse_value
from airflow_usage_provider.tables.alerts import find_spending, read_day_costs
from airflow_usage_provider.tables.layout import Month
from airflow_usage_provider.tables.owners import Owners, parse_owners
from airflow_usage_provider.tables.shelf import S3Shelf

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from decimal import Decimal

    Notify = Callable[[Any], Any]


class UsageBudgetOperator(BaseOperator):
    """
    Holds what was spent in a month so far against budgets.

    Fails when one is passed, so that ``on_failure_callback`` tells of it; calls ``warn`` when one is nearly spent.

    :param archive_url: where the archive is, ``s3://bucket/prefix``. (templated)
    :param by: ``owner``, ``principal`` or ``account`` (``vendor/account``).
    :param budgets: monthly limit by name, as decimal strings: ``{"Platform": "1000"}``. (templated)
    :param currency: of the limits; money in another is not looked at.
    :param warn_at: share of a limit that is worth a warning.
    :param warn: Airflow notifiers, called with the context; the findings are in the XCom ``findings``.
    :param month: ``YYYY-MM``; default: the month of the day before the run. (templated)
    :param owners_url: the owners file, if ``by`` is ``owner``. (templated)
    :param aws_conn_id: Airflow connection to S3. (templated)
    :return: a sentence for each budget that is passed or nearly spent.
    """

    template_fields: Sequence[str] = ("archive_url", "budgets", "month", "owners_url", "aws_conn_id")

    def __init__(
        self,
        *,
        archive_url: str,
        by: str,
        budgets: Mapping[str, str],
        currency: str = "USD",
        warn_at: str = "0.8",
        warn: Sequence[Notify] = (),
        month: str | None = None,
        owners_url: str | None = None,
        aws_conn_id: str | None = "aws_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.archive_url = archive_url
        self.by = by
        self.budgets = budgets
        self.currency = currency
        self.warn_at = warn_at
        self.warn = warn
        self.month = month
        self.owners_url = owners_url
        self.aws_conn_id = aws_conn_id

    def execute(self, context: Any) -> list[str]:
        """Add up the month, and tell."""
        try:
            objects = _open(self.archive_url, self.aws_conn_id)
            found = find_spending(
                objects,
                Month.parse(self.month) if self.month else Month.of(_yesterday(context)),
                by=self.by,
                budgets={name: _amount(limit) for name, limit in self.budgets.items()},
                currency=self.currency,
                warn_at=_amount(self.warn_at),
                owners=read_owners(objects, self.owners_url) if self.owners_url else Owners(),
            )
        except FatalError as error:
            raise AirflowFailException(str(error)) from None
        over = [str(each) for each in found if each.is_over]
        return _tell(self, context, over, [str(each) for each in found])


class UsageSpikeOperator(BaseOperator):
    """
    Holds what a day cost against the same weekday of the weeks before, and sends the gauge of its cost.

    A spike is a cost above their median by more than ``factor`` deviations, by their median absolute deviation.

    :param archive_url: where the archive is, ``s3://bucket/prefix``. (templated)
    :param usage_date: ``YYYY-MM-DD``; default: the day before the run. (templated)
    :param weeks: how many weeks to look back; with fewer than four such days, nothing is a spike.
    :param factor: how many deviations are a spike.
    :param least: an amount above the median that is never one.
    :param fail: fail on a spike, so that ``on_failure_callback`` tells of it; else only ``warn`` is called.
    :param warn: Airflow notifiers, called with the context; the findings are in the XCom ``findings``.
    :param aws_conn_id: Airflow connection to S3. (templated)
    :return: a sentence for each spike.
    """

    template_fields: Sequence[str] = ("archive_url", "usage_date", "aws_conn_id")

    def __init__(
        self,
        *,
        archive_url: str,
        usage_date: str | None = None,
        weeks: int = 8,
        factor: str = "5",
        least: str = "1",
        fail: bool = True,
        warn: Sequence[Notify] = (),
        aws_conn_id: str | None = "aws_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.archive_url = archive_url
        self.usage_date = usage_date
        self.weeks = weeks
        self.factor = factor
        self.least = least
        self.fail = fail
        self.warn = warn
        self.aws_conn_id = aws_conn_id

    def execute(self, context: Any) -> list[str]:
        """Measure the day, and tell."""
        try:
            day = parse_usage_date(self.usage_date) if self.usage_date else _yesterday(context)
            factor, least = _amount(self.factor), _amount(self.least)
            costs = read_day_costs(_open(self.archive_url, self.aws_conn_id), day, self.weeks)
        except FatalError as error:
            raise AirflowFailException(str(error)) from None
        for each in costs:
            tags = {"vendor": each.vendor, "account": each.account, "stream": each.stream, "currency": each.currency}
            cleaned = {name: clean_tag(value) for name, value in tags.items()}
            Stats.gauge("usage_provider.archive.cost", float(each.cost), tags=cleaned)
        spikes = [str(each) for each in costs if each.is_spike(factor, least)]
        return _tell(self, context, spikes if self.fail else [], spikes)


def _tell(operator: Any, context: Any, fatal: Sequence[str], found: list[str]) -> list[str]:
    for sentence in found:
        operator.log.warning("%s", sentence)
    if found:
        context["ti"].xcom_push("findings", found)
        for notify in operator.warn:
            notify(context)
    if fatal:
        raise AirflowFailException("; ".join(fatal))
    return found


def _open(archive_url: str, aws_conn_id: str | None) -> S3Objects:
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

    return S3Objects(S3Hook(aws_conn_id=aws_conn_id).get_conn(), ArchiveLocation.parse(archive_url))


def read_owners(objects: S3Objects, url: str) -> Owners:
    """
    Read the owners file, with the client that reads the archive.

    :raises ConfigurationError: it is not there, or cannot be read.
    """
    folder, _, name = url.rpartition("/")
    body = S3Shelf(objects.client, ArchiveLocation.parse(folder)).read(name)
    if body is None:
        raise ConfigurationError(f"There is no file {url}", next_step="Put one there, or leave owners_url out.")
    return parse_owners(body)


def _yesterday(context: Any) -> date:
    run = context.get("dag_run")
    at: datetime = getattr(run, "logical_date", None) or datetime.now(UTC)
    return at.date() - timedelta(days=1)


def _amount(text: str) -> Decimal:
    try:
        amount: Decimal | None = parse_value("money", text)
    except ValueError:
        amount = None
    if amount is None or amount < 0:
        raise ConfigurationError(f"{text!r} is no amount", next_step='Give a decimal as a string, such as "1000".')
    return amount
