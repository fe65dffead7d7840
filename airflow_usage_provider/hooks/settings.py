"""What an Airflow connection holds, read by name and checked; nothing of it is shown by a ``repr``.

A connection of Airflow shows its password when it is printed, and error reporters print the locals of every frame:
it lives in no local of a frame that can raise.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

from airflow_usage_provider.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_MOST_SECONDS = 7 * 24 * 3600.0  # what a socket's clock takes, and more than anybody means
_MOST_COUNT = 1_000_000
_SHOWN = 100  # characters of a wrong value


class Settings:
    """
    The fields of one connection.

    :param find: asks Airflow for it, whatever the error.
    """

    def __init__(self, conn_id: str, find: Callable[[], Any]) -> None:
        self.conn_id = conn_id
        self._take(find())
        self._extra: Mapping[str, Any] | None = None

    @property
    def api_key(self) -> str:
        """The password."""
        return self._password

    @property
    def base_url(self) -> str:
        """What a URI or a form put into host, schema and port, as ``https://host:port/path``; empty if nothing."""
        host = self._host.strip(" ").rstrip("/")
        if not host:
            return ""
        if "://" not in host:
            host = f"{self._schema if self._schema in {'http', 'https'} else 'https'}://{host}"
        if self._port and not _has_port(host):
            parts = urlsplit(host)
            host = parts._replace(netloc=f"{parts.netloc}:{self._port}").geturl()
        return host

    @property
    def names(self) -> set[str]:
        """Names of the extras that are set."""
        return set(self._extras())

    def text(self, name: str) -> str | None:
        """
        Return an extra that is text.

        :raises ConfigurationError: it is a list, an object or a switch.
        """
        value = self._extras().get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, str | int | float)):
            self._refuse(name, "text")
        return None if value is None else str(value).strip() or None

    def seconds(self, name: str) -> float | None:
        """
        Return an extra that is a number of seconds above 0.

        :raises ConfigurationError: it is not, or a week and more.
        """
        number = self._number(name)
        if number is not None and not 0 < number <= _MOST_SECONDS:
            self._refuse(name, f"a number of seconds above 0, {_MOST_SECONDS:.0f} at most")
        return number

    def number(self, name: str) -> float | None:
        """
        Return an extra that is a number.

        :raises ConfigurationError: it is not, or has no end.
        """
        number = self._number(name)
        if number is not None and not abs(number) < float("inf"):
            self._refuse(name, "a number")
        return number

    def count(self, name: str) -> int | None:
        """
        Return an extra that is a whole number, 0 or more.

        :raises ConfigurationError: it is not, or beyond all reason.
        """
        number = self._number(name)
        if number is not None and not (0 <= number <= _MOST_COUNT and number == int(number)):
            self._refuse(name, f"a whole number from 0 to {_MOST_COUNT}")
        return None if number is None else int(number)

    def flag(self, name: str) -> bool | None:
        """
        Return an extra that is true or false.

        :raises ConfigurationError: it is neither.
        """
        value = self._extras().get(name)
        flag = {"true": True, "false": False, "1": True, "0": False}.get(str(value).strip().lower())
        if value is not None and flag is None:
            self._refuse(name, "true or false")
        return flag

    def _number(self, name: str) -> float | None:
        """Return an extra as a number; not a number if it is none."""
        value = self._extras().get(name)
        try:
            return None if value is None else float("nan" if isinstance(value, bool) else value)
        except (TypeError, ValueError, OverflowError):
            return float("nan")

    def _take(self, conn: Any) -> None:
        self._password = str(conn.password or "")
        self._host, self._schema, self._port = str(conn.host or ""), conn.schema, conn.port
        self._text = conn.extra or ""

    def _extras(self) -> Mapping[str, Any]:
        if self._extra is None:
            extra = self._parse()
            if not isinstance(extra, dict):
                raise ConfigurationError(
                    f"Connection {self.conn_id!r} has an extra that is no JSON object",
                    next_step='Write it as {"account": "acme"}.',
                )
            self._extra = {name: value for name, value in extra.items() if value not in (None, "")}
        return self._extra

    def _parse(self) -> Any:
        """Read the extra as JSON; None if it is none. What the JSON reader says of it may quote a secret."""
        if not isinstance(self._text, str):
            return self._text  # some secrets backends hand over what they have parsed
        try:
            return json.loads(self._text) if self._text.strip() else {}
        except (ValueError, RecursionError):
            return None

    def _refuse(self, name: str, allowed: str) -> NoReturn:
        value = repr(self._extras()[name])
        if len(value) > _SHOWN:
            value = f"{value[:_SHOWN]}..."
        raise ConfigurationError(
            f"Connection {self.conn_id!r} has {name} {value} in its extra", next_step=f"Give {allowed}."
        )


def _has_port(url: str) -> bool:
    try:
        return urlsplit(url).port is not None
    except ValueError:
        return True
