from __future__ import annotations

import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from airflow_usage_provider.cli import main
from benchmarks.filling import MONTHS, copy_month
from benchmarks.measure import Server
from benchmarks.october import write_recipe

ROOT = Path(__file__).parents[2]
OCTOBER = "tables/current/langdock_api_keys/usage_month=2026-10/team.parquet"


@pytest.fixture
def years(tmp_path, monkeypatch):
    for name, value in (("ACCESS_KEY_ID", "x"), ("SECRET_ACCESS_KEY", "x"), ("CONFIG_FILE", "/nonexistent")):
        monkeypatch.setenv(f"AWS_{name}", value)
    file = tmp_path / OCTOBER
    file.parent.mkdir(parents=True)
    file.write_bytes(b"0123456789")
    with Server("years", "--accounts", 2, "--latency", 0, "--tables", tmp_path / "tables") as server:
        yield f"http://127.0.0.1:{server.port}"


def ask(url, *, method="GET", **headers):
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers, method=method)) as answer:
        return answer.read(), dict(answer.headers)


def bench(module, *arguments):
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines()[2:] if "|" in line]


def test_what_the_server_makes_is_an_archive_in_which_everything_is_proven(years, capsys):
    days = ("--since", "2026-10-30", "--until", "2026-10-31", "--account", "team0001")
    assert main(["verify", "s3://archive", *days, "--endpoint-url", years, "--region", "us-east-1"]) == 0
    assert "48 snapshots" in capsys.readouterr().out  # two days, six streams, asked for four times


def test_tables_lie_behind_the_archive_and_are_read_in_pieces(years):
    listing, _ = ask(f"{years}/archive?list-type=2&prefix=tables/")
    assert re.findall(rb"<Key>(.*?)</Key><.*?<Size>(\d+)<", listing) == [(OCTOBER.replace("=", "%3D").encode(), b"10")]
    body, headers = ask(f"{years}/archive/{OCTOBER}", Range="bytes=2-4")
    assert (body, headers["Content-Range"]) == (b"234", "bytes 2-4/10")
    assert ask(f"{years}/archive/{OCTOBER}", Range="bytes=-3")[0] == b"789"
    assert ask(f"{years}/archive/{OCTOBER}", method="HEAD")[1]["Content-Length"] == "10"


def test_a_month_is_copied_under_the_names_of_three_years(tmp_path):
    file = tmp_path / OCTOBER
    file.parent.mkdir(parents=True)
    file.write_bytes(b"rows")
    copy_month(tmp_path)
    assert len(MONTHS) == 36
    assert [path.parent.name for path in sorted(tmp_path.rglob("*.parquet"))] == [f"usage_month={m}" for m in MONTHS]


def test_the_recipe_is_that_of_the_docs_for_one_month_of_one_stream():
    recipe = write_recipe("2026-10-*")
    assert "s3://archive/'" in recipe
    assert "vendor=langdock/account=*/stream=api_keys/usage_date=2026-10-*/*/_manifest.json" in recipe
    assert recipe.rstrip().endswith("GROUP BY account, api_key_id ORDER BY ALL;")


@pytest.mark.slow
def test_october_by_key_is_the_same_from_the_archive_and_from_its_tables():
    pytest.importorskip("pyarrow")
    pytest.importorskip("duckdb_ext")  # httpfs: packaged for Linux on x86-64
    named, chosen, october, every, computed = bench("october", "--accounts", "2", "--fewer", "1", "--latency", "0")
    assert named[4:] == ["5", "1", "0", "0", "4"]
    assert int(chosen[4]) > 36 * 2
    assert october[6:8] == [str(2 * 31 * 4 * 2), str(2 * 31 * 3)]
    assert int(every[6].replace(",", "")) == 1096 * 4 * 2
    assert int(computed[6].replace(",", "")) == 2 * 1096 * 4 * 2


@pytest.mark.slow
@pytest.mark.airflow
def test_the_pages_of_a_year_are_read_once_and_then_only_listed():
    pytest.importorskip("pyarrow")
    spend, coverage = bench("pages", "--accounts", "1", "--latencies", "0.01")
    assert (spend[0], coverage[0]) == ("Spend", "Coverage")
    assert (int(spend[4]), int(spend[6])) == (3 + 2, 3)  # a list of months, and two months, each with a file
    assert (int(coverage[4]), int(coverage[6])) == (2 + 6, 2)
