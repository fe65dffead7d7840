"""The command looks back, adds up, and says when an archive stopped."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import sys
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from samples import FIRST, JSON_FIRST, JSON_SECOND, SECOND, USERS, Copy, Shelf, download, live

from airflow_usage_provider.cli import main

Run = Callable[..., tuple[int, str, str]]
DAY_2 = "stream=api_keys/usage_date=2026-01-02"


@pytest.fixture
def copy(s3_client: Any, tmp_path: Path) -> Copy:
    return download(live(s3_client)[1], tmp_path / "archive")


@pytest.fixture
def run(copy: Copy, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run a command on the copy; return exit status, stdout and stderr."""

    def call(command: str, *arguments: str, archive: Path | str | None = None) -> tuple[int, str, str]:
        try:
            status = main([command, str(archive or copy.folder), *arguments])
        except SystemExit as error:
            status = int(error.code or 0)
        sys.stdout.flush()
        return (status, *capfd.readouterr())

    return call


def test_a_day_is_its_end_in_utc(run: Run, s3_client: Any, tmp_path: Path) -> None:
    shelf = Shelf(s3_client, "archive")
    for at, body in (("2026-01-02T23:59:59", FIRST), ("2026-01-03T00:00:00", SECOND)):
        shelf.now = datetime.fromisoformat(f"{at}+00:00") - timedelta(hours=1)
        shelf.store(1, body, 2)
    archive = download(shelf.read_all(), tmp_path / "other").folder
    assert run("show", "2026-01-01", "--cat", "--as-of", "2026-01-02", archive=archive)[1] == FIRST.decode()
    assert run("show", "2026-01-01", "--cat", "--as-of", "2026-01-03", archive=archive)[1] == SECOND.decode()
    times = {"2026-01-03T00:00:00Z": SECOND, "2026-01-03T01:00:00+02:00": None, "2026-01-02T23:59:59": FIRST}
    for at, body in times.items():
        status, out, _ = run("show", "2026-01-01", "--cat", "--as-of", at, archive=archive)
        assert (status, out) == ((2, "") if body is None else (0, body.decode()))


def test_before_its_first_snapshot_a_day_is_left_out_and_nothing_was_known(run: Run) -> None:
    status, out, _ = run("ls", "--json", "--as-of", "2026-01-03")
    assert status == 0
    days = [json.loads(line) for line in out.splitlines()]
    assert [(day["stream"], day["usage_date"], day["revision"]) for day in days] == [
        ("api_keys", "2026-01-01", 1),
        ("api_keys", "2026-01-02", 2),
    ]
    for form in ((), ("--json",), ("--cat", "--stream", "api_keys")):
        status, out, err = run("show", "2026-01-05", "--as-of", "2026-01-05", *form)
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert "Nothing was known of 2026-01-05 as of 2026-01-05T23:59:59+00:00" in err


def test_show_as_of_marks_what_was_current_then(run: Run) -> None:
    _, out, _ = run("show", "2026-01-02", "--as-of", "2026-01-03T03:30:00")
    assert [line[0] for line in out.splitlines()[1:]] == [" ", "*"]


def test_any_revision_is_written_as_it_was_sent(run: Run) -> None:
    assert run("show", "2026-01-02", "--cat", "--revision", "1")[1] == FIRST.decode()
    assert run("show", "2026-01-02", "--cat", "--revision", "2")[1] == SECOND.decode()
    _, out, _ = run("show", "2026-01-02", "--json")
    second = json.loads(out.splitlines()[1])["snapshot_id"]
    assert run("show", "2026-01-02", "--cat", "--revision", second)[1] == FIRST.decode()
    assert run("show", "2026-01-02", "--cat", "--revision", "3")[0] == 2
    assert run("show", "2026-01-02", "--revision", "1")[0] == 2


