"""What can be asked of Langdock's export: streams, groupings, routes, and the request that asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_usage_provider.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_usage_provider.models import UsageWindow

VENDOR = "langdock"

#: Path and groupings of each stream.
STREAMS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "api_keys": ("/export/api-keys", ("model",)),
    "users": ("/export/users", ("model",)),
    "agents": ("/export/agents", ("model",)),
    "projects": ("/export/projects", ()),
    "models": ("/export/models", ("source", "deployment")),
    "workflows": ("/export/workflows", ()),
}
OUTPUT_FORMATS = ("csv", "json")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportQuery:
    """
    What to export.

    :param stream: ``api_keys``, ``users``, ``agents``, ``projects``, ``models`` or ``workflows``.
    :param group_by: ``model`` (api_keys, users, agents), ``source`` or ``deployment`` (models), or None.
    :param output_format: ``csv``, or ``json`` for the JSON route.
    :raises ConfigurationError: one of them cannot be.
    """

    window: UsageWindow
    stream: str
    group_by: str | None = None
    output_format: str = "csv"

    def __post_init__(self) -> None:
        if self.stream not in STREAMS:
            raise ConfigurationError(
                f"{VENDOR}: unknown stream {self.stream!r}", next_step=f"Give one of {', '.join(STREAMS)}."
            )
        groupings = STREAMS[self.stream][1]
        if self.group_by and self.group_by not in groupings:
            allowed = f"{' or '.join(groupings)}, or nothing" if groupings else "nothing"
            raise ConfigurationError(
                f"{VENDOR}: stream {self.stream!r} has no group_by {self.group_by!r}", next_step=f"Give {allowed}."
            )
        if self.output_format not in OUTPUT_FORMATS:
            raise ConfigurationError(
                f"{VENDOR}: unknown output_format {self.output_format!r}", next_step="Give csv or json."
            )

    @property
    def archive_stream(self) -> str:
        """Name in the archive: ``api_keys``, ``api_keys_by_model``."""
        return f"{self.stream}_by_{self.group_by}" if self.group_by else self.stream

    @property
    def path(self) -> str:
        """Path of the export: the bare one answers the CSV route."""
        return STREAMS[self.stream][0] + ("/json" if self.output_format == "json" else "")

    @property
    def body(self) -> dict[str, Any]:
        """Body of the request: wall-clock time in the zone, to the last millisecond of the day."""
        day, zone = self.window.usage_date.isoformat(), self.window.timezone
        body: dict[str, Any] = {
            "from": {"date": f"{day}T00:00:00.000Z", "timezone": zone},
            "to": {"date": f"{day}T23:59:59.999Z", "timezone": zone},
        }
        return body | ({"group_by": self.group_by} if self.group_by else {})

    @property
    def question(self) -> dict[str, str]:
        """What is asked without its day: all that decides the answer."""
        return {
            "method": "POST",
            "path": STREAMS[self.stream][0],
            "output_format": self.output_format,
            "timezone": self.window.timezone,
        } | ({"group_by": self.group_by} if self.group_by else {})
