"""The command as it is typed: what it prints, how it exits, and that it needs no Airflow."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from samples import FIRST, JSON_SECOND, SECOND, USERS, Copy, Shelf, download, live

from airflow_usage_provider.archive.keys import Series
from airflow_usage_provider.cli import main
from airflow_usage_provider.schema import StreamSchema

Run = Callable[..., tuple[int, str, str]]
OWNER = {"AWS_ACCESS_KEY_ID": "demo", "AWS_SECRET_ACCESS_KEY": "demosecret"}


@pytest.fixture
def copy(s3_client: Any, tmp_path: Path) -> Copy:
    return download(live(s3_client)[1], tmp_path / "archive")


@pytest.fixture
def run(copy: Copy, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run a command on the copy; return exit status, stdout and stderr."""

    def call(command: str, *arguments: str, archive: str | None = None) -> tuple[int, str, str]:
        try:
            status = main([command, archive or str(copy.folder), *arguments])
        except SystemExit as error:
            status = int(error.code or 0)
        sys.stdout.flush()
        return (status, *capfd.readouterr())

    return call


@pytest.fixture
def bucket(s3_client: Any, s3_server: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """Arguments that name the archive in the bucket; the environment holds the keys."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "reader")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "readersecret")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    return live(s3_client)[0].url, "--endpoint-url", s3_server.endpoint_url, "--region", "us-east-1"


def test_ls_shows_days_and_gaps(run: Run) -> None:
    status, out, err = run("ls")
    lines = [line.split() for line in out.splitlines()]
    assert (status, err) == (0, "")
    assert lines[0] == [
        *("USAGE_DATE", "VENDOR", "ACCOUNT", "STREAM", "ROWS", "BYTES", "REVISION", "STATE", "SNAPSHOTS")
    ]
    assert [(line[0], line[3], line[4], *line[6:]) for line in lines[1:-1]] == [
        ("2026-01-01", "users", "2", "2", "final", "2"),
        ("2026-01-01", "api_keys", "2", "1", "final", "1"),
        ("2026-01-02", "api_keys", "2", "2", "final", "4"),
        ("2026-01-03", "api_keys", "0", "1", "final", "2"),
        ("2026-01-04", "api_keys", "-", "-", "gap", "0"),
        ("2026-01-05", "api_keys", "2", "3", "final", "3"),
    ]
    assert out.splitlines()[-1].startswith("2 streams, 5 days, 1 gap: 8 rows, ")
    assert out.endswith(" bytes, 12 snapshots\n")


def test_ls_for_machines_has_one_object_a_line(run: Run) -> None:
    status, out, _ = run("ls", "--json", "--stream", "api_keys", "--since", "2026-01-04", "--until", "2026-01-05")
    gap, day = map(json.loads, out.splitlines())
    place = {"vendor": "langdock", "account": "eu/acme", "stream": "api_keys"}
    assert status == 0
    assert gap == place | {"usage_date": "2026-01-04", "state": "gap", "snapshots": 0}
    assert day.pop("bytes") > 0
    assert day.pop("snapshot_id").startswith("20260106T")
    assert gzip.decompress(Path(*day.pop("files")).read_bytes()) == FIRST
    assert day == place | {
        "usage_date": "2026-01-05",
        "snapshots": 3,
        "rows": 2,
        "raw_bytes": len(FIRST),
        "revision": 3,
        "state": "final",
        "empty": False,
    }


def test_an_unreadable_manifest_is_listed_and_an_exit_status(run: Run, copy: Copy) -> None:
    copy.find("stream=users/*/*/_manifest.json", 1).write_bytes(b"[" * 100_000)
    status, out, _ = run("ls", "--vendor", "keywordsai")
    assert (status, out.splitlines()[1].split()[-2:]) == (1, ["unreadable", "2"])
    status, out, _ = run("show", "2026-01-01", "--vendor", "keywordsai")
    assert status == 1
    assert "unreadable: Not a manifest" in out


def test_verify_of_a_sound_archive_ends_with_a_line_and_0(run: Run) -> None:
    status, out, err = run("verify")
    note, last = out.splitlines()
    assert (status, err) == (0, "")
    assert note.startswith("NOTE gap: ")
    assert note.endswith("has no snapshot of 2026-01-04. Archive these days again.")
    assert last.startswith("12 snapshots, 19 objects, ")
    assert last.endswith(" s: 0 findings, 1 note")


def test_verify_fails_on_gaps_when_told_to(run: Run) -> None:
    assert run("verify", "--fail-on-gaps", "--until", "2026-01-03", "--vendor", "langdock")[0] == 0
    status, out, _ = run("verify", "--fail-on-gaps", "--since", "2026-01-05", "--until", "2026-01-08")
    assert status == 1
    assert "FINDING gap: " in out
    assert "2026-01-06 to 2026-01-08 (3 days)" in out


def test_verify_of_an_archive_tampered_with_names_the_object_and_exits_with_1(run: Run, copy: Copy) -> None:
    path = copy.find("part-*.csv.gz")
    path.write_bytes(b"")
    copy.folder.joinpath("raw/\x1b[31m\n").write_bytes(b"")
    status, out, _ = run("verify", "--jobs", "1")
    assert status == 1
    assert f"FINDING altered part: {path} has 0 bytes, its manifest says " in out
    assert r"raw/\x1b[31m\n is not of the archive" in out
    assert "\x1b" not in out
    assert out.endswith("2 findings, 1 note\n")


def test_verify_shows_how_far_it_is_to_those_who_look(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert run("verify")[0] == 0
    assert "objects, " in terminal.getvalue()
    assert terminal.getvalue().endswith("\r")


def test_show_lists_the_snapshots_of_a_day_and_marks_the_current_one(run: Run) -> None:
    status, out, _ = run("show", "2026-01-02")
    head, *lines = out.splitlines()
    assert (status, head) == (0, "langdock eu/acme api_keys")
    assert [line[0] for line in lines] == [" ", " ", " ", "*"]
    assert ["unchanged" in line for line in lines] == [False, True, False, True]
    assert "the first" in lines[0]
    assert f"follows {lines[2].split()[0]}" in lines[3]
    _, out, _ = run("show", "2026-01-01", "--vendor", "keywordsai")
    assert "  +new  follows " in out


def test_show_for_machines_has_all_of_it(run: Run, copy: Copy) -> None:
    _, out, _ = run("show", "2026-01-01", "--vendor", "keywordsai", "--json")
    first, second = map(json.loads, out.splitlines())
    assert (first["current"], second["current"]) == (False, True)
    assert (second["revision"], second["previous"]) == (2, first["snapshot_id"])
    assert (second["columns_added"], second["columns_removed"]) == (["new"], [])
    assert Path(second["files"][0]).read_bytes() == JSON_SECOND
    assert Path(second["manifest"]).is_file()


def test_show_cat_writes_the_current_answer_as_the_vendor_sent_it(run: Run) -> None:
    assert run("show", "2026-01-02", "--cat") == (0, SECOND.decode(), "")
    assert run("show", "2026-01-03", "--cat") == (0, "", "")
    assert run("show", "2026-01-01", "--cat", "--stream", "users") == (0, JSON_SECOND.decode(), "")
    status, out, err = run("show", "2026-01-01", "--cat")
    assert (status, out) == (2, "")
    assert "2 streams have this day: keywordsai prod users; langdock eu/acme api_keys" in err


def test_show_cat_of_a_part_tampered_with_is_an_error(run: Run, copy: Copy) -> None:
    path = copy.find("part-*.jsonl", 1)
    path.write_bytes(b"x" + path.read_bytes()[1:])
    status, _, err = run("show", "2026-01-01", "--cat", "--stream", "users")
    assert status == 2
    assert "is not what its manifest says" in err
    path = copy.find("stream=api_keys/usage_date=2026-01-01/*/part-*")
    path.write_bytes(path.read_bytes()[:-1])
    status, _, err = run("show", "2026-01-01", "--cat", "--stream", "api_keys")
    assert status == 2
    assert "is a damaged gzip file" in err


def test_diff_shows_what_changed(run: Run) -> None:
    status, out, err = run("diff", "2026-01-02", "1", "2")
    assert status == 0
    assert out.splitlines() == [
        "~ api_key_id=k1  requests: 5 -> 6",
        '+ api_key_id=k3 {"api_key_id": "k3", "api_key_name": "new", "requests": "1", "total_cost_usd": "2"}',
        '- api_key_id=k2 {"api_key_id": "k2", "api_key_name": "plain", "requests": "7", "total_cost_usd": "1.50"}',
    ]
    assert "by api_key_id: 1 added, 1 removed, 1 changed, 0 same." in err
    _, out, _ = run("diff", "2026-01-01", "1", "2", "--vendor", "keywordsai")
    assert out == "~ customer_identifier=b  cost: 1 -> 1.5, new: (absent) -> null\n"


def test_diff_for_machines_and_by_another_key(run: Run) -> None:
    _, out, _ = run("diff", "2026-01-01", "1", "2", "--vendor", "keywordsai", "--json")
    assert json.loads(out) == {
        "change": "changed",
        "key": {"customer_identifier": "b"},
        "old": {"cost": 1},
        "new": {"cost": "1.5", "new": None},
    }
    _, out, err = run("diff", "2026-01-02", "1", "2", "--key", "api_key_name,api_key_id")
    assert out.startswith('~ api_key_name=Ops, "night" shift, api_key_id=k1  requests: 5 -> 6\n')
    assert "by api_key_name, api_key_id" in err


def test_diff_takes_snapshot_ids_and_days_without_records(run: Run) -> None:
    _, out, _ = run("show", "2026-01-05", "--json")
    ids = [json.loads(line)["snapshot_id"] for line in out.splitlines()]
    _, out, err = run("diff", "2026-01-05", ids[0], ids[1])
    assert [line[0] for line in out.splitlines()] == ["-", "-"]
    assert "0 added, 2 removed" in err


def test_diff_exits_with_1_for_differences_when_told_to(run: Run) -> None:
    assert run("diff", "2026-01-02", "1", "2", "--exit-code")[0] == 1
    assert run("diff", "2026-01-05", "1", "3", "--exit-code")[0] == 0


def test_diff_says_when_a_key_is_not_one(run: Run, s3_client: Any, tmp_path: Path) -> None:
    shelf = Shelf(s3_client, "archive")
    for count in (1, 2):
        shelf.store(
            1, b"api_key_id,model,n\n" + b"k1,gpt,1\nk1,gpt,2\n" * count, 2 * count, columns="api_key_id model n"
        )
    archive = str(download(shelf.read_all(), tmp_path / "other").folder)
    _, out, err = run("diff", "2026-01-01", "1", "2", archive=archive)
    assert [line[0] for line in out.splitlines()] == ["+", "+"]
    assert "3 rows repeat the key of an earlier one" in err


def test_diff_takes_the_identity_of_the_manifest_and_keys_within_objects(
    run: Run, s3_client: Any, tmp_path: Path
) -> None:
    shelf = Shelf(s3_client, "archive")
    costs = Series("acme", "main", "costs")
    kinds = {"project_id": "text", "line_item": "text", "api_key_id": "text", "amount.value": "money"}
    schema = StreamSchema(("project_id", "line_item", "api_key_id"), kinds)
    rows = [
        b'{"project_id":"p","line_item":"%s","api_key_id":null,"amount":{"value":%s,"currency":"usd"}}\n' % row
        for row in ((b"in", b"1.00"), (b"out", b"2"), (b"cache", b"3"), (b"in", b"1.5"), (b"out", b"2.0"))
    ]
    for body in (rows[:3], rows[3:]):
        names = "project_id line_item api_key_id amount"
        shelf.store(1, b"".join(body), len(body), series=costs, columns=names, schema=schema)
    archive = str(download(shelf.read_all(), tmp_path / "other").folder)
    _, out, err = run("diff", "2026-01-01", "1", "2", archive=archive)
    assert [line.split("  ")[-1] for line in out.splitlines()[:1]] == ["amount.value: 1.00 -> 1.5"]
    assert [line[0] for line in out.splitlines()] == ["~", "-"]
    assert "by project_id, line_item: 0 added, 1 removed, 1 changed, 1 same." in err
    _, out, err = run("diff", "2026-01-01", "1", "2", "--key", "amount.currency,line_item", archive=archive)
    assert out.startswith("~ amount.currency=usd, line_item=in  amount.value: 1.00 -> 1.5\n")
    status, _, err = run("diff", "2026-01-01", "1", "2", "--key", "price.currency", archive=archive)
    assert (status, "No column price.currency" in err) == (2, True)


def test_names_of_people_are_shown_as_they_are_and_control_characters_are_not(
    run: Run, s3_client: Any, tmp_path: Path
) -> None:
    shelf = Shelf(s3_client, "archive")
    body = '{"customer_identifier":"Zo\u00eb\u202e","n":"\x9b1m"}\n'.encode()
    shelf.store(1, body, 1, series=USERS, columns="customer_identifier n")
    shelf.store(1, b"", 0, series=USERS)
    archive = str(download(shelf.read_all(), tmp_path / "other").folder)
    _, out, _ = run("diff", "2026-01-01", "1", "2", archive=archive)
    assert out == '- customer_identifier=Zoë\\u202e {"customer_identifier": "Zoë\\u202e", "n": "\\x9b1m"}\n'


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("ls", "--vendor", "langdok"), "is of vendor 'langdok'"),
        (("ls", "--since", "20260101"), "argument --since: '20260101' is not a date as YYYY-MM-DD"),
        (("ls", "--since", "2026-01-02", "--until", "2026-01-01"), "since 2026-01-02 is later than until 2026-01-01"),
        (("ls", "--jobs", "0"), "'0' is not a number from 1 to 64"),
        (("show", "2026-02-30"), "'2026-02-30' is not a date"),
        (("show", "2026-01-04"), "There is no snapshot of 2026-01-04"),
        (("diff", "2026-01-04", "1", "2"), "There is no snapshot of 2026-01-04"),
        (("diff", "2026-01-01", "1", "2"), "2 streams have this day"),
        (("diff", "2026-01-02", "1", "3"), "2026-01-02 has no revision '3'. It has 1, 2."),
        (("diff", "2026-01-02", "1", "2", "--key", "nokey"), "No column nokey. There are api_key_id, api_key_name"),
        (("diff", "2026-01-02", "1"), "required: REV REV, or --as-of"),
        (("show", "2026-01-02", "--cat", "--json"), "not allowed with"),
    ],
)
def test_what_is_asked_wrongly_is_said_in_one_line(run: Run, arguments: tuple[str, ...], problem: str) -> None:
    status, out, err = run(*arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert problem in err


@pytest.mark.parametrize(
    ("archive", "problem"),
    [
        ("nowhere", "'nowhere' is no folder"),
        ("https://bucket/x", "is not an S3 location"),
        ("s3://", "is not an S3 location"),
    ],
)
def test_an_archive_that_is_none_is_said_in_one_line(run: Run, archive: str, problem: str) -> None:
    status, out, err = run("verify", archive=archive)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert problem in err


def test_a_bucket_is_read_with_keys_that_may_only_read(run: Run, bucket: tuple[str, ...]) -> None:
    url, *how = bucket
    on_s3 = [run(*command, *how, archive=url) for command in (("ls",), ("diff", "2026-01-02", "1", "2"))]
    assert on_s3 == [run("ls"), run("diff", "2026-01-02", "1", "2")]
    status, out, _ = run("verify", *how, archive=url)
    assert status == 0
    assert "12 snapshots, 19 objects" in out
    assert run("show", "2026-01-02", "--cat", *how, archive=url)[1] == SECOND.decode()


@pytest.mark.parametrize(
    ("url", "changes", "problem"),
    [
        ("s3://archive/nowhere", {}, "No archive at s3://archive/nowhere: there is no snapshot below raw/"),
        (
            "s3://achrive/x",
            {"AWS_ACCESS_KEY_ID": "demo", "AWS_SECRET_ACCESS_KEY": "demosecret"},
            "Bucket 'achrive' does not exist",
        ),
        ("s3://archive/x", {"AWS_SECRET_ACCESS_KEY": "CANARY"}, "refused ListObjectsV2"),
        ("s3://archive/x", {"AWS_PROFILE": "nobody"}, "profile (nobody) could not be found"),
        ("s3://archive/x", {"AWS_REQUEST_CHECKSUM_CALCULATION": "often"}, "AWS settings of this machine"),
    ],
)
def test_a_bucket_that_cannot_be_read_is_said_in_one_line(
    run: Run, bucket: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, url: str, changes: dict[str, str], problem: str
) -> None:
    for name, value in changes.items():
        monkeypatch.setenv(name, value)
    status, out, err = run("verify", *bucket[1:], archive=url)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert problem in err
    assert "CANARY" not in err
    assert "run the task" not in err


def test_a_server_that_is_not_there_is_said_in_one_line(
    run: Run, bucket: tuple[str, ...], dead_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    status, _, err = run("ls", "--endpoint-url", dead_url, archive=bucket[0])
    assert (status, err.count("\n")) == (2, 1)
    assert "did not answer" in err
    assert "--endpoint-url" in err
    status, _, err = run("ls", "--endpoint-url", "no address", archive=bucket[0])
    assert (status, err.count("\n")) == (2, 1)
    assert "Invalid endpoint" in err


def test_neither_airflow_nor_what_asks_a_vendor_is_imported(copy: Copy) -> None:
    script = (
        "import sys; from airflow_usage_provider.cli import main; status = main(['verify', sys.argv[1]]); "
        "loaded = [name for name in sys.modules if name.split('.')[0] in ('airflow', 'boto3', 'pandas', 'requests')"
        " or name.endswith(('provider.http', 'keywordsai.api', 'langdock.api'))]; "
        "sys.exit(status or repr(loaded) if loaded else 0)"
    )
    subprocess.run([sys.executable, "-c", script, str(copy.folder)], check=True, stdout=subprocess.DEVNULL)


def test_a_reader_that_goes_away_is_no_traceback(copy: Copy) -> None:
    many = copy.folder / "raw"
    for number in range(5000):
        many.joinpath(f"stranger-{number}").write_bytes(b"")
    command = [sys.executable, "-m", "airflow_usage_provider.cli", "verify", str(copy.folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_help_says_what_a_diff_costs(run: Run) -> None:
    status, out, _ = run("diff", "--help")
    assert status == 0
    assert "bytes a row" in out


NEEDED = """
import sys
KNOWN = {"airflow_usage_provider", "boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six", "urllib3",
    "jsonschema", "jsonschema_specifications", "referencing", "attr", "attrs", "rpds", "typing_extensions", "msgspec"}

class Only:
    def find_spec(self, name, path=None, target=None):
        if (top := name.partition(".")[0]) not in KNOWN and top not in sys.stdlib_module_names and top[0] != "_":
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Only())
from airflow_usage_provider.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    "command",
    [
        ("ls",),
        ("verify",),
        ("show", "2026-01-02", "--cat"),
        ("diff", "2026-01-02", "1", "2"),
        ("diff", "2026-01-01", "--as-of", "2026-01-01", "--stream", "users"),
        ("seal", "--until", "2026-01-31"),
    ],
)
def test_boto3_jsonschema_and_msgspec_are_all_it_needs(copy: Copy, command: tuple[str, ...]) -> None:
    line = [sys.executable, "-c", NEEDED, command[0], str(copy.folder), *command[1:]]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr[-300:]
