"""The digest of a gain reference follows its content."""

from __future__ import annotations

from pathlib import Path

import pytest
from blake3 import blake3

from preprocess.correction.gain_digest import gain_digest


def test_it_is_that_of_the_file_as_it_is_now(tmp_path: Path) -> None:
    path = tmp_path / "gain.mrc"
    for content in (b"one", b"another", bytes(9 << 20)):
        path.write_bytes(content)
        assert gain_digest(path) == gain_digest(path) == blake3(content).hexdigest()
    path.unlink()
    with pytest.raises(FileNotFoundError):
        gain_digest(path)
