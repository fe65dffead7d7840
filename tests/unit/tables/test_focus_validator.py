"""The specification's own validator passes what we write as 1.2; its rules of 1.4 cannot be had without a network.

It needs Python 3.12 and numpy 1, so it runs in an environment of its own, which is made once: build/focus.
"""

from __future__ import annotations

import csv
import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_usage_provider.tables.focusfiles import write_focus
from airflow_usage_provider.tables.layout import Month
from airflow_usage_provider.tables.shelf import FolderShelf
from tests.unit.tables.months import OCTOBER, MonthArchive

PLACE = Path(os.environ.get("FOCUS_VALIDATOR", Path(__file__).parents[3] / "build" / "focus"))
PACKAGES = ("focus-validator==2.2.1", "pyarrow<22", "numpy<2", "setuptools<81")
CRITERIA = "ACCOUNT_NAMING_SUPPORTED"
#: A branch of the rule that an invoice id may be null, reported by itself although the rule as a whole is kept.
KNOWN = {"InvoiceId-C-005-C"}

pytestmark = pytest.mark.slow


def find_python() -> str | None:
    """Where a Python 3.12 is that runs: on the path, or among pyenv's."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    places = [shutil.which("python3.12"), *sorted(map(str, pyenv.glob("versions/3.12.*/bin/python3.12")))]
    for place in filter(None, places):
        if not subprocess.run([place, "--version"], capture_output=True, check=False).returncode:
            return place
    return None


@pytest.fixture(scope="session")
def validator() -> Path:
    command = PLACE / "bin" / "focus-validator"
    if not command.exists():
        if (python := find_python()) is None:
            pytest.skip("no Python 3.12 here, which the validator needs")
        uv = [sys.executable, "-m", "uv", "--quiet"]
        subprocess.run([*uv, "venv", "--python", python, PLACE], check=True)
        install = [*uv, "pip", "install", "--python", PLACE / "bin" / "python", *PACKAGES]
        subprocess.run(install, check=True, timeout=280)
    return command


def find_failures(path: Path) -> tuple[set[str], int]:
    """Rules that a file breaks, and how many it keeps. The exit status says nothing: it is 0 whatever is found."""
    answer = subprocess.run(
        [
            PLACE / "bin" / "focus-validator",
            *("--data-file", path, "--validate-version", "1.2.0.1", "--block-download"),
            *("--focus-dataset", "CostAndUsage", "--applicability-criteria", CRITERIA),
            *("--output-type", "console", "--show-violations"),
        ],
        capture_output=True,
        text=True,
        check=True,
        cwd=PLACE / "lib/python3.12/site-packages",  # it looks for its table of currencies below where it is run
    )
    return set(re.findall(r"(\S+): FAIL ", answer.stdout)), len(re.findall(r": PASS ", answer.stdout))


@pytest.fixture
def written(validator: Path, tmp_path: Path) -> list[Path]:
    """Three days of both vendors, as Parquet and as CSV."""
    archive = MonthArchive(tmp_path / "archive")
    for day in OCTOBER[:3]:
        archive.store_export(day, "model")
        archive.store_users(day)
    shelf, month = FolderShelf(tmp_path), Month(2026, 10)
    return [
        tmp_path / file.name
        for form in ("parquet", "csv")
        for file in write_focus(archive.objects, month, shelf, spec="1.2", file_format=form)
    ]


def test_the_official_validator_passes_a_month_of_both_vendors(written: list[Path]) -> None:
    for path in written:
        failures, passes = find_failures(path)
        assert failures == KNOWN, path.name
        assert passes > 5


def test_the_validator_would_find_a_column_that_is_missing(written: list[Path]) -> None:
    rows = list(csv.reader(io.StringIO(written[-1].read_text(), newline="")))
    place = rows[0].index("ProviderName")
    with written[-1].open("w", newline="") as file:
        csv.writer(file).writerows([*row[:place], *row[place + 1 :]] for row in rows)
    assert "CostAndUsage-D-038-M" in find_failures(written[-1])[0]
