"""A list of SHA-256 sums as the real `sha256sum --check` reads it."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from transfer.download.sha256sums import write_sha256sums
from transfer.wire.errors import TargetUnwritable

NAMES = ("a.mrc", "with space", "deep/er/b", "odd\\name", "two\nlines", "carriage\rreturn", "ünïcode", "latin\udce9")


def test_sha256sum_accepts_every_name(tmp_path: Path) -> None:
    sums = []
    for name in NAMES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode("utf-8", "surrogateescape"))
        sums.append((hashlib.sha256((tmp_path / name).read_bytes()).hexdigest(), name))
    write_sha256sums(tmp_path / "SHA256SUMS", sums)
    command = ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"]
    checked = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert (checked.returncode, checked.stdout) == (0, b""), checked.stderr
    (tmp_path / "with space").write_bytes(b"changed")
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 1


def test_a_list_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(TargetUnwritable, match="SHA-256"):
        write_sha256sums(tmp_path / "file" / "SUMS", [])
