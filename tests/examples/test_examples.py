"""The example packages: small, built from public names alone, and kept to the contract of every stream."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted(path.parent for path in (ROOT / "examples").glob("*/pyproject.toml"))
#: What a vendor of one's own is built from, as docs/reference/api.md has it.
PUBLIC = {
    "daily",
    "exceptions",
    "hooks.base",
    "http",
    "models",
    "operators.snapshot",
    "provider_info",
    "records.days",
    "records.listing",
    "schema",
    "testing",
}

pytestmark = pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)


def sources(example: Path) -> list[Path]:
    return sorted(example.glob("airflow_usage_*/**/*.py"))


def count_lines(path: Path) -> int:
    """Lines that are neither blank nor only a comment."""
    lines = path.read_text().splitlines()
    return sum(bool(line.strip()) and not line.strip().startswith("#") for line in lines)


def test_it_takes_a_hundred_lines_and_sixty_of_tests(example: Path) -> None:
    assert sum(count_lines(path) for path in sources(example) if path.name != "schemas.py") <= 100
    assert sum(count_lines(path) for path in example.glob("tests/*.py")) <= 60


def test_it_imports_public_names_alone(example: Path) -> None:
    imported = {
        (node.module or "", alias.name)
        for path in (*sources(example), *example.glob("*.py"), *example.glob("tests/*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    ours = {(module, name) for module, name in imported if module.startswith("airflow_usage_provider")}
    assert ours
    assert {module.removeprefix("airflow_usage_provider.") for module, _ in ours} <= PUBLIC
    assert not [name for _, name in ours if name.startswith("_")]


@pytest.mark.slow
def test_its_streams_pass_the_contract_and_its_wrong_listings_are_refused(example: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:valkey", "-p", "no:cacheprovider", "-c", os.devnull]
    done = subprocess.run(
        [*command, f"--rootdir={example}", "tests"],
        cwd=example,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(example), str(ROOT), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]


def test_its_provider_info_names_what_is_there(example: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(example))
    package = next(path.parent.name for path in sources(example))
    entry = importlib.metadata.EntryPoint("x", f"{package}.provider_info:get_provider_info", "apache_airflow_provider")
    info = entry.load()()
    assert f'name = "{info["package-name"]}"' in (example / "pyproject.toml").read_text()
    (kind,) = info["connection-types"]
    module, _, name = kind["hook-class-name"].rpartition(".")
    tree = ast.parse((example / Path(*module.split("."))).with_suffix(".py").read_text())
    assert name in {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    assert kind["conn-fields"]["account"]
