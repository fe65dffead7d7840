"""What Airflow reads of this package at the start of every process: a pure dict, nothing imported."""

from __future__ import annotations

from typing import Any

_TIMEOUT_FIELDS: dict[str, Any] = {
    "account": {
        "label": "Account",
        "description": "Name of the account in the archive. Default: the connection id.",
        "schema": {"type": ["string", "null"]},
    },
    "timeout": {
        "label": "Timeout (s)",
        "description": "Seconds without a byte before a request fails.",
        "schema": {"type": ["number", "null"], "minimum": 1},
    },
    "connect_timeout": {
        "label": "Connect timeout (s)",
        "description": "Seconds to connect. Default: 10.",
        "schema": {"type": ["number", "null"], "minimum": 1},
    },
    "requests_per_minute": {
        "label": "Requests per minute",
        "description": "What the client keeps under; 0 lifts the limit. Default: the vendor's published rate.",
        "schema": {"type": ["integer", "null"], "minimum": 0},
    },
    "ca_bundle": {
        "label": "CA bundle",
        "description": "Path of a PEM file with the CAs to trust, for a private CA.",
        "schema": {"type": ["string", "null"]},
    },
    "allow_http": {
        "label": "Allow http://",
        "description": "Allow a base URL without TLS that is not loopback.",
        "schema": {"type": ["boolean", "null"], "default": False},
    },
}
_DOWNLOAD_FIELDS: dict[str, Any] = {
    "download_timeout": {
        "label": "Download timeout (s)",
        "description": "Seconds for one whole download. Default: 3600.",
        "schema": {"type": ["number", "null"], "minimum": 1},
    },
    "allow_insecure_download": {
        "label": "Allow http:// downloads",
        "description": "Allow signed URLs without TLS.",
        "schema": {"type": ["boolean", "null"], "default": False},
    },
    "allow_private_download": {
        "label": "Allow private downloads",
        "description": "Allow signed URLs at loopback, private and link-local addresses, for a dedicated deployment.",
        "schema": {"type": ["boolean", "null"], "default": False},
    },
}


def _option(description: str, default: str, example: str | None, kind: str = "string") -> dict[str, Any]:
    return {
        "description": description,
        "version_added": "0.1.0",
        "type": kind,
        "example": example,
        "default": default,
    }


def get_provider_info() -> dict[str, Any]:
    """Return the provider's metadata, valid against Airflow's ``provider_info`` and ``provider.yaml`` schemas."""
    names = ["Keywords AI", "Langdock"]
    modules = ["keywordsai", "langdock"]
    return {
        "package-name": "airflow-usage-provider",
        "name": "LLM usage",
        "description": "Archives LLM usage and cost of Keywords AI and Langdock to S3, byte for byte.",
        "state": "ready",
        "source-date-epoch": 1795305600,
        "versions": ["0.1.0"],
        "integrations": [
            {
                "integration-name": "Keywords AI",
                "external-doc-url": "https://docs.keywordsai.co/",
                "tags": ["ai", "llm"],
            },
            {
                "integration-name": "Langdock",
                "external-doc-url": "https://docs.langdock.com/",
                "tags": ["ai", "llm"],
            },
        ],
        **{
            kind: [
                {"integration-name": name, "python-modules": [f"airflow_usage_provider.{kind}.{module}"]}
                for name, module in zip(names, modules, strict=True)
            ]
            for kind in ("operators", "hooks")
        },
        "sensors": [
            {"integration-name": "Langdock", "python-modules": ["airflow_usage_provider.sensors.langdock"]},
        ],
        "triggers": [
            {"integration-name": "Langdock", "python-modules": ["airflow_usage_provider.triggers.langdock"]},
        ],
        "bundles": [{"integration-name": name, "python-modules": ["airflow_usage_provider.bundles"]} for name in names],
        "extra-links": ["airflow_usage_provider.operators.links.SnapshotLink"],
        "connection-types": [
            {
                "connection-type": "keywordsai",
                "hook-class-name": "airflow_usage_provider.hooks.keywordsai.KeywordsAIHook",
                "hook-name": "Keywords AI",
                "ui-field-behaviour": {
                    "hidden-fields": ["login", "port", "schema"],
                    "relabeling": {"host": "Base URL", "password": "API key"},
                    "placeholders": {
                        "host": "https://api.keywordsai.co",
                        "password": "API key of one environment",
                        "extra": '{"account": "acme", "timeout": 60}',
                    },
                },
                "conn-fields": {
                    **_TIMEOUT_FIELDS,
                    "environment": {
                        "label": "Environment",
                        "description": "Environment the key is bound to. Default: the vendor's, prod.",
                        "schema": {"type": ["string", "null"], "enum": [None, "prod", "test"]},
                    },
                },
            },
            {
                "connection-type": "langdock",
                "hook-class-name": "airflow_usage_provider.hooks.langdock.LangdockHook",
                "hook-name": "Langdock",
                "ui-field-behaviour": {
                    "hidden-fields": ["login", "port", "schema"],
                    "relabeling": {"host": "Base URL", "password": "API key"},
                    "placeholders": {
                        "host": "https://api.langdock.com",
                        "password": "Admin's key with scope USAGE_EXPORT_API",
                        "extra": '{"account": "acme", "timeout": 180}',
                    },
                },
                "conn-fields": {**_TIMEOUT_FIELDS, **_DOWNLOAD_FIELDS},
            },
        ],
        "config": {
            "usage_provider": {
                "description": "The bundled DAGs of airflow-usage-provider. They do nothing until archive_url is set.",
                "options": {
                    "archive_url": _option("Where snapshots go.", "", "s3://company-llm-usage/archive"),
                    "aws_conn_id": _option("Airflow connection to S3.", "aws_default", None),
                    "keywordsai_conn_ids": _option(
                        "Keywords AI connections, one for each account, separated by commas.",
                        "keywordsai_default",
                        "keywordsai_default,keywordsai_research",
                    ),
                    "langdock_conn_ids": _option(
                        "Langdock connections, one for each account, separated by commas.",
                        "langdock_default",
                        "langdock_default,langdock_berlin",
                    ),
                    "langdock_streams": _option(
                        "Langdock streams, each with its group_by behind a colon where wanted, separated by commas.",
                        "api_keys,api_keys:model,users,agents,projects,models",
                        "api_keys,api_keys:model",
                    ),
                    "keywordsai_pool": _option(
                        "Airflow pool of the tasks that ask Keywords AI; it must exist.", "default_pool", "keywordsai"
                    ),
                    "langdock_pool": _option(
                        "Airflow pool of the tasks that ask Langdock; it must exist.", "default_pool", "langdock"
                    ),
                    "timezone": _option(
                        "IANA name of the zone whose midnights bound a usage date.", "UTC", "Europe/Berlin"
                    ),
                    "lookback_days": _option(
                        "Days before the usage date to pull again, as vendors revise them.", "7", "7", "integer"
                    ),
                    "settle_hours": _option(
                        "Hours to wait after the end of the usage date, so that late figures are in.", "6", "6", "float"
                    ),
                },
            },
        },
    }
