"""Nothing a vendor sent goes without a word: what comes twice is counted, and only what pages share is left out."""

from __future__ import annotations

from itertools import chain

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from airflow_usage_provider.exceptions import IncompleteSnapshotError
from airflow_usage_provider.records import digests
from airflow_usage_provider.records.pages import Covered, Page
from airflow_usage_provider.records.reading import Reading

USER = ("customer_identifier", "environment")


def page(*records: str) -> Page:
    """Build a page; ``a5`` is user a with cost 5, ``a`` without one."""
    return Page([_record(record) for record in records])


def _record(text: str) -> bytes:
    cost = f',"cost":{text[1:]}' if text[1:] else ""
    return f'{{"customer_identifier":"{text[0]}"{cost}}}'.encode()


def read(*pages: Page, identity: tuple[str, ...] = USER) -> tuple[list[list[bytes]], Reading]:
    reading = Reading(identity)
    return [kept.records for page in pages for kept in reading.add_page(page)], reading


def test_a_record_whose_bytes_came_on_an_earlier_page_is_left_out_and_counted() -> None:
    kept, reading = read(page("a1", "b1"), page("b1", "c1"))
    assert kept == [page("a1", "b1").records, page("c1").records]
    assert (reading.rows, reading.duplicates, reading.conflicts, reading.pages) == (3, 1, 0, 2)
    assert reading.columns == ("customer_identifier", "cost")


def test_different_records_of_one_identity_are_all_kept_and_counted_on_one_page_or_two() -> None:
    pages = [page("a1", "a2", "b1"), page("b2", "c1"), page("a3")]
    kept, reading = read(*pages)
    assert kept == [each.records for each in pages]
    assert (reading.rows, reading.duplicates, reading.conflicts) == (6, 0, 3)


def test_the_same_bytes_twice_on_one_page_are_two_records_as_no_page_overlaps_with_itself() -> None:
    kept, reading = read(page("a1", "a1", "b1"), page("a1", "a1", "a1", "c1"))
    assert kept == [page("a1", "a1", "b1").records, page("a1", "c1").records]
    assert (reading.rows, reading.duplicates, reading.conflicts) == (5, 2, 2)


def test_without_an_identity_only_the_whole_record_tells() -> None:
    kept, reading = read(page("a1", "a2"), page("a2", "a3"), identity=())
    assert kept == [page("a1", "a2").records, page("a3").records]
    assert (reading.duplicates, reading.conflicts) == (1, 0)
    assert reading.columns == ("customer_identifier", "cost")


def test_a_column_that_is_null_in_every_row_is_no_key() -> None:
    pages = [
        Page([b'{"customer_identifier":null,"environment":null,"cost":1}', b'{"customer_identifier":"","cost":1}']),
        Page([b'{"cost":2}', b'{"customer_identifier":null,"environment":null,"cost":1}']),
    ]
    kept, reading = read(*pages)
    assert kept == [each.records for each in pages]
    assert (reading.duplicates, reading.conflicts) == (0, 0)


def test_a_record_is_somebody_if_any_column_of_its_identity_says_who() -> None:
    nameless = b'{"project":null,"line":"gpt"}'
    kept, reading = read(
        Page([nameless]), Page([nameless, b'{"project":"x","line":"gpt"}']), identity=("project", "line")
    )
    assert kept[1] == [b'{"project":"x","line":"gpt"}']
    assert reading.duplicates == 1


def test_an_identity_may_lie_within_an_object() -> None:
    first, second = b'{"by":{"project":"x"},"cost":1}', b'{"by":{"project":"y"},"cost":1}'
    _, reading = read(Page([first]), Page([second, b'{"by":{"project":"x"},"cost":2}']), identity=("by.project",))
    assert (reading.rows, reading.conflicts) == (3, 1)
    assert reading.columns == ("by", "cost")


def test_members_of_one_name_within_a_record_lose_nothing() -> None:
    first, second = b'{"customer_identifier":"a","customer_identifier":"b"}', b'{"customer_identifier":"b"}'
    kept, reading = read(Page([first]), Page([second, b'{"customer_identifier":"a"}']))
    assert [*chain(*kept)] == [first, second, b'{"customer_identifier":"a"}']
    assert reading.duplicates == 0


def test_what_is_alike_in_two_ranges_of_time_is_not_the_same() -> None:
    hours = [Covered(1, 2, 1), Covered(2, 3, 2)]
    kept, reading = read(
        Page([b"{}", b"{}", b'{"n":1}'], covers=hours), Page([b"{}"], covers=[Covered(3, 4, 1)]), identity=()
    )
    assert kept == [[b"{}"], [b"{}", b'{"n":1}'], [b"{}"]]
    assert (reading.duplicates, reading.conflicts) == (0, 0)


