"""Keys of the customer's own among the arguments for S3: masked wherever Airflow shows or logs them."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import Any

from airflow_usage_provider.compat import mask_secret
from airflow_usage_provider.configuration import CUSTOMER_KEY


def mask_customer_keys(extra_args: Any) -> None:
    """
    Let Airflow mask the customer keys among S3 arguments, as text and as boto3 sends them.

    Airflow masks by the names of fields it knows, and S3's is not one of them.
    """
    if not isinstance(extra_args, Mapping):
        return
    for name, value in extra_args.items():
        if not str(name).startswith(CUSTOMER_KEY) or not isinstance(value, str | bytes) or not value:
            continue
        raw = value.encode() if isinstance(value, str) else value
        shown = value if isinstance(value, str) else repr(value)[2:-1]
        for spelled in {shown, b64encode(raw).decode()}:
            mask_secret(spelled)
