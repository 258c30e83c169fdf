"""A library that is not whole is known before it is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from preprocess.backends.compiled.available import kernel_trouble
from preprocess.backends.compiled.whole_library import why_not_whole

FOLDER = Path(__file__).parents[4] / "preprocess/backends/compiled"


@pytest.fixture(scope="module")
def content() -> bytes:
    """Return the bytes of the compiled kernels."""
    if kernel_trouble():
        pytest.skip("kernels in C were not compiled: install a C compiler and run make install again")
    (found,) = FOLDER.glob("_kernels.abi3.*")
    if not found.read_bytes().startswith(b"\x7fELF"):
        pytest.skip("only ELF files are looked into")
    return found.read_bytes()


def test_a_whole_library_is_known(content: bytes, tmp_path: Path) -> None:
    library = tmp_path / "whole.so"
    library.write_bytes(content)
    assert why_not_whole(library) == ""


def test_every_shorter_length_is_known(content: bytes, tmp_path: Path) -> None:
    library = tmp_path / "short.so"
    lengths = {*range(0, len(content), len(content) // 50), 6, 63, 64, len(content) - 1}
    for length in lengths:
        library.write_bytes(content[:length])
        assert why_not_whole(library) or length < 6, length


def test_an_end_that_was_never_written_is_known(content: bytes, tmp_path: Path) -> None:
    library = tmp_path / "unwritten.so"
    for written in (0, len(content) // 2, len(content) - 4096):
        library.write_bytes(content[:written] + bytes(len(content) - written))
        assert why_not_whole(library), written


def test_other_files_are_left_to_the_loader(tmp_path: Path) -> None:
    library = tmp_path / "other.dylib"
    library.write_bytes(b"no library")
    assert why_not_whole(library) == ""
