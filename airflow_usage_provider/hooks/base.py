"""A connection of Airflow becomes a vendor's API: the base of the hooks, and of those of one's own."""

from __future__ import annotations

from contextlib import closing
from functools import cached_property
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_usage_provider.compat import AirflowNotFoundException, BaseHook
from airflow_usage_provider.exceptions import ConfigurationError, ConnectionLookupError, UsageProviderError
from airflow_usage_provider.hooks.settings import Settings
from airflow_usage_provider.http.connection import VendorConnection
from airflow_usage_provider.models import FileFormat, UsageWindow
from airflow_usage_provider.provider_info import connection_type, count, flag, number, text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import date

    import pandas as pd

    from airflow_usage_provider.models import VendorStream

_SECONDS = ("timeout", "connect_timeout", "download_timeout")
_SWITCHES = ("allow_http", "allow_insecure_download", "allow_private_download")
_EXTRAS = {*_SECONDS, *_SWITCHES, "account", "environment", "requests_per_minute", "ca_bundle"}
_FIELDS: Mapping[str, Callable[[str, str], dict[str, Any]]] = {
    "text": text,
    "count": count,
    "number": number,
    "flag": flag,
}
_FORM = ("get_connection_form_widgets", "get_ui_field_behaviour")
_warned: set[tuple[str, str]] = set()


