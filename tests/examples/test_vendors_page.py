"""docs/vendors.md shows the files of an example, which other tests install and run: to the letter."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "openai"
_BLOCK = re.compile(r"^```(?:python|toml)\n# (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_every_file_of_the_page_is_the_examples() -> None:
    shown = dict(_BLOCK.findall((ROOT / "docs" / "vendors.md").read_text()))
    needed = {str(path.relative_to(EXAMPLE)) for path in EXAMPLE.rglob("*.py") if path.name != "__init__.py"}
    assert set(shown) >= needed - {"server.py"} | {"pyproject.toml"}
    for name, text in shown.items():
        if (EXAMPLE / name).exists():
            assert text == (EXAMPLE / name).read_text(), name


def test_the_file_for_the_dag_folder_names_the_dag_of_the_example() -> None:
    page = (ROOT / "docs" / "vendors.md").read_text()
    assert "from airflow_usage_openai.dags.openai_usage_daily import dag\n" in page
    assert (EXAMPLE / "airflow_usage_openai" / "dags" / "openai_usage_daily.py").is_file()
