"""
What each API key cost in October, from the archive itself and from its tables: ``python -m benchmarks.october``.

Three years, 50 accounts, 6 streams, each answer 50 ms away. DuckDB asks; the server counts. Both must say the same.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
import urllib.request
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.filling import ARCHIVE, MONTH, copy_month, make_month
from benchmarks.measure import FailedRunError, Server, run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PAGE = Path(__file__).parents[1] / "docs" / "querying.md"
OWN_NAME = "s3://company-llm-usage/archive/"
EVERYTHING = "vendor=*/account=*/stream=*/usage_date=*"
CHOSEN = "stream = 'api_keys');"
TABLES = f"""
SELECT account, api_key_id, min(usage_date) AS since, max(usage_date) AS until,
       sum(requests) AS requests, sum(total_cost_usd) AS cost
FROM read_parquet('{ARCHIVE}/tables/current/langdock_api_keys/usage_month={MONTH}/*.parquet', union_by_name = true)
WHERE usage_month = '{MONTH}'
GROUP BY account, api_key_id ORDER BY ALL;
"""
COLUMNS = ("listing", "HEAD manifest", "GET manifest", "HEAD part", "GET part", "HEAD table", "GET table")
HEAD = "| | accounts | seconds | CPU seconds | requests | listings | of manifests | of parts | of tables |"


@dataclass(frozen=True, slots=True)
class Result:
    """
    What it took to ask.

    :param asked: what the server was asked for, by kind.
    :param answer: a line a key.
    """

    seconds: float
    cpu: float
    asked: Mapping[str, int]
    answer: Sequence[str]


def write_recipe(usage_date: str) -> str:
    """Return the recipe of docs/querying.md, with the manifests of so many days read and the parts of October."""
    _, manifests, answers, parts, records, *_ = re.findall(r"^```sql\n(.*?)^```", PAGE.read_text(), re.M | re.S)
    manifests = _exchange(manifests, OWN_NAME, f"{ARCHIVE}/")
    manifests = _exchange(manifests, EVERYTHING, f"vendor=langdock/account=*/stream=api_keys/usage_date={usage_date}")
    within = f"stream = 'api_keys' AND strftime(usage_date, '%Y-%m') = '{MONTH}');"
    return "".join((manifests, answers, parts, _exchange(records, CHOSEN, within)))


def _exchange(text: str, old: str, new: str) -> str:
    if text.count(old) != 1:
        raise ValueError(f"the text does not say {old}, or more than once")
    return text.replace(old, new)


def ask(sql: str, folder: Path, accounts: int, *, latency: float, threads: int) -> Result:
    """Let a process of its own ask a server of its own."""
    with tempfile.NamedTemporaryFile("r") as answer:
        with Server("years", "--accounts", accounts, "--latency", latency, "--tables", folder) as server:
            settings = {"sql": sql, "port": server.port, "threads": threads, "answer": answer.name}
            environment = os.environ | {"BENCHMARK": json.dumps(settings)}
            sample = run([sys.executable, "-m", "benchmarks.tools.ask_duckdb"], environment, timeout=3600)
            with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/requests") as response:
                asked = json.load(response)
        return Result(sample.work, sample.work_cpu, asked, answer.read().splitlines())


def format_row(name: str, accounts: int, result: Result) -> str:
    """Return a line of the table."""
    if lacking := result.asked.keys() - set(COLUMNS):
        raise ValueError(f"the server was asked for {lacking}")
    kinds: Counter[str] = Counter()
    for what, count in result.asked.items():
        kinds[what.rpartition(" ")[2]] += count
    counts = (kinds.total(), *(kinds[kind] for kind in ("listing", "manifest", "part", "table")))
    cells = (name, accounts, f"{result.seconds:.1f}", f"{result.cpu:.1f}", *(f"{count:,}" for count in counts))
    return f"| {' | '.join(map(str, cells))} |"


def multiply(result: Result, times: int) -> Result:
    """Return what it would take for so many times the accounts."""
    return Result(
        result.seconds * times, result.cpu * times, {what: count * times for what, count in result.asked.items()}, ()
    )


def main() -> None:
    """Print a table of the docs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=50)
    parser.add_argument("--fewer", type=int, default=5, help="accounts of the recipe that reads every day's manifests")
    parser.add_argument("--latency", type=float, default=0.05, help="seconds before each answer")
    parser.add_argument("--threads", type=int, default=32, help="of DuckDB, which takes one a core unless told")
    options = parser.parse_args()
    if options.accounts % options.fewer:
        parser.error("--accounts must be a multiple of --fewer")
    how = {"latency": options.latency, "threads": options.threads}
    with tempfile.TemporaryDirectory(prefix="usage-october-") as place:
        folder = Path(place)
        make_month(folder, options.accounts, ("tables", "--stream", "api_keys"))
        copy_month(folder)
        print(f"{HEAD}\n{'|---' * 9}|")
        tables = ask(TABLES, folder, options.accounts, **how)
        print(format_row("tables, the month in the names", options.accounts, tables), flush=True)
        chosen = ask(_exchange(TABLES, f"usage_month={MONTH}/", "*/"), folder, options.accounts, **how)
        print(format_row("tables, the month in `WHERE` alone", options.accounts, chosen), flush=True)
        october = ask(write_recipe(f"{MONTH}-*"), folder, options.accounts, **how)
        print(format_row("raw, manifests of October", options.accounts, october), flush=True)
        every = ask(write_recipe("*"), folder, options.fewer, **how)
        print(format_row("raw, manifests of every day", options.fewer, every))
        whole = multiply(every, options.accounts // options.fewer)
        print(format_row("raw, the same, computed", options.accounts, whole))
    if not tables.answer or not tables.answer == chosen.answer == october.answer:
        raise FailedRunError("archive and tables say different things")
    if every.answer != tables.answer[: len(every.answer)] or not every.answer:
        raise FailedRunError("the archive of fewer accounts says different things")
    print(f"\n{len(tables.answer):,} keys, and archive and tables say the same of each")


if __name__ == "__main__":
    main()
