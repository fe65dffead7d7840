"""Seals: what they list, what they find, and what is refused for one. Run as people type it, on synced folders."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from samples import FIRST, SECOND, Copy, Shelf, download, live

from airflow_usage_provider.archive.objects import FolderObjects
from airflow_usage_provider.archive.seal import _sample
from airflow_usage_provider.cli import main

Run = Callable[..., tuple[int, str, str]]
LAST = "2026-01-05"


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


@pytest.fixture
def seal(run: Run, tmp_path: Path) -> Path:
    path = tmp_path / "january.sha256"
    assert run("seal", "--until", LAST, "-o", str(path))[0] == 0
    return path


def kinds(out: str) -> list[str]:
    """Kinds of the findings of a run, the gap that is always there left out."""
    lines = [line for line in out.splitlines() if line.startswith(("FINDING", "NOTE"))]
    return [line.split(":")[0].split(" ", 1)[1] for line in lines if not line.startswith("NOTE gap")]


def test_a_seal_lists_every_object_and_its_own_hash_is_the_root(run: Run, copy: Copy, tmp_path: Path) -> None:
    path = tmp_path / "x"
    status, out, err = run("seal", "--until", LAST, "-o", str(path))
    root, totals = out.splitlines()[-2:]
    assert (status, err) == (0, "")
    assert root == f"root {hashlib.sha256(path.read_bytes()).hexdigest()}"
    assert totals.startswith("2 streams, 5 days, 12 snapshots, 8 rows, ")
    names = [line.split("  ")[1] for line in path.read_text().splitlines()]
    assert names == sorted(entry.relative_to(copy.folder).as_posix() for entry in copy.folder.rglob("*.*"))


def test_sha256sum_checks_a_seal_in_a_synced_folder(copy: Copy, seal: Path) -> None:
    def check() -> int:
        return subprocess.run(["sha256sum", "-c", "--quiet", str(seal)], cwd=copy.folder, check=False).returncode

    assert check() == 0
    copy.find("part-*.jsonl").write_bytes(b"x")
    assert check() == 1


def test_until_takes_its_day_in_and_nothing_later(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "x"
    assert run("seal", "--until", "2026-01-02", "-o", str(path))[0] == 0
    days = {line.split("usage_date=")[1][:10] for line in path.read_text().splitlines()}
    assert days == {"2026-01-01", "2026-01-02"}


def test_the_same_archive_gives_the_same_bytes(run: Run, tmp_path: Path) -> None:
    for name in ("a.gz", "b.gz"):
        assert run("seal", "--until", LAST, "-o", str(tmp_path / name))[0] == 0
    assert tmp_path.joinpath("a.gz").read_bytes() == tmp_path.joinpath("b.gz").read_bytes()


def test_a_seal_is_written_once_under_seals_and_found_there(run: Run, copy: Copy) -> None:
    status, out, _ = run("seal", "--until", LAST, "--write")
    (path,) = copy.folder.glob(f"seals/until={LAST}/*.sha256.gz")
    root = hashlib.sha256(gzip.decompress(path.read_bytes())).hexdigest()
    assert status == 0
    assert f"wrote {path}\nroot {root}\n" in out
    name = path.relative_to(copy.folder).as_posix()
    assert run("verify", "--against", name, "--root", root)[0] == 0
    assert run("verify", "--since-seal")[0] == 0


def test_a_bucket_is_sealed_and_checked(
    run: Run, s3_client: Any, s3_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "demo")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "demosecret")
    shelf = Shelf(s3_client, "archive")
    shelf.store(1, FIRST, 2)
    how = ("--endpoint-url", s3_server.endpoint_url, "--region", "us-east-1")
    status, out, _ = run("seal", "--until", LAST, "--write", *how, archive=shelf.url)
    url = next(line for line in out.splitlines() if line.startswith("wrote ")).removeprefix("wrote ")
    assert status == 0
    assert url.startswith(f"{shelf.url}/seals/until={LAST}/")
    shelf.store(2, FIRST, 2)
    shelf.store(1, SECOND, 2)
    for where in (url, url.removeprefix(f"{shelf.url}/")):
        status, out, _ = run("verify", "--against", where, *how, archive=shelf.url)
        assert (status, kinds(out)) == (1, ["back-dated"] * 2)  # the shelf's clock is months behind the seal's
    folder = download(shelf.read_all(), tmp_path / "synced").folder
    assert run("verify", "--since-seal", url, *how, archive=folder)[0] == 1


def test_what_does_not_verify_is_not_sealed(run: Run, copy: Copy, tmp_path: Path) -> None:
    copy.find("part-*.csv.gz").write_bytes(b"")
    status, out, err = run("seal", "--until", LAST, "-o", str(tmp_path / "x"), "--write")
    assert (status, kinds(out)) == (1, ["altered part"])
    assert "Not sealed: 1 finding." in err
    assert not tmp_path.joinpath("x").exists()
    assert not copy.folder.joinpath("seals").exists()


def test_a_part_that_is_still_being_written_is_not_sealed(run: Run, copy: Copy, tmp_path: Path) -> None:
    begun = datetime.now().astimezone() - timedelta(hours=1)
    part = copy.find("part-*.csv.gz")
    late = part.parents[1] / f"snapshot={begun:%Y%m%dT%H%M%SZ}-00000000" / part.name
    late.parent.mkdir()
    late.write_bytes(part.read_bytes())
    assert run("seal", "--until", LAST, "-o", str(tmp_path / "x"))[0] == 0
    assert late.parent.name not in tmp_path.joinpath("x").read_text()


def forge(copy: Copy, day: str, snapshot: str) -> None:
    """Add a snapshot to a day, in itself without a fault, with an id of one's choice."""
    newest = copy.find(f"stream=api_keys/usage_date={day}/*/_manifest.json", -1)
    document = json.loads(newest.read_bytes())
    at = datetime.fromisoformat(snapshot[:16])
    own = {"previous": document["snapshot_id"], "previous_sha256": hashlib.sha256(newest.read_bytes()).hexdigest()}
    document |= own | {"snapshot_id": snapshot, "snapshot_at": at.isoformat(), "unchanged": True}
    path = newest.parents[1] / f"snapshot={snapshot}" / newest.name
    path.parent.mkdir()
    path.write_text(json.dumps(document))


