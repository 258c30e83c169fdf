"""Nothing waits for the disk inside the block; afterwards everything does again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.flow.unsynced import unsynced


def test_fsync_returns_at_once_inside_only(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        closed = file.fileno()
    with unsynced():
        os.fsync(closed)
    with pytest.raises(OSError):
        os.fsync(closed)
