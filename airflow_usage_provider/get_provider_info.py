"""What Airflow reads of this package at the start of every process: a pure dict, nothing imported."""

from __future__ import annotations

from typing import Any

# Airflow 3.3.1 and 3.3.2 refuse to test a connection that has no port.
_PORT_HINT = "443; the Test button of Airflow 3.3 needs it"


def field(label: str, description: str, kind: str, **schema: Any) -> dict[str, Any]:
    """Return one extra of a connection form."""
    return {"label": label, "description": description, "schema": {"type": [kind, "null"], **schema}}


def switch(label: str, description: str) -> dict[str, Any]:
    """Return an extra that is false unless set."""
    return field(label, description, "boolean", default=False)


def timeout(default: str) -> dict[str, Any]:
    """Return the extra ``timeout``."""
    return field(
        "Timeout (s)", f"Seconds without a byte until a request fails. Default: {default}.", "number", minimum=1
    )


def rate(default: int) -> dict[str, Any]:
    """Return the extra ``requests_per_minute``."""
    of = f"{default}, the vendor's limit" if default else "no limit"
    return field("Requests per minute", f"The client stays under it; 0: no limit. Default: {of}.", "integer", minimum=0)


def field_behaviour(base_url: str, api_key: str) -> dict[str, Any]:
    """Return which standard fields a connection form has, and what stands in them while they are empty."""
    hints = {"host": base_url, "port": _PORT_HINT, "password": api_key}
    return {
        "hidden-fields": ["login", "schema"],
        "relabeling": {"host": "Base URL", "port": "Port", "password": "API key"},
        "placeholders": {name: hint for name, hint in hints.items() if hint},
    }


ACCOUNT = field("Account", "Name of the account in the archive. Default: the connection id.", "string")
_ENVIRONMENT = field(
    "Environment",
    "Environment to ask for, where the key does not decide. Default: the vendor's, prod.",
    "string",
    enum=["prod", "test"],  # null among them would break the form of Airflow 3.0
)
CONNECT_TIMEOUT = field("Connect timeout (s)", "Seconds to connect. Default: 10.", "number", minimum=1)
CA_BUNDLE = field("CA bundle", "Path of a PEM file of a private CA, the same on every component.", "string")
ALLOW_HTTP = switch("Allow http:// base URL", "The API key then travels in clear. Not needed for loopback.")
#: The extras of a vendor that hands out signed URLs.
DOWNLOADS = {
    "download_timeout": field(
        "Download timeout (s)", "Seconds for one whole download. Default: 3600.", "number", minimum=1
    ),
    "allow_insecure_download": switch("Allow http:// downloads", "Signed URLs and exports then travel in clear."),
    "allow_private_download": switch(
        "Allow private downloads",
        "Signed URLs may be at loopback, private and link-local addresses, as in a dedicated deployment.",
    ),
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
    shared = {"operators": ["snapshot", "tables", "alerts"], "hooks": ["base"]}
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
                "tags": ["service"],  # all that Airflow 3.0 knows of what fits
            },
            {
                "integration-name": "Langdock",
                "external-doc-url": "https://docs.langdock.com/",
                "tags": ["service"],  # all that Airflow 3.0 knows of what fits
            },
        ],
        **{
            kind: [
                {
                    "integration-name": name,
                    "python-modules": [f"airflow_usage_provider.{kind}.{each}" for each in (module, *others)],
                }
                for name, module in zip(names, modules, strict=True)
            ]
            for kind, others in shared.items()
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
                "ui-field-behaviour": field_behaviour("https://api.keywordsai.co", "API key of one environment"),
                "conn-fields": {
                    "account": ACCOUNT,
                    "environment": _ENVIRONMENT,
                    "timeout": timeout("60"),
                    "connect_timeout": CONNECT_TIMEOUT,
                    "requests_per_minute": rate(60),
                    "ca_bundle": CA_BUNDLE,
                    "allow_http": ALLOW_HTTP,
                },
            },
            {
                "connection-type": "langdock",
                "hook-class-name": "airflow_usage_provider.hooks.langdock.LangdockHook",
                "hook-name": "Langdock",
                "ui-field-behaviour": field_behaviour(
                    "https://api.langdock.com", "Admin's key with scope USAGE_EXPORT_API"
                ),
                "conn-fields": {
                    "account": ACCOUNT,
                    "timeout": timeout("60, for an export's answer 180"),
                    "connect_timeout": CONNECT_TIMEOUT,
                    "requests_per_minute": rate(500),
                    "ca_bundle": CA_BUNDLE,
                    "allow_http": ALLOW_HTTP,
                    **DOWNLOADS,
                },
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
                    "s3_extra_args": _option(
                        "JSON object: arguments of boto3's put_object for every snapshot, such as SSE-KMS or tags.",
                        "",
                        '{"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "alias/llm-usage"}',
                    ),
                    "tables_url": _option(
                        "Where tables made from the archive go. Default: tables below archive_url.",
                        "",
                        "s3://company-llm-usage/tables",
                    ),
                    "close_day": _option(
                        "Day of the month, 1 to 28, on which the month before it is closed.", "10", "10", "integer"
                    ),
                    "owners_url": _option(
                        "CSV file on S3 that says who owns which principal, for reports and pages.",
                        "",
                        "s3://company-llm-usage/owners.csv",
                    ),
                    "budgets": _option(
                        "What a month may cost, by currency, for the page Spend.", "", "USD:5000,EUR:800"
                    ),
                    "principal_names": _option(
                        "Write principals' names, personal data, into FOCUS at a close, and show them on pages.",
                        "False",
                        "True",
                        "boolean",
                    ),
                },
            },
        },
    }
