"""A connection of Airflow becomes a vendor's settings, read lazily and by name."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from airflow_usage_provider.compat import AirflowNotFoundException, BaseHook
from airflow_usage_provider.exceptions import ConfigurationError, ConnectionLookupError, UsageProviderError
from airflow_usage_provider.get_provider_info import get_provider_info
from airflow_usage_provider.http.connection import VendorConnection

if TYPE_CHECKING:
    from collections.abc import Mapping

_SECONDS = ("timeout", "connect_timeout", "download_timeout")
_SWITCHES = ("allow_http", "allow_insecure_download", "allow_private_download")
_EXTRAS = {*_SECONDS, *_SWITCHES, "account", "environment", "requests_per_minute", "ca_bundle"}
_warned: set[tuple[str, str]] = set()


class UsageHook(BaseHook):
    """
    Base of the hooks, for vendors of one's own too.

    A subclass says its connection type, its vendor's base URL and rate, and overrides :meth:`open_vendor` and
    :meth:`check` where it has use for them.

    :param conn_id: Airflow connection: API key in ``password``, base URL in ``host``.
    """

    conn_type: ClassVar[str]
    base_url: ClassVar[str]
    default_requests_per_minute: ClassVar[int] = 0

    def __init__(self, conn_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.conn_id = conn_id
        self._vendor: Any = None

    @cached_property
    def connection(self) -> VendorConnection:
        """
        The settings the Airflow connection makes.

        :raises ConfigurationError: they cannot be right.
        """
        conn = self._airflow_connection
        extra = self._read_extra(conn)
        values: dict[str, Any] = {name: _seconds(self.conn_id, name, extra[name]) for name in _SECONDS if name in extra}
        values |= {name: _switch(self.conn_id, name, extra[name]) for name in _SWITCHES if name in extra}
        rate = extra.get("requests_per_minute", self.default_requests_per_minute)
        return VendorConnection(
            conn_id=self.conn_id,
            api_key=conn.password or "",
            base_url=_base_url(conn) or self.base_url,
            account=str(extra.get("account", self.conn_id)),
            requests_per_minute=_whole_number(self.conn_id, "requests_per_minute", rate),
            ca_bundle=str(extra["ca_bundle"]) if "ca_bundle" in extra else None,
            **values,
        )

    @cached_property
    def environment(self) -> str | None:
        """Extra ``environment`` of the connection."""
        value = self._read_extra(self._airflow_connection).get("environment")
        return None if value is None else str(value)

    @cached_property
    def _airflow_connection(self) -> Any:
        try:
            return self.get_connection(self.conn_id)
        except AirflowNotFoundException:
            raise ConnectionLookupError(
                f"Connection {self.conn_id!r} does not exist, or its secrets backend did not answer",
                next_step="If it does not exist, create it in Airflow, with the API key as its password.",
            ) from None

    @property
    def account(self) -> str:
        """Name of the account in the archive."""
        return self.connection.account

    def check(self) -> None:
        """Ask the vendor for as little as shows that the connection works."""
        raise NotImplementedError

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
            for name, field in _connection_type(cls.conn_type).get("conn-fields", {}).items()
        }

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return labels, placeholders and hidden fields of the connection form, for Airflow before 3.2."""
        behaviour = _connection_type(cls.conn_type).get("ui-field-behaviour", {})
        return {name.replace("-", "_"): value for name, value in behaviour.items()}

    def open_vendor(self, **client_options: Any) -> Any:
        """Return the vendor's API, with options of its HTTP client; it has a ``close``."""
        raise NotImplementedError

    def get_conn(self) -> Any:
        """Return the vendor's API at this connection; one for the life of the hook."""
        if self._vendor is None:
            self._vendor = self.open_vendor()
        return self._vendor

    def close(self) -> None:
        """Close the kept connections; called when the task ends."""
        if self._vendor is not None:
            self._vendor.close()
            self._vendor = None

    def test_connection(self) -> tuple[bool, str]:
        """Tell whether the connection works, in one sentence without a secret. Never raises."""
        try:
            self.check()
        except UsageProviderError as error:
            error.connection = None  # Airflow's Test button makes up an id, which would tell a person nothing
            return False, str(error)
        except Exception as error:  # noqa: BLE001 - the sentence is stored and shown: not a word of an unknown error
            return False, f"The connection could not be tested: {type(error).__name__}."
        return True, f"{self.connection.base_url} accepted the API key."

    def _read_extra(self, conn: Any) -> Mapping[str, Any]:
        extra = {name: value for name, value in conn.extra_dejson.items() if value not in (None, "")}
        for name in sorted(set(extra) - _EXTRAS):
            if (self.conn_id, name) not in _warned:
                _warned.add((self.conn_id, name))
                self.log.warning("Connection %r has an unknown extra %r, which is ignored", self.conn_id, name)
        return extra


def _connection_type(name: str) -> dict[str, Any]:
    """Return what the provider info says of a connection type; nothing for one of another package."""
    types: dict[str, dict[str, Any]] = {
        entry["connection-type"]: entry for entry in get_provider_info()["connection-types"]
    }
    return types.get(name, {})


def _base_url(conn: Any) -> str:
    """Join what a URI or a form put into host, schema and port: ``https://host:port/path``."""
    host = (conn.host or "").strip(" ").rstrip("/")
    if not host:
        return ""
    if "://" not in host:
        host = f"{conn.schema if conn.schema in {'http', 'https'} else 'https'}://{host}"
    if conn.port and not _has_port(host):
        parts = urlsplit(host)
        host = parts._replace(netloc=f"{parts.netloc}:{conn.port}").geturl()
    return host


def _has_port(url: str) -> bool:
    try:
        return urlsplit(url).port is not None
    except ValueError:
        return True


def _seconds(conn_id: str, name: str, value: Any) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        _refuse(conn_id, name, value, "a number of seconds above 0")
    return seconds


def _whole_number(conn_id: str, name: str, value: Any) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError):
        number = -1
    if number < 0 or float(value) != number:
        _refuse(conn_id, name, value, "a whole number, 0 for no limit")
    return number


def _switch(conn_id: str, name: str, value: Any) -> bool:
    switches = {"true": True, "false": False, "1": True, "0": False}
    switch = switches.get(str(value).strip().lower())
    if switch is None:
        _refuse(conn_id, name, value, "true or false")
    return bool(switch)


def _refuse(conn_id: str, name: str, value: Any, allowed: str) -> None:
    raise ConfigurationError(f"Connection {conn_id!r} has {name} {value!r} in its extra", next_step=f"Give {allowed}.")