def test_diff_between_two_times_adds_up_what_changed(run: Run) -> None:
    month = ("--since", "2026-01-01", "--until", "2026-01-31", "--stream", "api_keys")
    when = ("--as-of", "2026-01-03T02:30:00", "--and-as-of", "2026-01-05")
    status, out, err = run("diff", *month, *when, "--sum", "total_cost_usd")
    head = "langdock eu/acme api_keys"
    assert status == 0
    assert out.splitlines() == [
        f"{head} 2026-01-02 + api_key_id=k3  total_cost_usd: (none) -> 2  +2",
        f"{head} 2026-01-02 - api_key_id=k2  total_cost_usd: 1.50 -> (none)  -1.50",
        f"= {head}  total_cost_usd +0.50",
    ]
    assert "1 day changed from 2026-01-03T02:30:00+00:00 to 2026-01-05T23:59:59+00:00" in err
    _, out, _ = run("diff", *month, *when, "--sum", "total_cost_usd", "--json")
    records = [json.loads(line) for line in out.splitlines()]
    assert (records[0]["usage_date"], records[0]["key"], records[0]["difference"]) == (
        "2026-01-02",
        {"api_key_id": "k3"},
        "+2",
    )
    assert records[-1] == {"series": head, "column": "total_cost_usd", "difference": "+0.50"}


def test_diff_between_two_times_shows_rows_and_days_of_which_nothing_was_known(run: Run) -> None:
    status, out, _ = run("diff", "2026-01-01", "--as-of", "2026-01-01", "--stream", "users", "--exit-code")
    assert status == 1
    assert [line.split()[0] for line in out.splitlines()] == ["keywordsai", "+", "+"]
    assert run("diff", "2026-01-01", "--as-of", "2026-02-01", "--exit-code")[0] == 0


def test_amounts_are_added_exactly_and_what_is_none_is_named(run: Run, s3_client: Any, tmp_path: Path) -> None:
    shelf = Shelf(s3_client, "archive")
    rows = [b"api_key_id,total_cost_usd\n", *(b"k%d,4.9e-9\n" % number for number in range(100))]
    shelf.store(1, b"".join([*rows, b"big,1e25\n"]), 101, columns="api_key_id total_cost_usd")
    shelf.store(2, b'api_key_id,total_cost_usd\nk1,"1,234.56"\n', 1, columns="api_key_id total_cost_usd")
    archive = download(shelf.read_all(), tmp_path / "other").folder
    command = ("diff", "2026-01-01", "--as-of", "2026-01-01", "--sum", "total_cost_usd")
    assert run(*command, archive=archive)[1].endswith(" +10000000000000000000000000.0000004900\n")
    status, _, err = run("diff", "2026-01-02", *command[2:], archive=archive)
    assert (status, err.count("\n")) == (2, 1)
    assert "total_cost_usd of api_key_id=k1 on 2026-01-02 is '1,234.56'" in err
    assert run("diff", "2026-01-02", *command[2:4], "--sum", "cost", archive=archive)[0] == 2


def test_words_may_stand_before_and_behind_options(run: Run) -> None:
    expected = run("diff", "2026-01-02", "1", "2")
    assert run("diff", "--vendor", "langdock", "2026-01-02", "1", "2") == expected
    assert run("ls", "--vendor", "langdock", "2026-01-02")[0] == 2


def test_an_archive_that_stopped_fails_on_gaps(run: Run) -> None:
    status, out, _ = run("verify", "--fail-on-gaps", "--since", "2026-01-05", "--vendor", "langdock")
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    assert status == 1
    assert f"has no snapshot of 2026-01-06 to {yesterday} (" in out
    assert (
        run("verify", "--fail-on-gaps", "--since", "2026-01-05", "--until", "2026-01-05", "--vendor", "langdock")[0]
        == 0
    )
    assert run("verify", "--since", "2026-01-05")[0] == 0


def test_yesterday_is_where_the_series_is(copy: Copy) -> None:
    for path in copy.folder.rglob("usage_date=2026-01-05/*/_manifest.json"):
        copy.edit(path, timezone="Pacific/Kiritimati")  # 14 hours before UTC
    late = datetime(2026, 1, 6, 11, tzinfo=UTC)
    selected = {"now": late, "is_current": True, "vendor": "langdock"}
    gaps = [
        finding.problem for report in copy.reports(**selected) for finding in report.findings if finding.kind == "gap"
    ]
    assert gaps == ["has no snapshot of 2026-01-04", "has no snapshot of 2026-01-06"]


