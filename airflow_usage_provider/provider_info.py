"""For packages of one's own: the parts of a ``get_provider_info`` that Airflow reads at the start of every process.

Nothing is imported but what :mod:`~airflow_usage_provider.get_provider_info` itself is made of, which imports nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_usage_provider import get_provider_info as ours

if TYPE_CHECKING:
    from collections.abc import Mapping


def connection_type(
    conn_type: str,
    *,
    hook: str,
    name: str,
    base_url: str = "",
    api_key: str = "",
    requests_per_minute: int = 0,
    downloads: bool = False,
    extras: Mapping[str, dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """
    Return one entry of ``connection-types``, with its form: for Airflow from 3.2 on, and through the hook before.

    :param conn_type: the hook's ``conn_type``.
    :param hook: path of the hook's class: ``acme.hooks.AcmeHook``.
    :param name: what people choose in the form: ``Acme``.
    :param base_url: the vendor's public one, shown where the form's field is empty.
    :param api_key: which key is wanted, shown where its field is empty.
    :param requests_per_minute: the hook's ``default_requests_per_minute``; 0 for none.
    :param downloads: whether the vendor hands out signed URLs, whose extras are then in the form.
    :param extras: fields of one's own, by name, made by :func:`text`, :func:`count`, :func:`number` and :func:`flag`.
    """
    fields = {
        "account": ours.ACCOUNT,
        **(extras or {}),
        "timeout": ours.timeout("60"),
        "connect_timeout": ours.CONNECT_TIMEOUT,
        "requests_per_minute": ours.rate(requests_per_minute),
        "ca_bundle": ours.CA_BUNDLE,
        "allow_http": ours.ALLOW_HTTP,
    }
    return {
        "connection-type": conn_type,
        "hook-class-name": hook,
        "hook-name": name,
        "ui-field-behaviour": ours.field_behaviour(base_url, api_key),
        "conn-fields": {**fields, **ours.DOWNLOADS} if downloads else fields,
    }


def text(label: str, description: str, *, choices: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return a field for text, or for one of some texts. Never for a secret: extras are shown in clear."""
    return ours.field(label, description, "string", **({"enum": list(choices)} if choices else {}))


def count(label: str, description: str, *, minimum: int = 0) -> dict[str, Any]:
    """Return a field for a whole number."""
    return ours.field(label, description, "integer", minimum=minimum)


def number(label: str, description: str, *, minimum: float = 0) -> dict[str, Any]:
    """Return a field for a number."""
    return ours.field(label, description, "number", minimum=minimum)


def flag(label: str, description: str) -> dict[str, Any]:
    """Return a field for yes or no; no unless set."""
    return ours.switch(label, description)
