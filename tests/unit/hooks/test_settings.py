from __future__ import annotations

from types import SimpleNamespace

import pytest

from airflow_usage_provider.exceptions import ConfigurationError
from airflow_usage_provider.hooks.settings import Settings


def read(**fields):
    given = {"password": "k", "host": None, "schema": None, "port": None, "extra": None, **fields}
    return Settings("acme", lambda: SimpleNamespace(**given))


@pytest.mark.parametrize("extra", ["[" * 100_000, '{"timeout": ' + "9" * 5000 + "}", ["account"], 5, "no json"])
def test_an_extra_that_is_no_json_object_is_refused_however_odd_it_is(extra):
    with pytest.raises(ConfigurationError, match="Connection 'acme' has an extra that is no JSON object") as caught:
        read(extra=extra).text("account")
    assert caught.value.__context__ is None  # which would hold the extra's text


@pytest.mark.parametrize("extra", [None, "", "  ", "{}", '{"account": null}', '{"account": ""}'])
def test_an_extra_without_a_value_is_not_set(extra):
    assert read(extra=extra).text("account") is None


def test_fields_that_are_numbers_are_taken_as_text():
    settings = read(password=12345, host=10, extra='{"account": 7}')
    assert (settings.api_key, settings.base_url, settings.text("account")) == ("12345", "https://10", "7")


def test_a_long_wrong_value_is_not_shown_whole():
    with pytest.raises(ConfigurationError) as caught:
        read(extra={"timeout": "x" * 10_000}).seconds("timeout")
    assert len(str(caught.value)) < 300


def test_white_space_around_a_text_is_none_of_it():
    assert read(extra='{"environment": " test "}').text("environment") == "test"
