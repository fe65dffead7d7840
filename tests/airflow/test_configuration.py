from __future__ import annotations

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
