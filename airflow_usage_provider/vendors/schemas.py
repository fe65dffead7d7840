"""The schema of a stream of ours by its name in the archive: for manifests of before they carried one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_usage_provider.vendors.keywordsai.schemas import find_users_schema
from airflow_usage_provider.vendors.langdock.schemas import find_export_schema

if TYPE_CHECKING:
    from airflow_usage_provider.schema import StreamSchema

_FINDERS = {"keywordsai": find_users_schema, "langdock": find_export_schema}


def find_schema(vendor: str, stream: str) -> StreamSchema | None:
    """Return what the columns of an archived stream mean; None for a vendor or a stream that is not ours."""
    find = _FINDERS.get(vendor)
    return find(stream) if find else None
