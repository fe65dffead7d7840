"""How long a vendor asks to wait: in ``Retry-After``, in the body, or in the headers of its rate limits.

Said in seconds, as a duration (``6m0s``, ``120ms``), or as a time (HTTP date, RFC 3339, seconds since 1970). A time
without a zone is UTC.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[dhms])", re.ASCII)
_DURATION = re.compile(rf"(?:{_PART.pattern})+", re.ASCII)
_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_EPOCH = 1e9  # more seconds than this are no wait but a time, 2001 or later


def read_wait(headers: Mapping[str, str], document: Any) -> float | None:
    """
    Return the seconds the vendor asks to wait; None if it does not say.

    :param document: the parsed body.
    """
    header = next((value for name, value in headers.items() if name.lower() == "retry-after"), None)
    in_body = document.get("retry_after") if isinstance(document, dict) else None
    return next((seconds for said in (header, in_body) if (seconds := read_seconds(said)) is not None), None)


def read_reset(headers: Mapping[str, str]) -> float | None:
    """Return when the limits that are used up begin anew: ``x-ratelimit-reset-requests`` and the like."""
    lowered = {name.lower().replace("rate-limit", "ratelimit"): value for name, value in headers.items()}
    resets = [
        read_seconds(value)
        for name, value in lowered.items()
        if "ratelimit" in name and "reset" in name and not read_seconds(lowered.get(name.replace("reset", "remaining")))
    ]
    return max((seconds for seconds in resets if seconds is not None), default=None)


def read_seconds(said: Any) -> float | None:
    """Return the seconds from now that a value means, 0 for what is past; None if it means nothing."""
    text = str(said).strip()
    if isinstance(said, bool | dict | list) or not text or not text.isascii() or "_" in text:
        return None
    try:
        seconds = float(text)
        if abs(seconds) > _EPOCH:
            seconds -= datetime.now(UTC).timestamp()
    except ValueError:
        if _DURATION.fullmatch(text):
            seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
        else:
            seconds = _seconds_until(text)
    return max(seconds, 0.0) if math.isfinite(seconds) else None


def _seconds_until(text: str) -> float:
    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = parse(text)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - datetime.now(UTC).timestamp()
        except (TypeError, ValueError, OverflowError):
            continue
    return math.nan
