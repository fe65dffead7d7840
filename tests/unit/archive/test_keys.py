"""Every name survives its way into an S3 key and back, and ids sort by time whatever the clock does."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_usage_provider.archive.keys import (
    MANIFEST_NAME,
    ArchiveKey,
    ArchiveLocation,
    Series,
    new_snapshot_id,
    part_name,
)
from airflow_usage_provider.exceptions import ArchiveCorruptError, ConfigurationError
from airflow_usage_provider.models import FileFormat

DAY = date(2026, 11, 20)
ID = "20261121T020003Z-7f3a91c2"
NOW = datetime(2026, 11, 21, 2, 0, 3, tzinfo=UTC)
ARN = "arn:aws:s3:eu-west-1:123456789012:accesspoint"
OUTPOST = "arn:aws:s3-outposts:us-west-2:123456789012:outpost/op-01ac5d28a6a232904"
names = st.text(min_size=1, max_size=40)
prefixes = st.lists(st.from_regex(r"[a-z0-9=._ é-]{1,8}", fullmatch=True), max_size=3).map("/".join)


@given(account=names, vendor=names, stream=names, prefix=prefixes)
def test_any_name_comes_back_from_its_key(account: str, vendor: str, stream: str, prefix: str) -> None:
    series = Series(vendor, account, stream)
    key = f"{series.day_prefix(ArchiveLocation('archive', prefix), DAY)}snapshot={ID}/{MANIFEST_NAME}"
    assert ArchiveKey.parse(key) == ArchiveKey(series, DAY, ID, MANIFEST_NAME)


@given(account=names)
def test_any_account_is_one_segment_of_plain_characters(account: str) -> None:
    location = ArchiveLocation("archive", "")
    prefix = Series("langdock", account, "users").prefix(location)
    assert prefix.count("/") == 3
    assert prefix.isascii()
    assert prefix.isprintable()


def test_the_layout_is_the_documented_one() -> None:
    location = ArchiveLocation.parse("s3://archive/llm/usage")
    prefix = Series("langdock", "eu/acme", "api_keys").day_prefix(location, DAY)
    assert prefix == "llm/usage/raw/vendor=langdock/account=eu%2Facme/stream=api_keys/usage_date=2026-11-20/"
    assert location.uri(prefix) == f"s3://archive/{prefix}"


@pytest.mark.parametrize(
    ("url", "bucket", "prefix"),
    [
        ("s3://archive", "archive", ""),
        ("s3://archive/", "archive", ""),
        (" s3://archive/a//b/ ", "archive", "a/b"),
        ("S3://my.bucket-1/größe und mehr", "my.bucket-1", "größe und mehr"),
        ("s3://company_llm_usage/archive", "company_llm_usage", "archive"),
        ("s3://Legacy_Name.Of.2009/x", "Legacy_Name.Of.2009", "x"),
        (f"s3://{ARN}/mine/a/b", f"{ARN}/mine", "a/b"),
        (f"s3://{ARN}:mine", f"{ARN}:mine", ""),
        (f"s3://{OUTPOST}/accesspoint/mine/a", f"{OUTPOST}/accesspoint/mine", "a"),
    ],
)
def test_an_archive_url_is_bucket_and_prefix(url: str, bucket: str, prefix: str) -> None:
    assert ArchiveLocation.parse(url) == ArchiveLocation(bucket, prefix)


@pytest.mark.parametrize(
    "url",
    [
        "archive/usage",
        "https://archive/usage",
        "s3:archive",
        "s3://",
        "s3:///usage",
        "s3://AB/usage",
        "s3://a",
        "s3://ab",
        "s3://___/x",
        "s3://../x",
        "s3://archive:80/x",
        "s3://ärchive/x",
        "s3://" + 256 * "a",
        "s3://arn:aws:sqs:eu-west-1:123456789012:accesspoint/mine/x",
        "s3://arn:aws:s3:eu-west-1:1234:accesspoint/mine/x",
        "s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/",
        "s3://user:secret@archive/x",
        "s3://archive/x?versionId=1",
        "s3://archive/x#y",
        "s3://archive/a\nb",
        None,
    ],
)
def test_what_is_no_s3_location_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="s3://bucket/prefix"):
        ArchiveLocation.parse(url)


KEY = f"raw/vendor=v/account=a/stream=s/usage_date=2026-11-20/snapshot={ID}/_manifest.json"


def test_a_key_of_the_archive_is_read() -> None:
    assert ArchiveKey.parse(KEY) == ArchiveKey(Series("v", "a", "s"), DAY, ID, "_manifest.json")
    assert ArchiveKey.parse(f"some/where/{KEY}") == ArchiveKey.parse(KEY)


@pytest.mark.parametrize(
    "key",
    [
        "",
        KEY.replace("raw/", "cooked/"),
        KEY.replace("2026-11-20", "2026-13-20"),
        KEY.replace(ID, "latest"),
        KEY.replace(ID, "20261399T000000Z-0000abcd"),
        KEY.replace(ID, "20260230T000000Z-0000abcd"),
        KEY.replace(ID, "20261121T250000Z-0000abcd"),
        KEY.replace(ID, "20261121T235960Z-0000abcd"),
        KEY.replace(ID, "00000101T000000Z-0000abcd"),
        KEY.replace(ID, ID.upper()),
        KEY.replace(ID, ID + "0"),
        KEY + "/more",
        KEY.replace("account=a/", ""),
        KEY.replace("account=a", "account="),
    ],
)
def test_what_is_no_key_of_the_archive_is_passed_over(key: str) -> None:
    assert ArchiveKey.parse(key) is None


def test_ids_of_one_second_differ() -> None:
    assert len({new_snapshot_id(NOW) for _ in range(100)}) == 100
    assert new_snapshot_id(NOW).startswith("20261121T020003Z-")


def test_an_id_of_the_far_future_is_followed_and_one_at_the_end_of_the_calendar_is_said_to_be_in_the_way() -> None:
    assert new_snapshot_id(NOW, after="99991231T235958Z-0000abcd").startswith("99991231T235959Z-")
    with pytest.raises(ArchiveCorruptError, match=r"99991231T235959Z-0000abcd.*nothing sorts behind it.*Move"):
        new_snapshot_id(NOW, after="99991231T235959Z-0000abcd")


def test_an_id_tells_utc() -> None:
    tokyo = NOW.astimezone(datetime.fromisoformat("2026-01-01T00:00:00+09:00").tzinfo)
    assert new_snapshot_id(tokyo).startswith("20261121T020003Z-")


@given(st.lists(st.integers(-3600, 3600), min_size=2, max_size=12))
def test_ids_rise_though_the_clock_steps_back(steps: list[int]) -> None:
    ids: list[str] = []
    now = NOW
    for step in steps:
        now += timedelta(seconds=step)
        ids.append(new_snapshot_id(now, after=ids[-1] if ids else None))
    assert ids == sorted(ids)
    assert all(ArchiveKey.parse(KEY.replace(ID, new)) for new in ids)


def test_an_id_is_the_clocks_where_the_clock_is_ahead() -> None:
    assert new_snapshot_id(NOW, after="20261121T020002Z-ffffffff").startswith("20261121T020003Z-")
    assert new_snapshot_id(NOW, after="20261231T235959Z-ffffffff").startswith("20270101T000000Z-")


def test_parts_are_named_after_number_format_and_compression() -> None:
    assert part_name(0, FileFormat.CSV, "gzip") == "part-00000.csv.gz"
    assert part_name(12, FileFormat.JSON_LINES, "none") == "part-00012.jsonl"
