"""Anthropic's reports: buckets of a day, in pages that a cursor leads through."""

from airflow_usage_anthropic.schemas import COSTS, MESSAGES
from airflow_usage_provider.exceptions import ConfigurationError
from airflow_usage_provider.records.listing import PagedListing, read_buckets

#: Path, groupings and schema of each stream.
STREAMS = {
    "costs": ("/v1/organizations/cost_report", ("workspace_id", "description"), COSTS),
    "messages": ("/v1/organizations/usage_report/messages", MESSAGES.identity, MESSAGES),
}


def open_stream(client, stream, window):
    """Return a stream of a day in UTC; ``client`` is the hook's."""
    if stream not in STREAMS:
        raise ConfigurationError(f"anthropic: no stream {stream!r}", next_step=f"Give one of {', '.join(STREAMS)}.")
    path, groupings, schema = STREAMS[stream]
    days = {"starting_at": f"{window.start:%Y-%m-%dT%H:%M:%SZ}", "ending_at": f"{window.end:%Y-%m-%dT%H:%M:%SZ}"}
    parameters = {**days, "bucket_width": "1d", "group_by[]": list(groupings), "limit": 31}

    def fetch(cursor):
        asked = parameters if cursor is None else {**parameters, "page": cursor}
        answer = client.request("GET", path, stream=stream, params=asked)
        return read_buckets(answer.body, start="starting_at", end="ending_at")

    request = {"method": "GET", "path": path, "parameters": parameters}
    return PagedListing(
        stream, window, fetch, request=request, not_in_question=(*days, "limit"), schema=schema, client=client
    )
