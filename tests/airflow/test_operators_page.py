"""docs/reference/operators.md says of every parameter what its signature and its docstring say."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import pytest

from airflow_usage_provider.get_provider_info import get_provider_info

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
INFO = get_provider_info()
CLASSES = {
    each.__name__: each
    for kind in ("operators", "sensors", "hooks", "triggers")
    for entry in INFO[kind]
    for module in entry["python-modules"]
    for each in vars(importlib.import_module(module)).values()
    if isinstance(each, type) and each.__module__ == module and not each.__name__.startswith("_")
}
SHOWN = {name: each for name, each in CLASSES.items() if name.endswith(("Operator", "Sensor"))}


def read_parameters(kind: type) -> dict[str, str]:
    """Return default and meaning by parameter, as a cell each."""
    said = re.findall(r":param (\w+): (.*?)(?=\n:|\Z)", inspect.getdoc(kind) or "", re.DOTALL)
    taken = {
        name: parameter.default
        for name, parameter in inspect.signature(vars(kind)["__init__"]).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    assert {name for name, _ in said} == set(taken)
    return {name: f"{show(name, taken[name])} | {to_markdown(text)}" for name, text in said}


def show(name: str, default: object) -> str:
    if name == "deferrable" or default in (None, inspect.Parameter.empty):
        return ""
    return f"`{default}`"


def to_markdown(text: str) -> str:
    text = re.sub(r":\w+:`~?(?:[\w.]+\.)?(\w+)`", r"`\1`", " ".join(text.split()))
    return text.replace("``", "`")


def sections() -> dict[str, dict[str, str]]:
    page = (REFERENCE / "operators.md").read_text()
    found = re.findall(r"^## `(\w+)`\n(.*?)(?=^## |\Z)", page, re.DOTALL | re.MULTILINE)
    return {name: dict(re.findall(r"^\| `(\w+)` \| ?(.*) \|$", text, re.MULTILINE)) for name, text in found}


def test_every_operator_and_sensor_has_a_section() -> None:
    assert set(sections()) == set(SHOWN)


@pytest.mark.parametrize("name", SHOWN)
def test_every_parameter_has_a_row_with_its_default_and_meaning(name: str) -> None:
    assert sections()[name] == read_parameters(SHOWN[name])


def test_every_name_that_airflow_lists_is_a_public_name() -> None:
    page = (REFERENCE / "api.md").read_text()
    assert [each for each in CLASSES.values() if f":: {each.__module__}.{each.__qualname__}\n" not in page] == []