@pytest.mark.parametrize(
    "selection", [("--since", "2026-02-01"), ("--vendor", "langdok"), ("--until", "2025-01-01"), ("--stream", "x")]
)
def test_a_selection_without_a_snapshot_is_a_finding(run: Run, selection: tuple[str, ...]) -> None:
    status, out, _ = run("verify", *selection)
    assert status == 1
    assert "FINDING no snapshot: " in out


@pytest.mark.parametrize(
    "line",
    [
        "langdock eu/acme agents",
        "langdock/eu/acme/agents",
        "langdock/eu%2Facme/agents",
        "raw/vendor=langdock/account=eu%2Facme/stream=agents/",
        '{"vendor": "langdock", "account": "eu/acme", "stream": "agents"}',
    ],
)
def test_a_series_that_is_expected_and_not_there_is_a_finding(run: Run, tmp_path: Path, line: str) -> None:
    expected = tmp_path / "expected"
    expected.write_text(f"# ours\n\n{line}\nkeywordsai prod users\n")
    status, out, _ = run("verify", "--expect", str(expected))
    (finding,) = [each for each in out.splitlines() if each.startswith("FINDING")]
    assert status == 1
    assert finding.startswith("FINDING missing series: ")
    assert "account=eu%2Facme/stream=agents is expected" in finding
    expected.write_text("keywordsai prod users\n")
    assert run("verify", "--expect", str(expected))[0] == 0
    expected.write_text("users\n")
    assert run("verify", "--expect", str(expected))[0] == 2


def test_times_of_objects_are_checked_when_told_to(run: Run, copy: Copy) -> None:
    for path in copy.folder.rglob("_manifest.json"):
        at = datetime.fromisoformat(json.loads(path.read_bytes())["snapshot_at"]).timestamp()
        os.utime(path, (at, at))
    assert run("verify", "--check-times")[0] == 0
    os.utime(path, (at + 200_000, at + 200_000))
    assert run("verify")[0] == 0
    status, out, _ = run("verify", "--check-times")
    assert (status, out.count("FINDING odd time")) == (1, 1)


def test_a_bucket_tells_of_replaced_and_deleted_objects(canned_server: Any, canned: Any, s3_server: Any) -> None:
    from airflow_usage_provider.archive.keys import ArchiveLocation
    from airflow_usage_provider.archive.objects import S3Objects
    from airflow_usage_provider.archive.versions import describe_protection, find_versions

    def version(kind: str, key: str, latest: str) -> str:
        return (
            f"<{kind}><Key>llm/raw/{key}</Key><VersionId>v</VersionId><IsLatest>{latest}</IsLatest>"
            f"<LastModified>2026-01-01T00:00:00Z</LastModified></{kind}>"
        )

    versions = version("Version", "a", "true") + version("Version", "b", "true") + version("Version", "b", "false")
    body = f"<ListVersionsResult>{versions}{version('DeleteMarker', 'c', 'true')}</ListVersionsResult>".encode()
    on = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
    none = b"<Error><Code>ObjectLockConfigurationNotFoundError</Code></Error>"
    server = canned_server(
        [canned(200, body), canned(200, b"<ListVersionsResult/>"), canned(200, on), canned(404, none)]
    )
    client = s3_server.client(endpoint_url=server.url)
    objects = S3Objects(client, ArchiveLocation("archive", "llm"), {"RequestPayer": "requester"})
    assert [(each.kind, each.name) for each in find_versions(objects)] == [("replaced", "raw/b"), ("deleted", "raw/c")]
    assert describe_protection(objects) == "Versioning: on; Object Lock: off."
    client.close()
    assert [headers.get("x-amz-request-payer") for _, headers in server.requests[:2]] == ["requester"] * 2


def test_a_bucket_that_locks_its_objects_says_so_and_remembers_what_was_done(
    run: Run, s3_client: Any, s3_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret_key)
    bucket = f"locked-{uuid.uuid4().hex[:8]}"
    s3_client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    rule = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 400}}
    s3_client.put_object_lock_configuration(
        Bucket=bucket, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule}
    )
    shelf = Shelf(s3_client, bucket)
    key = shelf.store(1, FIRST, 2).files[0].key
    how = ("--versions", "--endpoint-url", s3_server.endpoint_url, "--region", "us-east-1")
    status, out, _ = run("verify", *how, archive=shelf.url)
    assert status == 0
    assert "Versioning: on; Object Lock: compliance mode, 400 days.\n" in out
    body = shelf.read(key)
    s3_client.delete_object(Bucket=bucket, Key=key)
    shelf.put(key, body)
    status, out, _ = run("verify", *how, archive=shelf.url)
    assert (status, out.count("FINDING deleted"), out.count("FINDING replaced")) == (1, 1, 1)


