"""The reference names what the code has, and the pages' relative links lead somewhere."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

from airflow_usage_provider import exceptions
from airflow_usage_provider.cli.command import build_parser
from airflow_usage_provider.get_provider_info import get_provider_info
from airflow_usage_provider.schema import KINDS
from airflow_usage_provider.tables.columns import SNAPSHOTS

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs/reference"
PAGES = [ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "SECURITY", "CHANGELOG")]
PAGES += sorted((ROOT / "docs").rglob("*.md"))


def sections(page: str) -> dict[str, dict[str, str]]:
    """Return the rows of a page's tables by its headings and by what their first cell names."""
    found: dict[str, dict[str, str]] = {}
    for text in re.split(r"^#+ ", (REFERENCE / page).read_text(), flags=re.MULTILINE)[1:]:
        rows = re.findall(r"^\| `([^`]+)` \| (.*) \|$", text, flags=re.MULTILINE)
        found[text.partition("\n")[0]] = dict(rows)
    return found


def test_every_setting_has_a_row_with_its_default_and_meaning():
    options = get_provider_info()["config"]["usage_provider"]["options"]
    wanted = {
        name: f"{'`' + option['default'] + '`' if option['default'] else ''} | {option['description']}"
        for name, option in options.items()
    }
    assert sections("settings.md")["Settings"] == wanted


def test_every_extra_has_a_row_with_its_meaning():
    found = sections("connections.md")
    for kind in get_provider_info()["connection-types"]:
        wanted = {
            name: f"{extra['schema']['type'][0]} | {extra['description']}"
            for name, extra in kind["conn-fields"].items()
        }
        assert found[f"{kind['hook-name']}: `{kind['connection-type']}`"] == wanted


def test_every_error_has_a_row_with_its_parent():
    errors = [each for each in vars(exceptions).values() if isinstance(each, type)]
    wanted = {
        each.__name__: "" if each is exceptions.UsageProviderError else f"`{each.__bases__[0].__name__}`"
        for each in errors
        if issubclass(each, exceptions.UsageProviderError)
    }
    assert {name: row.partition(" | ")[0] for name, row in sections("errors.md")["Errors"].items()} == wanted


def describe(parser: argparse.ArgumentParser) -> dict[str, str]:
    """Return what each switch says of itself, as ``--help`` prints it."""
    actions = [each for each in parser._actions if each.option_strings and "--help" not in each.option_strings]
    return {", ".join(each.option_strings): (each.help or "") % vars(each) for each in actions}


def test_every_switch_of_every_command_has_a_row_with_its_help():
    actions = build_parser()._actions
    (commands,) = [each for each in actions if isinstance(each, argparse._SubParsersAction)]
    found = sections("command.md")
    everywhere = found["Every command"]
    assert {f"`{name}`" for name in commands.choices} == found.keys() - {"The command", "Every command"}
    for name, parser in commands.choices.items():
        assert {**everywhere, **found[f"`{name}`"]} == describe(parser)


def test_the_columns_of_the_tables_and_their_kinds_are_those_of_the_code():
    _, _, section = (ROOT / "docs/tables.md").read_text().partition("\n| kind | ")
    of_kinds, _, of_snapshots = section.partition("The table `snapshots`")
    kinds = re.findall(r"^\| ([a-z, ]+) \|", of_kinds, re.MULTILINE)
    assert sorted(kind for row in kinds for kind in row.split(", ")) == sorted(KINDS)
    assert dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", of_snapshots, re.MULTILINE)) == dict(SNAPSHOTS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    assert [link for link in links if link and not (page.parent / link).exists()] == []
