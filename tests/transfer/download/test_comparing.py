"""Local files are compared with receipts by size first, then by digest."""

from __future__ import annotations

from pathlib import Path

from transfer.download.comparing import Comparison, ComparisonStatus, compare
from transfer.wire.digest import chunk_digest, root_digest
from transfer.wire.receipt import Receipt


def receipt(path: str, data: bytes) -> Receipt:
    digest = root_digest([chunk_digest(data)] if data else [])
    return Receipt(session="s", path=path, revision=1, size_bytes=len(data), digest=digest)


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
