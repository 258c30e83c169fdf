from __future__ import annotations

import os
from pathlib import Path

import pytest

from transfer.disk.files import (
    read_at,
)
from transfer.disk.folders import OpenFolder, open_folders

SOME = b"the bytes of a micrograph"


def test_folders_are_made_and_held_open(tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(SOME)
    with open_folders(tmp_path, ["a", "b"], make=True) as (root, _, last):
        (tmp_path / "a").rename(tmp_path / "moved")
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "a").symlink_to("elsewhere")
        last.link(tmp_path / "part", "name")
        assert last.status("name").st_size == len(SOME)
        descriptor = last.open_file("name")
        assert read_at(descriptor, 1000, 0) == SOME
        os.close(descriptor)
        with pytest.raises(NotADirectoryError):
            root.folder("a", make=True)
    assert (tmp_path / "moved" / "b" / "name").read_bytes() == SOME
    assert not any((tmp_path / "elsewhere").iterdir())


def test_a_folder_that_is_not_there_or_a_file_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileNotFoundError), open_folders(tmp_path, ["none"], make=False):
        pass
    with pytest.raises(NotADirectoryError) as refused, open_folders(tmp_path, ["file", "x"], make=True):
        pass
    assert refused.value.filename == "file"


def test_a_linked_file_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    folder = OpenFolder.open(tmp_path)
    try:
        with pytest.raises(OSError, match="symbolic links"):
            folder.open_file("link")
        folder.remove("link")
        with pytest.raises(FileNotFoundError):
            folder.status("link")
    finally:
        folder.close()
