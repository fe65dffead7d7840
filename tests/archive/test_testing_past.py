"""The past that the demo's pages show: archived as if then, proven whole, and revised here and there."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from airflow_usage_provider.archive.catalog import Selection, load_catalog
from airflow_usage_provider.archive.keys import ArchiveLocation
from airflow_usage_provider.archive.objects import S3Objects
from airflow_usage_provider.archive.verify import verify_archive
from airflow_usage_provider.testing import past
from airflow_usage_provider.testing.past import EVERY, archive_past

KEYS = {"keywordsai": "sk-acme;revise_after=1", "langdock": "sk-acme"}


def test_the_past_is_an_archive_like_any_other(running_sandbox, s3_server):
    revised = date.fromordinal(date(2026, 10, 20).toordinal() // EVERY * EVERY)
    client = s3_server.client()
    url = f"s3://{s3_server.bucket}/history"
    assert archive_past(running_sandbox.url, KEYS, client, url, [revised, revised + timedelta(days=1)]) == 12
    objects = S3Objects(client, ArchiveLocation.parse(url))
    now = datetime.now(UTC)
    assert [each for report in verify_archive(objects, Selection(), now=now, jobs=2) for each in report.findings] == []
    found = {
        (day.series.stream, day.usage_date): [snapshot_id[:8] for snapshot_id in day.manifests]
        for day in load_catalog(objects, Selection()).days
    }
    assert {stream for stream, _ in found} == {"users", "api_keys", "api_keys_by_model", "models"}
    nights = [f"{revised + timedelta(days=days):%Y%m%d}" for days in (1, 8)]
    assert found["users", revised] == nights
    assert found["users", revised + timedelta(days=1)] == [f"{revised + timedelta(days=2):%Y%m%d}"]
    client.close()


def test_no_day_was_pulled_again_before_it_could_be(running_sandbox, s3_server, monkeypatch):
    monkeypatch.setattr(past, "EVERY", 1)
    today = datetime.now(UTC).date()
    days = [today - timedelta(days=ago) for ago in range(7, 0, -1)]
    client = s3_server.client()
    count = archive_past(running_sandbox.url, KEYS, client, f"s3://{s3_server.bucket}/history-now", days)
    assert count == 4 * len(days)
    client.close()
