"""Waits until a Langdock export can be downloaded. Nothing of the signed URL is returned or stored."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.configuration import conf
from airflow.sdk import BaseSensorOperator

from airflow_usage_provider.compat import AirflowFailException, AirflowSensorTimeout, AirflowSkipException
from airflow_usage_provider.exceptions import FatalError
from airflow_usage_provider.hooks.langdock import LangdockHook
from airflow_usage_provider.models import resolve_usage_date
from airflow_usage_provider.triggers.langdock import LangdockExportTrigger
from airflow_usage_provider.triggers.polling import poll_export

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Context

_ON_EMPTY = ("ready", "wait")
_BACKSTOP = timedelta(minutes=5)


class LangdockExportSensor(BaseSensorOperator):
    """
    Waits until an export is answered and its signed URL serves; the task that downloads asks for its own.

    A refused key and a wrong setting fail at once; everything passing keeps waiting until the timeout.

    :param stream: ``api_keys``, ``users``, ``agents``, ``projects``, ``models`` or ``workflows``. (templated)
    :param langdock_conn_id: Airflow connection to the vendor. (templated)
    :param usage_date: the day, ``YYYY-MM-DD``; default: resolved from the run. (templated)
    :param group_by: ``model`` (api_keys, users, agents), ``source`` or ``deployment`` (models). (templated)
    :param timezone: IANA name of the day's zone. (templated)
    :param on_empty: what a period without data counts as: ``ready`` or ``wait``.
    :param deferrable: wait in the triggerer after one probe; default: Airflow's ``[operators] default_deferrable``.
    """

    template_fields: Sequence[str] = ("langdock_conn_id", "stream", "usage_date", "group_by", "timezone")
    ui_color = "#e4ecf0"

    def __init__(
        self,
        *,
        stream: str = "api_keys",
        langdock_conn_id: str = LangdockHook.default_conn_name,
        usage_date: str | None = None,
        group_by: str | None = None,
        timezone: str = "UTC",
        on_empty: str = "ready",
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if on_empty not in _ON_EMPTY:
            raise ValueError(f"on_empty is {on_empty!r}. Give ready or wait.")
        self.stream = stream
        self.langdock_conn_id = langdock_conn_id
        self.usage_date = usage_date
        self.group_by = group_by
        self.timezone = timezone
        self.on_empty = on_empty
        self.deferrable = deferrable

    def execute(self, context: Context) -> None:
        """Probe once and defer, or poke."""
        if not self.deferrable:
            super().execute(context)
            return
        if self._probe(context):
            return
        deadline = datetime.now(UTC) + timedelta(seconds=self.timeout)
        trigger = LangdockExportTrigger(
            langdock_conn_id=self.langdock_conn_id,
            stream=self.stream,
            usage_date=self._usage_date(context),
            deadline=deadline.isoformat(),
            group_by=self.group_by,
            timezone=self.timezone,
            on_empty=self.on_empty,
            poll_interval=self.poke_interval,
        )
        self.defer(
            trigger=trigger,
            method_name="execute_complete",
            timeout=timedelta(seconds=self.timeout) + _BACKSTOP,  # the trigger's own deadline comes first
        )

    def _probe(self, context: Context) -> bool:
        """Poke as the base class does: ``soft_fail`` and ``never_fail`` turn a failure into a skip."""
        try:
            return self.poke(context)
        except AirflowFailException as error:
            if self.soft_fail or self.never_fail:
                raise AirflowSkipException(str(error)) from None
            raise

    def poke(self, context: Context) -> bool:
        """Ask once whether the export can be downloaded."""
        try:
            with closing(LangdockHook(self.langdock_conn_id)) as hook:
                poll = poll_export(
                    hook,
                    stream=self.stream,
                    usage_date=self._usage_date(context),
                    group_by=self.group_by,
                    timezone=self.timezone,
                    on_empty=self.on_empty,
                )
        except FatalError as error:
            raise AirflowFailException(str(error)) from None
        self.log.info(poll.message)
        return poll.is_ready

    def execute_complete(self, context: Context, event: Mapping[str, str] | None = None) -> None:  # noqa: ARG002
        """
        Take the trigger's event.

        :raises AirflowFailException: waiting cannot help.
        :raises AirflowSensorTimeout: the export was not ready in time.
        """
        status, message = (event or {}).get("status"), (event or {}).get("message", "")
        if status == "timeout":
            raise AirflowSensorTimeout(f"The export was not ready within {self.timeout:.0f} s. {message}")
        if status != "ready":
            raise AirflowFailException(message or "The trigger ended without an event.")
        self.log.info(message)

    def _usage_date(self, context: Context) -> str:
        return self.usage_date or resolve_usage_date(context, self.timezone).isoformat()
