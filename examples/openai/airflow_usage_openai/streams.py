"""OpenAI's streams: buckets of a day, in pages that a cursor leads through."""

from airflow_usage_openai.schemas import COMPLETIONS, COSTS
from airflow_usage_provider.exceptions import ConfigurationError
from airflow_usage_provider.records.listing import PagedListing, read_buckets

#: Path, schema and groupings of each stream. Every column that is grouped by tells records apart.
STREAMS = {
    "costs": ("/v1/organization/costs", COSTS),
    "completions": ("/v1/organization/usage/completions", COMPLETIONS),
}


def open_stream(client, stream, window):
    """Return a stream of a day in UTC; ``client`` is the hook's."""
    if stream not in STREAMS:
        raise ConfigurationError(f"openai: no stream {stream!r}", next_step=f"Give one of {', '.join(STREAMS)}.")
    path, schema = STREAMS[stream]
    days = {"start_time": int(window.start.timestamp()), "end_time": int(window.end.timestamp())}
    parameters = {**days, "bucket_width": "1d", "group_by": list(schema.identity), "limit": 31}

    def fetch(cursor):
        asked = parameters if cursor is None else {**parameters, "page": cursor}
        return read_buckets(client.request("GET", path, stream=stream, params=asked).body)

    request = {"method": "GET", "path": path, "parameters": parameters}
    return PagedListing(
        stream, window, fetch, request=request, not_in_question=(*days, "limit"), schema=schema, client=client
    )
