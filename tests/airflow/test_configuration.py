from __future__ import annotations

from decimal import Decimal

import pytest

from airflow_usage_provider import configuration
from airflow_usage_provider.exceptions import ConfigurationError


@pytest.fixture
def configure(monkeypatch):
    def _configure(section="usage_provider", **options):
        for name, value in options.items():
            monkeypatch.setenv(f"AIRFLOW__{section.upper()}__{name.upper()}", value)

    return _configure


def test_tables_go_below_the_archive_unless_told_otherwise(configure):
    configure(archive_url="s3://bucket/archive/")
    assert configuration.read_tables_url() == "s3://bucket/archive/tables"
    configure(tables_url="s3://tables/here")
    assert configuration.read_tables_url() == "s3://tables/here"


def test_tables_without_an_archive_are_refused_by_name():
    with pytest.raises(ConfigurationError, match=r"\[usage_provider\] archive_url is not set"):
        configuration.read_tables_url()


def test_a_month_is_closed_on_a_day_that_every_month_has(configure):
    assert configuration.read_close_day() == 10
    for day in ("0", "29", "1.5", "tenth"):
        configure(close_day=day)
        with pytest.raises(ConfigurationError, match=f"close_day is '{day}'"):
            configuration.read_close_day()


def test_there_need_be_no_owners(configure):
    assert configuration.read_owners_url() is None
    configure(owners_url="s3://bucket/owners.csv")
    assert configuration.read_owners_url() == "s3://bucket/owners.csv"


def test_budgets_are_amounts_by_currency(configure):
    assert configuration.read_budgets() == {}
    configure(budgets="USD:5000, eur :800.50")
    assert configuration.read_budgets() == {"USD": Decimal(5000), "EUR": Decimal("800.50")}
    for wrong in ("USD", "USD:", "USD:0", "USD:-1", "USD:many", "USD:1,USD:2", "USD:1,usd:2", ":5", "dollars:5"):
        configure(budgets=wrong)
        with pytest.raises(ConfigurationError, match=r"\[usage_provider\] budgets has "):
            configuration.read_budgets()


def test_names_are_personal_data_unless_told_otherwise(configure):
    assert configuration.read_principal_names() is False
    configure(principal_names="True")
    assert configuration.read_principal_names() is True
    configure(principal_names="ture")
    with pytest.raises(ConfigurationError, match="principal_names is 'ture'"):
        configuration.read_principal_names()
