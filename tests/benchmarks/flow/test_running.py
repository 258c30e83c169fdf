"""Which process is Scipion's follower, by the file that it keeps."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.flow.place import SESSION, FlowPlace
from benchmarks.flow.running import follower_of


@pytest.mark.parametrize(
    ("written", "is_found"),
    [(f"12.5 {os.getpid()}\n", True), ("", False), ("12.5 999999999\n", False)],
    ids=["runs", "being written", "has ended"],
)
def test_the_follower_is_found_while_it_runs(tmp_path: Path, written: str, is_found: bool) -> None:
    beat = tmp_path / f"receiver/scipion-projects/{SESSION}/Runs/000002_ProtCryoferryFollow/extra/HEARTBEAT"
    beat.parent.mkdir(parents=True)
    beat.write_text(written)
    assert follower_of(FlowPlace(tmp_path)) == (os.getpid() if is_found else None)
