"""What the forge does with the repository: workflows that are sound, and forms that it takes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FORGE = ROOT / ".github"
BIN = Path(sys.executable).parent

pytestmark = pytest.mark.skipif(not (BIN / "zizmor").exists(), reason="the linters are in the tools' environment")


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(each) for each in command], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("schema", "pattern"),
    [
        ("vendor.github-workflows", "workflows/*.yml"),
        ("vendor.dependabot", "dependabot.yml"),
        ("vendor.github-issue-forms", "ISSUE_TEMPLATE/[bv]*.yml"),
        ("vendor.github-issue-config", "ISSUE_TEMPLATE/config.yml"),
    ],
)
def test_the_forge_takes_its_files(schema: str, pattern: str) -> None:
    files = sorted(FORGE.glob(pattern))
    assert files
    done = run(BIN / "check-jsonschema", "--builtin-schema", schema, *files)
    assert done.returncode == 0, done.stdout


def test_an_auditor_finds_nothing_in_the_workflows() -> None:
    done = run(BIN / "zizmor", "--offline", "--quiet", "--no-progress", FORGE)
    assert done.returncode == 0, done.stdout + done.stderr


def test_ci_calls_the_commands_of_the_readme_on_every_supported_python() -> None:
    job = yaml.safe_load((FORGE / "workflows/ci.yml").read_text())["jobs"]
    commands = [step["run"] for name in ("test", "demo") for step in job[name]["steps"] if "run" in step]
    readme = (ROOT / "README.md").read_text()
    assert [command.split(" PYTHON=")[0] for command in commands] == ["make test", "make demo"]
    assert re.search(r"^make demo\b", readme, re.MULTILINE)
    assert re.search(r"^make test\b", readme, re.MULTILINE)
    supported = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', (ROOT / "pyproject.toml").read_text())
    assert job["test"]["strategy"]["matrix"]["python"] == supported
