from __future__ import annotations

import importlib
import json
import pkgutil
import subprocess
import sys
from importlib.metadata import distribution, entry_points
from pathlib import Path

import airflow
import jsonschema
import pytest
from airflow.sdk import BaseOperator, BaseSensorOperator
from airflow.triggers.base import BaseTrigger

from airflow_usage_provider import __version__, provider_info
from airflow_usage_provider.compat import BaseHook
from airflow_usage_provider.get_provider_info import get_provider_info

INFO = get_provider_info()


@pytest.mark.parametrize("name", ["provider_info.schema.json", "provider.yaml.schema.json"])
def test_provider_info_is_valid_against_airflows_schemas(name):
    schema = json.loads((Path(airflow.__file__).parent / name).read_text())
    jsonschema.validate(INFO, schema)


def test_integrations_have_tags_that_every_airflow_from_3_0_on_knows():
    known = {"alibaba", "apache", "aws", "azure", "dbt", "gcp", "gmp", "google", "kafka", "protocol", "service"}
    known |= {"software", "yandex"}
    assert {tag for entry in INFO["integrations"] for tag in entry["tags"]} <= known


def test_a_connection_type_of_ones_own_is_valid_and_has_its_own_fields_beside_ours():
    acme = provider_info.connection_type(
        "acme",
        hook="acme.hooks.AcmeHook",
        name="Acme",
        base_url="https://api.acme.example",
        api_key="Key of an admin",
        requests_per_minute=60,
        downloads=True,
        extras={
            "project": provider_info.text("Project", "Only its usage.", choices=("one", "two")),
            "seats": provider_info.count("Seats", "How many there are."),
            "share": provider_info.number("Share", "Of the whole."),
            "beta": provider_info.flag("Beta", "Ask the beta API."),
        },
    )
    schema = json.loads((Path(airflow.__file__).parent / "provider_info.schema.json").read_text())
    jsonschema.validate({**INFO, "connection-types": [acme]}, schema)
    assert acme["ui-field-behaviour"]["placeholders"]["host"] == "https://api.acme.example"
    langdock = next(kind for kind in INFO["connection-types"] if kind["connection-type"] == "langdock")
    assert set(acme["conn-fields"]) == {*langdock["conn-fields"], "project", "seats", "share", "beta"}
    assert "Default: 60, the vendor's limit" in acme["conn-fields"]["requests_per_minute"]["description"]


def test_the_entry_point_and_the_names_fit_together():
    (entry,) = (e for e in entry_points(group="apache_airflow_provider") if e.dist.name == "airflow-usage-provider")
    assert entry.load()() == INFO
    assert INFO["package-name"] == distribution("airflow-usage-provider").metadata["Name"]
    assert INFO["versions"][0] == __version__ == distribution("airflow-usage-provider").version


def test_helpers_for_packages_of_ones_own_import_nothing_either():
    code = "import sys; import airflow_usage_provider.provider_info; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    ours = {name.rpartition(".")[2] for name in loaded if name.startswith("airflow_usage_provider")}
    assert ours == {"airflow_usage_provider", "get_provider_info", "provider_info"}
    assert "airflow" not in loaded


def test_provider_info_imports_nothing_of_the_package():
    code = (
        "import sys; import airflow_usage_provider.get_provider_info as g; g.get_provider_info(); print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    ours = {name for name in loaded if name.startswith("airflow_usage_provider")}
    assert ours == {"airflow_usage_provider", "airflow_usage_provider.get_provider_info"}
    assert "airflow" not in loaded


def test_everything_it_names_can_be_imported():
    modules = [
        module
        for kind in ("operators", "sensors", "hooks", "triggers", "bundles")
        for entry in INFO[kind]
        for module in entry["python-modules"]
    ]
    classes = [*INFO["extra-links"], *(entry["hook-class-name"] for entry in INFO["connection-types"])]
    for module in modules:
        importlib.import_module(module)
    for path in classes:
        module, _, name = path.rpartition(".")
        assert getattr(importlib.import_module(module), name)


@pytest.mark.parametrize(
    ("kind", "base"),
    [("operators", BaseOperator), ("sensors", BaseSensorOperator), ("hooks", BaseHook), ("triggers", BaseTrigger)],
)
def test_every_module_with_something_for_dags_is_named(kind, base):
    package = importlib.import_module(f"airflow_usage_provider.{kind}")
    names = [f"{package.__name__}.{module.name}" for module in pkgutil.iter_modules(package.__path__)]
    defining = {
        name
        for name in names
        for each in vars(importlib.import_module(name)).values()
        if isinstance(each, type) and issubclass(each, base) and each.__module__ == name
    }
    assert {module for entry in INFO[kind] for module in entry["python-modules"]} == defining


def test_airflow_shows_the_provider_its_hooks_and_its_configuration():
    code = """
from airflow.providers_manager import ProvidersManager
from airflow.configuration import conf
manager = ProvidersManager()
print("airflow-usage-provider" in manager.providers)
print(sorted(name for name in manager.hooks if name in ("keywordsai", "langdock")))
print(conf.get("usage_provider", "langdock_streams"))
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert [line for line in answer.splitlines() if "warning" not in line][-3:] == [
        "True",
        "['keywordsai', 'langdock']",
        "api_keys,api_keys:model,users,agents,projects,models",
    ]


@pytest.mark.parametrize("hook_class", [entry["hook-class-name"] for entry in INFO["connection-types"]])
def test_the_form_of_older_airflows_says_the_same(hook_class):
    module, _, name = hook_class.rpartition(".")
    hook = getattr(importlib.import_module(module), name)
    assert {"get_connection_form_widgets", "get_ui_field_behaviour"} <= set(vars(hook))  # Airflow looks nowhere else
    behaviour = hook.get_ui_field_behaviour()
    assert behaviour["relabeling"] == {"host": "Base URL", "port": "Port", "password": "API key"}
    assert set(behaviour["hidden_fields"]) == {"login", "schema"}
    assert behaviour["placeholders"]["host"] == hook.base_url


def test_operators_sensors_and_triggers_load_nothing_heavy():
    names = ["operators.keywordsai", "operators.langdock", "sensors.langdock", "triggers.langdock", "bundles"]
    code = "import sys, airflow.sdk; before = set(sys.modules)\n"
    code += "".join(f"import airflow_usage_provider.{name}\n" for name in names)
    code += "print(*({'requests', 'boto3', 'pandas', 'pyarrow', 'numpy'} & (set(sys.modules) - before)))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert answer.strip() == ""
