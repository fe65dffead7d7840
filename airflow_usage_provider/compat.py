"""Names of Airflow that moved between 3.0 and 3.3, from where the installed version has them."""

from __future__ import annotations

try:
    from airflow.sdk.exceptions import (
        AirflowException,
        AirflowFailException,
        AirflowNotFoundException,
        AirflowSensorTimeout,
        AirflowSkipException,
    )
except ImportError:  # before Airflow 3.2
    from airflow.exceptions import (  # type: ignore[no-redef,attr-defined,unused-ignore]
        AirflowException,
        AirflowFailException,
        AirflowNotFoundException,
        AirflowSensorTimeout,
        AirflowSkipException,
    )
try:
    from airflow.sdk import BaseHook
except ImportError:  # before Airflow 3.1
    from airflow.hooks.base import BaseHook  # type: ignore[no-redef,attr-defined,unused-ignore]
try:
    from airflow.sdk.lineage import get_hook_lineage_collector
except ImportError:  # before Airflow 3.2
    from airflow.lineage.hook import get_hook_lineage_collector  # type: ignore[no-redef,unused-ignore]
try:
    from airflow.sdk.log import mask_secret
except ImportError:  # before Airflow 3.1
    from airflow.sdk.execution_time.secrets_masker import mask_secret  # type: ignore[no-redef,import-not-found,unused-ignore]
try:
    from airflow.sdk.observability.stats import Stats
except ImportError:  # before Airflow 3.2
    from airflow.stats import Stats  # type: ignore[no-redef,assignment,unused-ignore]

__all__ = [
    "AirflowException",
    "AirflowFailException",
    "AirflowNotFoundException",
    "AirflowSensorTimeout",
    "AirflowSkipException",
    "BaseHook",
    "Stats",
    "get_hook_lineage_collector",
    "mask_secret",
]
