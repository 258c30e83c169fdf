"""DM4 files: every number type, and every kind of damage ends with a clear error."""

from __future__ import annotations

import numpy as np
import pytest

from preprocess.correction.dm4_image import dm4_image, dm4_image_count
from preprocess.errors import UnreadableMovie
from preprocess.simulation import write_dm4


@pytest.mark.parametrize("kind", ["i2", "i4", "u2", "u4", "f4", "f8"])
def test_the_image_comes_back_as_it_is_stored(tmp_path, kind):
    image = np.arange(7 * 11).reshape(7, 11).astype(kind)
    write_dm4(tmp_path / "a.dm4", image)
    assert np.array_equal(dm4_image(tmp_path / "a.dm4"), image)
    assert dm4_image(tmp_path / "a.dm4").dtype == np.dtype(kind)
    assert dm4_image_count(tmp_path / "a.dm4") == 1


def test_the_first_image_of_a_stack(tmp_path):
    stack = np.arange(3 * 7 * 11, dtype=np.float32).reshape(3, 7, 11)
    write_dm4(tmp_path / "a.dm4", stack)
    assert np.array_equal(dm4_image(tmp_path / "a.dm4"), stack[0])
    assert dm4_image_count(tmp_path / "a.dm4") == 3


def test_every_cut_is_noticed(tmp_path):
    path = tmp_path / "a.dm4"
    write_dm4(path, np.ones((7, 11), np.float32))
    whole = path.read_bytes()
    needed = whole.rindex(b"Dimensions") + 80
    for length in range(0, needed, 7):
        path.write_bytes(whole[:length])
        with pytest.raises(UnreadableMovie, match="cut off"):
            dm4_image(path)


def test_damaged_bytes_never_end_with_another_error(tmp_path):
    path, random = tmp_path / "a.dm4", np.random.default_rng(3)
    write_dm4(path, np.ones((7, 11), np.float32))
    whole = path.read_bytes()
    damaged = 0
    for _ in range(400):
        changed = bytearray(whole)
        for place in random.integers(0, len(whole), 3):
            changed[place] = random.integers(0, 256)
        path.write_bytes(changed)
        try:
            dm4_image(path)
        except UnreadableMovie:
            damaged += 1
    assert damaged > 50


def test_files_of_other_kinds(tmp_path):
    path = tmp_path / "a.dm4"
    write_dm4(path, np.ones((7, 11), np.float32))
    whole = path.read_bytes()
    for content, why in [
        (b"\0\0\0\x03" + whole[4:], "a DM3 file"),
        (b"II*\0" + whole[4:], "not a DM4 file"),
        (whole[:12] + b"\0\0\0\0" + whole[16:], "least significant byte first"),
        (b"", "cut off"),
    ]:
        path.write_bytes(content)
        with pytest.raises(UnreadableMovie, match=why):
            dm4_image(path)
    with pytest.raises(FileNotFoundError):
        dm4_image(tmp_path / "none.dm4")