class UsageHook(BaseHook):
    """
    Base of the hooks, for vendors of one's own too.

    A subclass says its connection type and its vendor's base URL; the rest has defaults:

    - ``conn_name_attr``, ``default_conn_name``, ``hook_name``: ``acme_conn_id``, ``acme_default``, ``Acme`` for the
      connection type ``acme``. The hook takes the id under that name, or as its first argument.
    - ``default_requests_per_minute``: the vendor's published rate; 0 for none.
    - ``check_path``: what the Test button asks for with ``GET``: something small that needs the key.
    - ``extras``: extras of the connection of one's own, by name, each ``text``, ``count``, ``number`` or ``flag``; they
      are read with :meth:`read_extra`.

    and overrides :meth:`open_vendor` if its API is more than an HTTP client, and :meth:`open_stream` to have frames.

    :param conn_id: Airflow connection: API key in ``password``, base URL in ``host``.
    :raises ConfigurationError: when the subclass is made: it says no connection type, or an extra of an unknown kind.
    """

    conn_type: ClassVar[str] = ""
    conn_name_attr: ClassVar[str] = ""
    default_conn_name: ClassVar[str] = ""
    hook_name: ClassVar[str] = ""
    base_url: ClassVar[str] = ""
    default_requests_per_minute: ClassVar[int] = 0
    check_path: ClassVar[str] = "/"
    extras: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not isinstance(cls.conn_type, str) or not cls.conn_type.strip():
            raise ConfigurationError(
                f"{cls.__name__} has no connection type", next_step='Give it one: conn_type = "acme".'
            )
        for name, kind in cls.extras.items():
            if kind not in _FIELDS or name in _EXTRAS:
                raise ConfigurationError(
                    f"{cls.__name__}: extra {name!r} is of kind {kind!r}, or has one of the package's own names",
                    next_step=f"Give one of {', '.join(_FIELDS)}, under a name of your own.",
                )
        inherited = super(cls, cls)
        for name, value in {
            "conn_name_attr": f"{cls.conn_type}_conn_id",
            "default_conn_name": f"{cls.conn_type}_default",
            "hook_name": cls.conn_type.replace("_", " ").title(),
        }.items():
            if not getattr(inherited, name, "") and not vars(cls).get(name):
                setattr(cls, name, value)
        for name in _FORM:  # Airflow before 3.2 looks for them in the class itself, not in its bases
            if name not in vars(cls):
                setattr(cls, name, classmethod(getattr(inherited, name).__func__))

    def __init__(self, conn_id: str | None = None, **kwargs: Any) -> None:
        named = kwargs.pop(self.conn_name_attr, None)  # so Airflow passes it
        super().__init__(**kwargs)
        self.conn_id: str = conn_id or named or self.default_conn_name
        setattr(self, self.conn_name_attr, self.conn_id)
        self._vendor: Any = None

    @cached_property
    def connection(self) -> VendorConnection:
        """
        The settings the Airflow connection makes.

        :raises ConfigurationError: they cannot be right.
        :raises ConnectionLookupError: there is no such connection, or Airflow could not say.
        """
        settings = self._settings
        self._warn_of_unknown(settings.names)
        values = {name: settings.seconds(name) for name in _SECONDS} | {name: settings.flag(name) for name in _SWITCHES}
        rate = settings.count("requests_per_minute")
        return VendorConnection(
            conn_id=self.conn_id,
            api_key=settings.api_key,
            base_url=settings.base_url or self.base_url,
            account=settings.text("account") or self.conn_id,
            requests_per_minute=self.default_requests_per_minute if rate is None else rate,
            ca_bundle=settings.text("ca_bundle"),
            **{name: value for name, value in values.items() if value is not None},  # type: ignore[arg-type]
        )

    @property
    def account(self) -> str:
        """Name of the account in the archive."""
        return self.connection.account

    @property
    def environment(self) -> str | None:
        """Extra ``environment`` of the connection."""
        return self._settings.text("environment")

    def read_extra(self, name: str) -> Any:
        """
        Return an extra that the class declares, as what its kind says; None if it is not set.

        :raises ConfigurationError: it cannot be read as that.
        """
        return getattr(self._settings, self.extras[name])(name)

    def open_vendor(self, **client_options: Any) -> Any:
        """
        Return the vendor's API, which has a ``close``: by default its HTTP client.

        :param client_options: of :class:`~airflow_usage_provider.http.client.HttpClient`.
        """
        from airflow_usage_provider.http.client import HttpClient

        return HttpClient(self.conn_type, self.connection, **client_options)

    def open_stream(self, stream: str, window: UsageWindow, **options: Any) -> VendorStream:
        """
        Return a stream of the vendor's for a day; nothing is asked of the vendor yet.

        :param options: what else the vendor's streams take.
        :raises ConfigurationError: there is no such stream.
        """
        raise NotImplementedError(f"{type(self).__name__} has no open_stream")

    def get_conn(self) -> Any:
        """Return the vendor's API at this connection; one for the life of the hook."""
        if self._vendor is None:
            self._vendor = self.open_vendor()
        return self._vendor

    def get_df(self, stream: str, *, usage_date: str | date, timezone: str = "UTC", **options: Any) -> pd.DataFrame:
        """
        Return a stream's records of a day as a frame, typed as the stream's schema says.

        :param stream: what :meth:`open_stream` takes.
        :param usage_date: the day, ``YYYY-MM-DD``.
        :param timezone: IANA name of the day's zone.
        :param options: what else :meth:`open_stream` takes.
        :raises UsageProviderError: see :mod:`airflow_usage_provider.exceptions`.
        """
        from airflow_usage_provider.hooks import frames

        window = UsageWindow.parse(usage_date, timezone)
        was_open = self._vendor is not None
        try:
            source = self.open_stream(stream, window, **options)
            build = frames.frame_from_csv if source.file_format is FileFormat.CSV else frames.frame_from_json_lines
            return build(source.read(), source.schema, usage_date=window.usage_date)  # type: ignore[attr-defined]
        finally:
            if not was_open:
                self.close()

    def close(self) -> None:
        """Close the kept connections; called when the task ends."""
        if self._vendor is not None:
            self._vendor.close()
            self._vendor = None

    def check(self) -> None:
        """Ask the vendor for as little as shows that the connection works: ``GET`` of ``check_path``."""
        with closing(self.open_vendor(max_attempts=1)) as vendor:
            getattr(vendor, "http", vendor).request("GET", self.check_path, stream="check")

    def test_connection(self) -> tuple[bool, str]:
        """Tell whether the connection works, in one sentence without a secret. Never raises."""
        try:
            self.check()
            sentence = f"{self.connection.base_url} accepted the API key."
        except UsageProviderError as error:
            error.connection = None  # Airflow's Test button makes up an id, which would tell a person nothing
            return False, str(error)
        except Exception as error:  # noqa: BLE001 - the sentence is stored and shown: not a word of an unknown error
            return False, f"The connection could not be tested: {type(error).__name__}."
        return True, sentence

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the extra fields of the connection form, for Airflow before 3.2."""
        from wtforms import BooleanField, IntegerField, StringField, validators

        # Airflow's API server puts stand-ins in the place of these three kinds of field, and of no other.
        kinds = {"boolean": BooleanField, "integer": IntegerField}
        return {
            name: kinds.get(field["schema"]["type"][0], StringField)(
                field["label"],
                [validators.any_of(field["schema"]["enum"])] if "enum" in field["schema"] else None,
                description=field["description"],
            )
            for name, field in _describe_type(cls)["conn-fields"].items()
        }

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return labels, placeholders and hidden fields of the connection form, for Airflow before 3.2."""
        behaviour = _describe_type(cls)["ui-field-behaviour"]
        return {name.replace("-", "_"): value for name, value in behaviour.items()}

    @cached_property
    def _settings(self) -> Settings:
        return Settings(self.conn_id, self._find_connection)

    def _find_connection(self) -> Any:
        """Ask Airflow. It says that a connection is not defined also when a secrets backend failed."""
        try:
            return self.get_connection(self.conn_id)
        except AirflowNotFoundException:
            reason = "does not exist, or its secrets backend did not answer"
        except Exception as error:  # noqa: BLE001 - of a secrets backend, whose words may hold what it was asked with
            reason = f"could not be read: {type(error).__name__}"
        raise ConnectionLookupError(
            f"Connection {self.conn_id!r} {reason}",
            next_step="If it does not exist, create it in Airflow, with the API key as its password.",
        )

    def _warn_of_unknown(self, names: set[str]) -> None:
        for name in sorted(names - _EXTRAS - set(self.extras)):
            if (self.conn_id, name) not in _warned:
                _warned.add((self.conn_id, name))
                self.log.warning("Connection %r has an unknown extra %r, which is ignored", self.conn_id, name)


def _describe_type(hook: type[UsageHook]) -> dict[str, Any]:
    """Return what the provider info of the hook's package says of its connection type, else what the class says."""
    package = hook.__module__.partition(".")[0]
    for entry in entry_points(group="apache_airflow_provider"):
        if entry.module.partition(".")[0] == package:
            for kind in entry.load()().get("connection-types", ()):
                if kind["connection-type"] == hook.conn_type:
                    return {"conn-fields": {}, "ui-field-behaviour": {}, **kind}
    return connection_type(
        hook.conn_type,
        hook=f"{hook.__module__}.{hook.__qualname__}",
        name=hook.hook_name,
        base_url=hook.base_url,
        requests_per_minute=hook.default_requests_per_minute,
        extras={name: _FIELDS[kind](name.replace("_", " ").capitalize(), "") for name, kind in hook.extras.items()},
    )