def test_what_is_left_out_and_what_conflicts_is_counted_where_it_lies() -> None:
    reading = Reading(("n",))
    reading.add_page(Page([b'{"n":1}', b'{"n":2}'], covers=[Covered(1, 2, 1), Covered(2, 3, 1)]))
    again = Page([b'{"n":1}', b'{"n":2,"m":1}', b'{"n":9}'], covers=[Covered(1, 2, 1), Covered(2, 3, 2)])
    assert reading.add_page(again) == [([], 1, 0), ([b'{"n":2,"m":1}', b'{"n":9}'], 0, 1)]


def test_a_page_that_came_before_is_refused_wherever_it_comes_again() -> None:
    with pytest.raises(IncompleteSnapshotError, match="Page 4 repeats an earlier page"):
        read(page("a", "b"), page("c", "d"), page("e", "f"), page("a", "b"))


def test_a_page_of_the_same_users_with_other_figures_came_before_unless_it_is_a_single_one() -> None:
    with pytest.raises(IncompleteSnapshotError, match="Page 2 repeats an earlier page"):
        read(page("a1", "b1"), page("a2", "b2"))
    assert read(page("a1"), page("a2"))[1].conflicts == 1


def test_pages_without_records_do_not_repeat_each_other() -> None:
    _, reading = read(page("a"), page(), page(), page("b"), page())
    assert (reading.rows, reading.pages, reading.last_page) == (2, 5, 4)


@pytest.mark.parametrize(
    ("other", "agrees"),
    [
        (["ab", "cd"], True),
        (["ba", "cd"], False),
        (["ab", "c"], False),
        (["ab", "ce"], False),
        (["ab", "cd", "e"], False),
    ],
)
def test_readings_agree_if_they_held_the_same_records_in_the_same_order(other: list[str], agrees: bool) -> None:
    _, first = read(page("a", "b"), page("c", "d"))
    _, second = read(*(page(*names) for names in other))
    first.forget()
    assert first.agrees_with(second) is agrees


def test_figures_may_run_between_two_readings_but_not_those_of_a_record_that_came_on_two_pages() -> None:
    assert read(page("a1"), page("b1"))[1].agrees_with(read(page("a2"), page("b2"))[1])
    moved = read(page("a1", "b1"), page("a2", "c1"))[1]
    assert moved.has_moved
    assert not moved.agrees_with(read(page("a1", "b1"), page("a3", "c1"))[1])
    assert moved.agrees_with(read(page("a1", "b1"), page("a2", "c1"))[1])


def test_a_last_page_that_says_something_else_of_the_next_one_is_another_listing() -> None:
    first, second = Reading(), Reading()
    first.add_page(page("a"), "none")
    second.add_page(page("a"), "more")
    assert not first.agrees_with(second)


@given(st.lists(st.lists(st.sampled_from(["a1", "a2", "b1", "b2", "c1"]), max_size=5), max_size=5), st.booleans())
def test_of_each_record_as_many_are_kept_as_the_page_that_has_most_of_it(
    pages: list[list[str]], has_identity: bool
) -> None:
    pages = [each for number, each in enumerate(pages) if each not in pages[:number]]
    try:
        kept, reading = read(*(page(*each) for each in pages), identity=USER if has_identity else ())
    except IncompleteSnapshotError:  # the same users in the same order, with other figures
        assume(False)
    records = [*chain(*kept)]
    for name in {name for each in pages for name in each}:
        assert records.count(_record(name)) == max(each.count(name) for each in pages)
    assert len(records) + reading.duplicates == sum(map(len, pages))


def test_a_user_is_found_again_however_many_came_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "_MOST_NEWEST", 100)
    users = [b'{"customer_identifier":"u%d"}' % number for number in range(1000)]
    reading = Reading(USER)
    for start in range(0, len(users), 50):
        assert reading.add_page(Page(users[start : start + 50]))[0].records == users[start : start + 50]
    for again in (users[0], users[512], users[-1]):
        other = b'{"customer_identifier":"%d"}' % reading.pages
        assert reading.add_page(Page([again, other])) == [([other], 1, 0)]
    changed = b'{"customer_identifier":"u512","cost":1}'
    assert reading.add_page(Page([changed, b'{"customer_identifier":"z"}']))[0].conflicts == 1
    assert (reading.rows, reading.duplicates) == (1005, 3)


def test_digests_are_long_and_another_process_has_others() -> None:
    import subprocess
    import sys

    program = "from airflow_usage_provider.records.digests import digest; print(digest(b'a').hex())"
    others = {subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout for _ in "ab"}
    assert len(others) == 2
    assert len(digests.digest(b"a")) == 16


@pytest.mark.slow
def test_the_memory_of_a_reading_is_some_tens_of_bytes_a_record() -> None:
    import tracemalloc

    reading = Reading(USER)
    tracemalloc.start()
    try:
        for first in range(0, 300_000, 1000):
            names = range(first, first + 1000)
            reading.add_page(Page([b'{"customer_identifier":"%d"}' % name for name in names]))
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert reading.rows == 300_000
    assert held < 300_000 * 80
