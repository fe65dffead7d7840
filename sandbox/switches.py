"""Every switch of a sandbox key, with its default, its choices and the sentence ``--help`` prints for it.

The defaults are the well-behaved vendor of the documentation; each switch turns one thing the other way.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar


def switch(default: Any, text: str, choices: str = "") -> Any:
    """Declare one switch; ``choices`` are the values it takes, separated by ``|``."""
    return field(default=default, metadata={"text": text, "choices": tuple(filter(None, choices.split("|")))})


@dataclass(frozen=True)
class Switches:
    """What both vendors' keys understand."""

    vendor: ClassVar[str] = "both vendors"

    bad_key: str = switch("", "authentication fails with this status", "401|403")
    error_times: int = switch(
        0, "the fault (error, body, redirect, trickle, ...) shows on the first N requests; 0: all"
    )
    retry_after: float | None = switch(
        None, "seconds a 429 or 503 asks to wait; default 1, or the limiter's own figure"
    )
    retry_after_in: str = switch("body", "where it says so; date: as an HTTP date", "body|header|both|neither|date")
    rate_limit: int = switch(0, "requests a sliding minute and account before 429; 0: no limit")
    latency: float = switch(0.0, "seconds before the answer")
    body: str = switch(
        "json", "what a 200 carries; cut: short of its Content-Length", "json|html|cut|cut_close|invalid"
    )
    redirect: str = switch("", "307 to the same path on the download port, or to a login page there", "other|login")
    interim: int = switch(0, "so many answers 103 before each 200")
    created: bool = switch(False, "201 in place of 200")
    trickle: bool = switch(False, "the body at one byte a second")
    gzip: bool = switch(False, "Content-Encoding: gzip, asked for or not")
    gzip_bomb: bool = switch(False, "a small gzip body that unpacks to 1 GiB")
    big_headers: bool = switch(False, "a response header of 128 KiB")
    endless: bool = switch(False, "a body that never ends")
    revise_after: int = switch(0, "after N passes over a day its figures differ; 0: never")
    vanish_after: int = switch(0, "after N passes over a day it is empty; 0: never")


@dataclass(frozen=True)
class KeywordsAISwitches(Switches):
    """Keywords AI."""

    vendor: ClassVar[str] = "Keywords AI"

    users: int = switch(0, "exactly N users, every day; 0: 48 users of whom about 37 are active, which varies by day")
    count: str = switch("page", "what `count` counts", "page|total|page_size_plus_one")
    next: str = switch(
        "complete",
        "the `next` link; page_only and http lose the other parameters, http points at the download port's origin, "
        "missing: no such key, loop: never null, always this page",
        "complete|page_only|http|missing|loop",
    )
    past_end: str = switch("200", "the answer to a page after the last", "200|404|400")
    repeat_page: int = switch(0, "page N answers with the rows of page N-1")
    empty_page: int = switch(0, "page N has no rows though more follow")
    gateway_page: int = switch(0, "page N is answered 404 as text, by a gateway that does not find the vendor")
    twice: int = switch(0, "so many users come again at the end of page 1, with another cost")
    missing: int = switch(0, "so many users fewer come than total_users says")
    drift: str = switch(
        "none",
        "once page 1 of a pass is served a user is inserted before all others, or the first user is deleted; "
        "both: deleted after page 1 and inserted after page 2",
        "none|insert|delete|both",
    )
    drift_times: int = switch(1_000_000, "how many passes drift before the listing holds still")
    empty: bool = switch(False, "no users at all")
    whitespace: bool = switch(False, "pretty-printed JSON")
    big_ints: bool = switch(False, "ids of 20 digits")
    last_active: str = switch("text", "the form of last_active_timeframe", "text|zero|null")
    extra_fields: bool = switch(False, "undocumented keys in rows and envelope")
    nulls: bool = switch(False, "every optional field is null")
    aggregation: str = switch("full", "aggregation_data", "full|empty|missing")
    error: str = switch("", "every request fails like this", "400|401|403|404|404-text|413|422|429|500|502-html|503")
    error_page: int = switch(0, "the fault shows on page N only")


@dataclass(frozen=True)
class LangdockSwitches(Switches):
    """Langdock."""

    vendor: ClassVar[str] = "Langdock"

    rows: int | None = switch(
        None,
        "data rows; may be millions; default: as the usage of about 12 people makes them; 0: empty day",
    )
    months_back: int = switch(12, "how far back an export may begin; 0: no limit")
    byok: bool = switch(False, "bring-your-own-key columns, and group_by=deployment")
    user_data: bool = switch(True, "user_data=0: the columns that identify users are absent")
    extra_column: bool = switch(False, "a column the documentation does not know")
    multiline: bool = switch(False, "JSON cells with line breaks inside the quotes")
    bom: bool = switch(False, "the CSV begins with a byte order mark")
    crlf: bool = switch(False, "CRLF line ends")
    final_newline: bool = switch(True, "final_newline=0: no line end after the last row")
    ragged: bool = switch(False, "the last row lacks a cell")
    record_count: str = switch("", "what recordCount claims: +N or -N off the truth, or N itself")
    empty: str = switch("", "the period is empty; header: a file with nothing but a header", "404|200|header")
    error: str = switch(
        "", "every export fails like this", "400|400-too-large|401|403|404-other|404-text|429|500|502-html"
    )
    nested_error: bool = switch(False, "the other error shape")
    success_false: bool = switch(False, "200 with success false")
    no_url: bool = switch(False, "an envelope without downloadUrl")
    workflows: bool = switch(True, "workflows=0: that endpoint is not there")
    date_range: str = switch("z", "the form of dateRange, or that of another day", "z|offset|date|day_before")
    ready_after: float = switch(0.0, "seconds from a day's first export until its signed URLs stop answering 404")
    ready_after_requests: int = switch(0, "the signed URLs of a day's first N exports answer 404 for good")
    url_lifetime: float = switch(300.0, "seconds a signed URL lives")
    download_host: str = switch("", "the host in signed URLs", "localhost|127.0.0.1")
    download: str = switch(
        "ok",
        "how the file comes; close: whole, ended by closing; redirect: once to itself",
        "ok|cut|cut_chunked|cut_close|close|chunked|500|400|403|404|410|redirect|redirect_loop|redirect_private|html|"
        "trickle|gzip",
    )
    download_times: int = switch(0, "the download switch shows on the key's first N downloads; 0: all")
    ignore_range: bool = switch(False, "a Range is answered with 200 and everything")
