"""Secrets made to be looked for, and the look: in files, tables and objects, whichever form something gave them.

A canary is letters and digits only, so that quoting for a URL and escaping for JSON leave it as it is.
"""

from __future__ import annotations

import base64
import gzip
import re
import secrets
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_SHORTEST = 12
_RUNS = re.compile(rb"[-0-9A-Za-z+/=_%]{12,}")  # every form of a canary lies within one run


def make_digits() -> str:
    """A canary that a sandbox key can carry as a number: ``latency=0.000000<digits>``, far from any real wait."""
    return "".join(secrets.choice("123456789") for _ in range(24))


def write_forms(secret: str) -> set[bytes]:
    """The bytes a secret may show as: itself, reversed, in hex, and within any base64.

    :raises ValueError: it is too short to be looked for, or more than letters and digits.
    """
    if not (secret.isascii() and secret.isalnum() and len(secret) >= _SHORTEST):
        raise ValueError("A canary is at least 12 letters and digits.")
    raw = secret.encode()
    forms = {raw, raw[::-1], raw.hex().encode(), raw.hex().upper().encode()}
    for before in range(3):  # what stands before it in the encoded text shifts its base64 by so many bytes
        packed = base64.b64encode(bytes(before) + raw)
        inner = packed[-(-before * 8 // 6) : (before + len(raw)) * 8 // 6]
        forms |= {inner, inner.translate(bytes.maketrans(b"+/", b"-_"))}
    return forms


def find_secrets(wanted: Iterable[str], places: Iterable[tuple[str, bytes]]) -> dict[str, set[str]]:
    """The places where secrets are.

    :param places: pairs of a name and the bytes there.
    :return: for each secret that was found, the names of the places.
    """
    forms = {secret: write_forms(secret) for secret in wanted}
    found: dict[str, set[str]] = {}
    for name, data in places:
        text = b"\n".join(set(_RUNS.findall(data)))
        for secret, shapes in forms.items():
            if any(shape in text for shape in shapes):
                found.setdefault(secret, set()).add(name)
    return found


def files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every file below a folder, by its path within."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield str(path.relative_to(folder)), path.read_bytes()


def tables(database: Path) -> Iterator[tuple[str, bytes]]:
    """Every table of an SQLite database as ``table <name>``, its values one a line."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30)
    connection.text_factory = bytes
    try:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            rows = connection.execute(f'SELECT * FROM "{name.decode()}"').fetchall()
            values = (value if isinstance(value, bytes) else str(value).encode() for row in rows for value in row)
            yield f"table {name.decode()}", b"\n".join(values)
    finally:
        connection.close()


def objects(client: Any, bucket: str) -> Iterator[tuple[str, bytes]]:
    """Every object of a bucket: its key, its metadata, its body, also unpacked."""
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for key in (entry["Key"] for entry in page.get("Contents", [])):
            answer = client.get_object(Bucket=bucket, Key=key)
            body = answer.pop("Body").read()
            tags = client.get_object_tagging(Bucket=bucket, Key=key)["TagSet"]
            unpacked = gzip.decompress(body) if body.startswith(b"\x1f\x8b") else b""
            about = f"{key}\n{answer}\n{tags}\n".encode()
            yield f"object {key}", about + body + b"\n" + unpacked
