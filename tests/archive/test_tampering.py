"""The table of docs/guarantees.md: who is found out by ``verify``, who only by a seal, and who by neither."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from samples import Copy, download, live

from airflow_usage_provider.cli import main

DAY_1, DAY_2, DAY_5 = (f"stream=api_keys/usage_date=2026-01-0{day}" for day in (1, 2, 5))
PAGE = Path(__file__).parents[2] / "docs" / "guarantees.md"


def flip(path: Path) -> None:
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    path.write_bytes(body)


def manifests(copy: Copy, day: str) -> list[Path]:
    return sorted(copy.folder.rglob(f"{day}/*/_manifest.json"))


def roll_back(copy: Copy) -> None:
    for path in manifests(copy, DAY_2)[2:]:
        shutil.rmtree(path.parent)


def rewrite(copy: Copy) -> None:
    """Another answer with its hashes, and a chain that fits: all that write access can do."""
    path, *others = manifests(copy, DAY_1)
    assert not others
    part = copy.find(f"{DAY_1}/*/part-*")
    part.write_bytes(copy.find(f"{DAY_2}/*/part-*", 1).read_bytes())
    own = json.loads(manifests(copy, DAY_2)[2].read_bytes())["files"][0]
    copy.edit(path, files=lambda files: [own | {"key": files[0]["key"]}])


def edit_middle(copy: Copy) -> None:
    copy.edit(manifests(copy, DAY_2)[1], tool={"name": "forged", "version": "1"})


def edit_newest(copy: Copy) -> None:
    copy.edit(manifests(copy, DAY_2)[-1], tool={"name": "forged", "version": "1"})


def back_date(copy: Copy, snapshot: str = "20260105T000000Z-00000000") -> None:
    newest = manifests(copy, DAY_2)[-1]
    document = json.loads(newest.read_bytes())
    document["previous"], document["snapshot_id"] = document["snapshot_id"], snapshot
    document |= {"previous_sha256": hashlib.sha256(newest.read_bytes()).hexdigest(), "unchanged": True}
    document["snapshot_at"] = datetime.fromisoformat(snapshot[:16]).isoformat()
    path = newest.parents[1] / f"snapshot={snapshot}" / newest.name
    path.parent.mkdir()
    path.write_text(json.dumps(document))


def shift(copy: Copy) -> None:
    later = lambda text: (datetime.fromisoformat(text) + timedelta(days=800)).isoformat()  # noqa: E731
    copy.edit(manifests(copy, DAY_1)[0], snapshot_at=later)


# what somebody with write access did -> how, and whether verify sees it: alone, with a seal
TAMPERINGS: dict[str, tuple[Callable[[Copy], Any], bool, bool]] = {
    "a flipped bit in a part": (lambda copy: flip(copy.find(f"{DAY_1}/*/part-*")), True, True),
    "a part deleted": (lambda copy: copy.find(f"{DAY_1}/*/part-*").unlink(), True, True),
    "a manifest edited that another follows": (edit_middle, True, True),
    "the newest manifest of a day edited, in what nothing else tells": (edit_newest, False, True),
    "a manifest deleted, its part left": (lambda copy: manifests(copy, DAY_5)[-1].unlink(), True, True),
    "the newest snapshot of a day deleted whole": (
        lambda copy: shutil.rmtree(manifests(copy, DAY_5)[-1].parent), False, True),
    "a day rolled back to revision 1": (roll_back, False, True),
    "the first day deleted": (lambda copy: shutil.rmtree(copy.find(DAY_1)), False, True),
    "the last day deleted": (lambda copy: shutil.rmtree(copy.find(DAY_5)), False, True),
    "a whole stream deleted": (lambda copy: shutil.rmtree(copy.find("vendor=keywordsai")), False, True),
    "a part and its manifest replaced together": (rewrite, False, True),
    "a snapshot added with an id of before the seal": (back_date, False, True),
    "a snapshot added with an id of after the seal": (
        lambda copy: back_date(copy, "20260301T000000Z-00000000"), False, False),
    "`snapshot_at` moved by more than a day": (shift, True, True),
    "`vendor_rows` that disagree": (lambda copy: copy.edit(manifests(copy, DAY_1)[0], vendor_rows=7), True, True),
}  # fmt: skip


@pytest.fixture
def copy(s3_client: Any, tmp_path: Path) -> Copy:
    return download(live(s3_client)[1], tmp_path / "archive")


def call(command: str, *arguments: object) -> int:
    status = main([command, *map(str, arguments)])
    sys.stdout.flush()
    return status


@pytest.mark.parametrize(("tamper", "is_seen", "is_seen_sealed"), TAMPERINGS.values(), ids=TAMPERINGS.keys())
def test_who_changes_an_archive_is_seen_or_it_is_written_down(
    copy: Copy, tmp_path: Path, tamper: Callable[[Copy], Any], is_seen: bool, is_seen_sealed: bool
) -> None:
    seal = tmp_path / "seal"
    assert call("seal", copy.folder, "--until", "2026-01-31", "-o", seal) == 0
    tamper(copy)
    assert (call("verify", copy.folder), call("verify", copy.folder, "--against", seal)) == (is_seen, is_seen_sealed)


def test_the_page_says_what_was_tried() -> None:
    said = {row[0]: row[1:3] for row in re.findall(r"^\| (.+?) \| (yes|no) \| (yes|no) \|", PAGE.read_text(), re.M)}
    tried = {name: (("no", "yes")[alone], ("no", "yes")[sealed]) for name, (_, alone, sealed) in TAMPERINGS.items()}
    assert said == tried


def test_only_a_root_kept_elsewhere_sees_a_seal_made_anew(copy: Copy, tmp_path: Path) -> None:
    call("seal", copy.folder, "--until", "2026-01-31", "-o", tmp_path / "seal")
    root = hashlib.sha256(tmp_path.joinpath("seal").read_bytes()).hexdigest()
    rewrite(copy)
    call("seal", copy.folder, "--until", "2026-01-31", "-o", tmp_path / "seal")
    assert call("verify", copy.folder, "--against", tmp_path / "seal") == 0
    assert call("verify", copy.folder, "--against", tmp_path / "seal", "--root", root) == 2
