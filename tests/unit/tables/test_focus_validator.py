"""The specification's own validator passes what we write as 1.2; its rules of 1.4 cannot be had without a network.

It needs Python 3.12 and numpy 1, so it runs in an environment of its own, which is made once: build/focus.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from airflow_usage_provider.tables.focusfiles import write_focus
from airflow_usage_provider.tables.layout import Month
from airflow_usage_provider.tables.shelf import FolderShelf
from tests.unit.tables.months import OCTOBER, MonthArchive

PLACE = Path(os.environ.get("FOCUS_VALIDATOR", Path(__file__).parents[3] / "build" / "focus"))
PACKAGES = ("focus-validator==2.2.1", "pyarrow<22", "numpy<2", "setuptools<81")
CRITERIA = "ACCOUNT_NAMING_SUPPORTED"

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not shutil.which("python3.12"), reason="no Python 3.12")]


@pytest.fixture(scope="session")
def validator() -> Path:
    command = PLACE / "bin" / "focus-validator"
    if not command.exists():
        made = subprocess.run(["python3.12", "-m", "venv", PLACE], capture_output=True, text=True, check=False)
        if made.returncode:
            pytest.skip(f"no Python 3.12 that runs: {made.stderr[-200:]}")
        subprocess.run([PLACE / "bin" / "pip", "install", "--quiet", *PACKAGES], check=True, timeout=280)
    return command


@pytest.mark.parametrize("file_format", ["parquet", "csv"])
def test_the_official_validator_passes_a_month_of_both_vendors(
    validator: Path, tmp_path: Path, file_format: str
) -> None:
    archive = MonthArchive(tmp_path / "archive")
    for day in OCTOBER[:3]:
        archive.store_export(day, "model")
        archive.store_users(day)
    for file in write_focus(
        archive.objects, Month(2026, 10), FolderShelf(tmp_path), spec="1.2", file_format=file_format
    ):
        answer = subprocess.run(
            [
                validator,
                *("--data-file", tmp_path / file.name, "--validate-version", "1.2.0.1", "--block-download"),
                *("--focus-dataset", "CostAndUsage", "--applicability-criteria", CRITERIA),
                *("--output-type", "console", "--show-violations"),
            ],
            capture_output=True,
            text=True,
            check=False,
            cwd=PLACE / "lib/python3.12/site-packages",  # it looks for its table of currencies below where it is run
        )
        assert answer.returncode == 0, answer.stdout[-6000:] + answer.stderr[-2000:]
