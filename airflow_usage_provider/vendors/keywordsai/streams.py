"""Keywords AI's users as a stream: a listing of numbered pages.

``next`` is a flag and no address, ``count`` proves nothing, ``total_users`` must be met.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from airflow_usage_provider.records.listing import PagedListing
from airflow_usage_provider.vendors.keywordsai.schemas import users_schema

if TYPE_CHECKING:
    from airflow_usage_provider.vendors.keywordsai.api import KeywordsAI, UsersQuery


class KeywordsAIUsers(PagedListing):
    """A listing as JSON Lines: one user a line, each as the vendor sent it, in the vendor's order."""

    noun = "users"

    def __init__(self, vendor: KeywordsAI, query: UsersQuery) -> None:
        query = replace(query, environment=query.environment or vendor.environment)
        super().__init__(
            query.archive_stream,
            query.window,
            partial(vendor.fetch_page, query),
            request={"method": query.method, "path": query.path, "parameters": query.parameters(1)},
            not_in_question=("page", "page_size", "sort_by", "date", "timezone_offset"),
            schema=users_schema(stream=query.stream, summary_type=query.summary_type, environment=query.environment),
            client=vendor.http,
            first=1,
            page_size=query.page_size,
            pages_in_flight=query.pages_in_flight,
            verify=query.verify_pages,
        )
