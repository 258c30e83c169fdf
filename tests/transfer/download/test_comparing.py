"""Local files are compared with receipts by size first, then by digest."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from transfer.download.comparing import Comparison, ComparisonStatus, compare
from transfer.wire.digest import chunk_digest, root_digest
from transfer.wire.protocol import ListedFile
from transfer.wire.verification import FileCheck


def receipt(path: str, data: bytes, **more: Any) -> ListedFile:
    digest = root_digest([chunk_digest(data)] if data else [])
    return ListedFile(session="s", path=path, revision=1, size_bytes=len(data), digest=digest, **more)


def test_every_name_gets_its_result_in_order(tmp_path: Path) -> None:
    names = {"same": b"same", "empty": b"", "other": b"here!", "shorter": b"short", "missing": b"x"}
    here = {name: tmp_path / name for name in names}
    for name, data in names.items():
        here[name].write_bytes(data)
    here["folder"] = tmp_path / "folder"
    here["folder"].mkdir()
    here["gone"] = tmp_path / "gone"
    there = [
        receipt("same", b"same"),
        receipt("empty", b""),
        receipt("other", b"there"),
        receipt("shorter", b"short, but longer"),
        receipt("folder", bytes(here["folder"].stat().st_size)),
        receipt("gone", b"x"),
        receipt("z-extra", b"x"),
        receipt("a-extra", b"x"),
    ]
    results = list(compare(here, there))
    assert [(result.path, result.status.value) for result in results] == [
        ("empty", "same"),
        ("folder", "unreadable"),
        ("gone", "unreadable"),
        ("missing", "missing"),
        ("other", "different"),
        ("same", "same"),
        ("shorter", "different"),
        ("a-extra", "extra"),
        ("z-extra", "extra"),
    ]
    details = {result.path: result.detail for result in results}
    assert details["shorter"] == "5 bytes here, 17 there"
    assert str(here["gone"]) in details["gone"]
    assert "regular file" in details["folder"]


def test_nothing_here_and_nothing_there_gives_nothing() -> None:
    assert list(compare({}, [])) == []
    assert list(compare({}, [receipt("x", b"x")])) == [Comparison("x", ComparisonStatus.EXTRA)]


def test_what_the_receiver_has_lost_is_not_the_same(tmp_path: Path) -> None:
    here = dict.fromkeys(("listed", "read", "sound", "unknown"), tmp_path / "x")
    (tmp_path / "x").write_bytes(b"x")
    there = [
        receipt("listed", b"x", on_disk=FileCheck.MISSING),
        receipt("read", b"x", on_disk=FileCheck.SAME),
        receipt("sound", b"x", on_disk=FileCheck.SAME),
        receipt("unknown", b"x"),
        receipt("z-extra", b"x", on_disk=FileCheck.CHANGED),
    ]
    results = list(compare(here, there, {"read": "changed: another digest"}))
    assert [(one.path, one.status.value, one.detail) for one in results] == [
        ("listed", "lost", "the receiver's list says: missing"),
        ("read", "lost", "changed: another digest"),
        ("sound", "same", ""),
        ("unknown", "same", ""),
        ("z-extra", "lost", "the receiver's list says: changed"),
    ]


def test_sha256_is_the_receiver_s_or_computed_here(tmp_path: Path) -> None:
    here = dict.fromkeys(("a", "b"), tmp_path / "x")
    (tmp_path / "x").write_bytes(b"x")
    there = [receipt("a", b"x", sha256="0" * 64), receipt("b", b"x")]
    assert [one.sha256 for one in compare(here, there)] == ["0" * 64, None]
    computed = [one.sha256 for one in compare(here, there, with_sha256=True)]
    assert computed == ["0" * 64, hashlib.sha256(b"x").hexdigest()]
