"""SQL over S3 by DuckDB, with as many threads as a reader of many small objects needs; writes the answer to a file."""

from __future__ import annotations

from importlib.metadata import distribution
from pathlib import Path

import duckdb

from benchmarks.tools.stopwatch import SETTINGS, measure


def find_httpfs() -> Path:
    """Return DuckDB's extension for S3, which a package brings: it is not downloaded."""
    package = distribution("duckdb-ext-httpfs")
    (file,) = [file for file in package.files or () if file.name == "httpfs.duckdb_extension"]
    return Path(str(package.locate_file(file)))


def main() -> None:
    connection = duckdb.connect(config={"autoinstall_known_extensions": "false", "threads": SETTINGS["threads"]})
    connection.execute(f"LOAD '{find_httpfs()}'")
    connection.execute(
        f"CREATE SECRET (TYPE s3, KEY_ID 'bench', SECRET 'bench', ENDPOINT '127.0.0.1:{SETTINGS['port']}', "
        "URL_STYLE 'path', USE_SSL false, REGION 'us-east-1')"
    )
    rows = []
    measure(lambda: rows.extend(connection.execute(SETTINGS["sql"]).fetchall()))
    Path(SETTINGS["answer"]).write_text("".join(f"{row}\n" for row in rows))


main()
