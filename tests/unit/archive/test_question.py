"""Questions are compared by what they mean, and a difference is spelled out for whoever has to decide."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from airflow_usage_provider.archive.question import check_new_question, describe_difference, spell_question
from airflow_usage_provider.exceptions import ConfigurationError

ASKED = {"method": "POST", "path": "/export/models", "parameters": {"group_by": None, "size": 5}, "timezone": "UTC"}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (ASKED, dict(reversed(ASKED.items()))),
        ({"size": 5}, {"size": "5"}),
        ({"offset": -5.5}, {"offset": Decimal("-5.50")}),
        ({"offset": 5.0}, {"offset": 5}),
        ({"all": True}, {"all": "true"}),
        ({"group_by": None}, {}),
        ({"parameters": {"group_by": None}}, {}),
        ({"fields": ("a", "b")}, {"fields": ["a", "b"]}),
        ({"fields": {"b", "a"}}, {"fields": ["a", "b"]}),
    ],
)
def test_what_means_the_same_is_the_same_question_also_behind_the_manifest(one: object, other: object) -> None:
    for old, new in ((one, other), (other, one)):
        assert describe_difference(old, new) == ""  # type: ignore[arg-type]
        kept = json.loads(json.dumps(spell_question(old)))  # type: ignore[arg-type]
        assert describe_difference(kept, new) == ""  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("one", "other", "told"),
    [
        ({"timezone": "UTC"}, {"timezone": "Europe/Berlin"}, 'timezone was "UTC" and is "Europe/Berlin"'),
        ({}, {"a": {"b": 1}}, 'a.b was not given and is "1"'),
        ({"a": {"b": 1}}, {"a": "b"}, 'a was not given and is "b", a.b was "1" and is not given'),
        ({"fields": ["a", "b"]}, {"fields": ["b", "a"]}, 'fields was ["a", "b"] and is ["b", "a"]'),
        ({"version": "1.10"}, {"version": "1.1"}, 'version was "1.10" and is "1.1"'),
        ({"fields": []}, {}, "fields was [] and is not given"),
    ],
)
def test_a_difference_is_told_with_both_sides(one: dict[str, object], other: dict[str, object], told: str) -> None:
    assert describe_difference(one, other) == told


def test_differences_without_end_are_told_in_part() -> None:
    many = {f"p{number:03d}": "x" * 1000 for number in range(500)}
    told = describe_difference({}, many)
    assert len(told) < 4000
    assert told.endswith("and 488 more")


def test_a_question_nested_without_end_is_another_one() -> None:
    deep: dict[str, object] = {}
    for _ in range(5000):
        deep = {"a": deep}
    assert "too deep" in describe_difference(deep, ASKED)


@pytest.mark.parametrize("word", ["", "accepted", "Refuse", None, True])
def test_a_word_that_says_nothing_of_new_questions_is_refused(word: str) -> None:
    with pytest.raises(ConfigurationError, match=r"new_question is .*Give refuse or accept"):
        check_new_question(word)