def test_a_folder_keeps_no_versions(run: Run) -> None:
    status, _, err = run("verify", "--versions")
    assert (status, err.count("\n")) == (2, 1)


def test_who_pays_is_told_with_listings_and_bodies(
    canned_server: Any, canned: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    server = canned_server([canned(200, b"<ListBucketResult></ListBucketResult>")])
    how = ("--endpoint-url", server.url, "--region", "us-east-1")
    for switch, expected in (((), None), (("--request-payer",), "requester")):
        server.requests.clear()
        assert main(["ls", "s3://archive", *how, *switch]) == 2
        assert {headers.get("x-amz-request-payer") for _, headers in server.requests} == {expected}


def test_nothing_that_is_printed_acts_upon_a_terminal(run: Run, copy: Copy) -> None:
    path = copy.find(f"{DAY_2}/*/_manifest.json")
    evil = "\x1b]0;x\x07\u202e\n"
    copy.edit(path, maturity=evil, previous=evil, snapshot_at=evil, columns_added=[evil], columns_removed=[evil])
    for command in (("show", "2026-01-02"), ("ls",), ("verify",), ("show", "2026-01-02", "--as-of", "2026-01-04")):
        _, out, err = run(*command)
        assert not {"\x1b", "\x07", "\u202e"} & set(out + err)
    path.parent.rename(path.parent.with_name("snapshot=\x1b[2J"))
    assert "\x1b" not in "".join(run("verify")[1:])


def test_a_bomb_stops_at_what_its_manifest_allows(run: Run, copy: Copy) -> None:
    part = copy.find("stream=api_keys/usage_date=2026-01-01/*/part-*")
    part.write_bytes(gzip.compress(bytes(300 << 20), 9))
    copy.edit(
        copy.find("stream=api_keys/usage_date=2026-01-01/*/_manifest.json"),
        files=lambda files: [files[0] | {"raw_bytes": 8, "bytes": part.stat().st_size}],
    )
    status, out, err = run("show", "2026-01-01", "--cat", "--stream", "api_keys")
    assert (status, out) == (2, "")
    assert "is not what its manifest says" in err


def test_a_pipe_and_a_link_in_an_archive_are_findings(run: Run, copy: Copy) -> None:
    first, second = (copy.find(f"{DAY_2}/*/_manifest.json", number) for number in (0, 1))
    first.unlink()
    os.mkfifo(first)
    second.unlink()
    second.symlink_to("/dev/zero")
    part = copy.find("part-*.jsonl")
    part.unlink()
    part.symlink_to("/dev/zero")
    status, out, _ = run("verify")
    assert status == 1
    assert out.count("Not a regular file") == 3
    assert run("ls")[0] == 0


def test_a_copied_snapshot_is_named_and_harms_no_other_day(run: Run, copy: Copy) -> None:
    source = copy.find(f"{DAY_2}/snapshot=*")
    shutil.copytree(source, source.with_name("snapshot=20260110T000000Z-00000000"))
    status, out, _ = run("verify")
    assert status == 1
    assert "says snapshot_id" in out
    assert {line.split("usage_date=")[1][:10] for line in out.splitlines() if line.startswith("FINDING")} == {
        "2026-01-02"
    }


def test_users_changed_between_two_times(run: Run) -> None:
    _, out, _ = run("diff", "2026-01-01", "1", "2", "--vendor", "keywordsai", "--sum", "cost")
    assert out.splitlines() == [
        "keywordsai prod users 2026-01-01 ~ customer_identifier=b  cost: 1 -> 1.5  +0.5",
        "= keywordsai prod users  cost +0.5",
    ]
    assert JSON_FIRST != JSON_SECOND
    assert USERS.account == "prod"