def test_later_revisions_are_told_and_back_dated_ones_are_findings(run: Run, copy: Copy, seal: Path) -> None:
    forge(copy, "2026-01-02", "20260201T000000Z-00000000")
    status, out, _ = run("verify", "--against", str(seal))
    assert (status, kinds(out)) == (0, ["revised"])
    forge(copy, "2026-01-03", "20260105T000000Z-00000000")
    status, out, _ = run("verify", "--against", str(seal))
    assert (status, kinds(out)) == (1, ["revised", "back-dated"])
    timed = seal.rename(seal.with_name("20260301T000000Z-00000000.sha256"))
    status, out, _ = run("verify", "--against", str(timed))
    assert (status, kinds(out)) == (1, ["back-dated", "back-dated"])


def test_a_selection_is_held_against_its_own_lines(run: Run, copy: Copy, seal: Path) -> None:
    shutil.rmtree(copy.find("stream=users"))
    assert run("verify", "--against", str(seal), "--vendor", "langdock")[0] == 0
    assert run("verify", "--against", str(seal), "--since", "2026-01-02")[0] == 0
    status, out, _ = run("verify", "--against", str(seal))
    assert (status, kinds(out)) == (1, ["lost"] * 4)


def test_what_an_earlier_seal_holds_is_not_read_again(
    run: Run, copy: Copy, seal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[str] = []
    chunks = FolderObjects.chunks

    def note(self: FolderObjects, name: str) -> Any:
        reads.append(name)
        return chunks(self, name)

    monkeypatch.setattr(FolderObjects, "chunks", note)
    again = tmp_path / "again.sha256"
    status, out, _ = run("seal", "--until", LAST, "--since-seal", str(seal), "-o", str(again))
    assert (status, reads) == (0, [seal.name])
    assert again.read_bytes() == seal.read_bytes()
    assert "2 streams, 5 days, 12 snapshots" in out
    forge(copy, "2026-01-02", "20260201T000000Z-00000000")
    reads.clear()
    assert run("seal", "--until", LAST, "--since-seal", str(seal), "-o", str(again))[0] == 0
    assert len([name for name in reads if name.endswith("_manifest.json")]) == 5
    assert not [name for name in reads if "part-" in name]
    assert len(again.read_bytes().splitlines()) == len(seal.read_bytes().splitlines()) + 1


def cut(body: bytes) -> bytes:
    return body[:-20]


def last(body: bytes) -> bytes:
    return body.splitlines(keepends=True)[-1]


BAD: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "nothing": (lambda body: b"", "is no seal"),
    "a picture": (lambda body: b"\x89PNG\r\n" + bytes(1000), "is no seal"),
    "another list of hashes": (lambda body: f"{'0' * 64}  README.md\n".encode(), "is no seal"),
    "hashes of another kind": (lambda body: b"0" + body, "is no seal"),
    "without an order": (lambda body: b"\n".join(body.splitlines()[::-1]) + b"\n", "is no seal"),
    "a line twice": (lambda body: body.splitlines(keepends=True)[0] * 2, "is no seal"),
    "cut within a line": (cut, "is cut off within a line"),
    "cut while compressed": (lambda body: cut(gzip.compress(body)), "is damaged or cut off"),
    "a bomb": (lambda body: gzip.compress(bytes(50_000_000)), "is no seal"),
    "of another archive": (lambda body: body.replace(b"account=eu%2Facme", b"account=us").replace(b"prod", b"test"),
        "is of another archive"),
    "newer than the archive": (
        lambda body: body + re.sub(rb"date=.{10}/snapshot=2026", b"date=2026-01-06/snapshot=2027", last(body)),
        "is newer than the archive"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "problem"), BAD.values(), ids=BAD.keys())
def test_what_is_no_seal_of_this_archive_is_said_in_one_sentence(
    run: Run, seal: Path, change: Callable[[bytes], bytes], problem: str
) -> None:
    seal.write_bytes(change(seal.read_bytes()))
    for option in ("--against", "--since-seal"):
        status, out, err = run("verify", option, str(seal))
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert f"{seal} {problem}" in err


@pytest.mark.parametrize("where", ["nowhere.sha256", "seals/until=2026-01-05/x", "."])
def test_a_seal_that_is_not_there_is_said_in_one_sentence(run: Run, where: str) -> None:
    status, out, err = run("verify", "--against", where)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "eal" in err


def test_a_seal_without_the_root_that_was_kept_is_refused(run: Run, seal: Path) -> None:
    root = hashlib.sha256(seal.read_bytes()).hexdigest()
    assert run("verify", "--against", str(seal), "--root", root)[0] == 0
    status, out, err = run("verify", "--against", str(seal), "--root", "0" * 64)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert f"has the root {root}, not 000" in err
    assert run("verify", "--root", root)[0] == 2


def test_nothing_is_no_seal(run: Run, copy: Copy) -> None:
    assert run("seal", "--until", "2020-01-01")[0] == 2
    assert run("verify", "--since-seal")[0] == 2


def test_samples_are_few_and_from_all_over() -> None:
    kept = _sample(str(number) for number in range(100_000))
    assert 32 <= len(kept) <= 64
    assert int(kept[-1]) > 90_000
