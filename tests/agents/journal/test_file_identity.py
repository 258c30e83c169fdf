"""Which files count as the same content."""

from __future__ import annotations

import os
from pathlib import Path

from agents.journal.file_identity import FileIdentity


def test_an_identity_is_what_stat_says(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    os.utime(tmp_path / "a", ns=(5, 7))
    status = (tmp_path / "a").stat()
    assert FileIdentity.of(status) == FileIdentity(3, 7, status.st_dev, status.st_ino)


def test_a_share_mounted_anew_is_not_another_content() -> None:
    assert FileIdentity(10, 5, 1, 2).same_content(FileIdentity(10, 5, 9, 9))
    assert not FileIdentity(10, 5, 1, 2).same_content(FileIdentity(10, 6, 1, 2))
    assert not FileIdentity(10, 5, 1, 2).same_content(FileIdentity(11, 5, 1, 2))
