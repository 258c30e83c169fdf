import errno
import os
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from preprocess.backends.cpu.backend import CpuBackend
from preprocess.errors import NotFiniteOutput
from preprocess.outputs.whole_files import _write_mrc, remove_partial_files, write_micrograph, write_text, write_whole


@pytest.fixture
def image():
    return np.random.default_rng(0).normal(12, 3, (40, 60)).astype(np.float32)


def write(path, image, pixel_size, label, *, float32):
    arriving = CpuBackend(2).bring_down(image, float32=float32)
    write_micrograph(path, arriving, pixel_size, label)
    return arriving.beyond_float16


@pytest.mark.parametrize(("float32", "mode"), [(False, 12), (True, 2)])
def test_header_tells_the_truth(tmp_path, image, float32, mode):
    path = tmp_path / "a.mrc"
    assert write(path, image, 0.83, "cryoferry 0", float32=float32) is False
    with mrcfile.open(path) as file:
        assert file.header.mode == mode
        assert (file.header.nx, file.header.ny, file.header.nz) == (60, 40, 1)
        assert (file.header.mx, file.header.my, file.header.mz) == (60, 40, 1)
        assert float(file.voxel_size.x) == pytest.approx(0.83)
        assert float(file.header.cella.y) == pytest.approx(0.83 * 40, rel=1e-6)
        stored = file.data.astype(np.float64)
        np.testing.assert_allclose(stored, image, rtol=1e-3 if mode == 12 else 0)
        assert float(file.header.dmin) == pytest.approx(stored.min())
        assert float(file.header.dmax) == pytest.approx(stored.max())
        assert float(file.header.dmean) == pytest.approx(stored.mean(), rel=1e-6)
        assert float(file.header.rms) == pytest.approx(stored.std(), rel=1e-6)
        assert bytes(file.header.machst) == b"\x44\x44\x00\x00"
        assert file.header.nlabl == 1
        assert file.header.label[0].rstrip() == b"cryoferry 0"
    assert mrcfile.validate(path)
    assert path.stat().st_size == 1024 + image.size * (4 if float32 else 2)


def test_values_beyond_float16_make_it_float32(tmp_path, image):
    image[0, 0] = 70000
    assert write(tmp_path / "a.mrc", image, 1.0, "x", float32=False) is True
    with mrcfile.open(tmp_path / "a.mrc") as file:
        assert file.header.mode == 2
        assert file.data[0, 0] == 70000


def test_the_same_image_gives_the_same_bytes(tmp_path, image):
    for name in ("a.mrc", "b.mrc"):
        write(tmp_path / name, image, 1.0, "x", float32=False)
    assert (tmp_path / "a.mrc").read_bytes() == (tmp_path / "b.mrc").read_bytes()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_told_as_a_full_disk(tmp_path, image):
    """The command's exit code, and whether the agent tries again, hang on the reason."""
    arriving = CpuBackend(2).bring_down(image, float32=False)
    with pytest.raises(OSError, match=r"No space left on device: '.*a\.mrc'") as refused:
        write_whole(tmp_path / "a.mrc", lambda _: _write_mrc(Path("/dev/full"), arriving, 1.0, "x"))
    assert refused.value.errno == errno.ENOSPC
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def fail(temporary):
        temporary.write_text("half")
        assert path.read_text() == "old"
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        write_whole(path, fail)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


def test_what_a_killed_process_left_is_removed_and_a_running_one_s_is_not(tmp_path):
    killed = os.spawnlp(os.P_NOWAIT, "true", "true")
    os.waitpid(killed, 0)
    left = tmp_path / f".a.mrc.{killed}.partial"
    alive = tmp_path / f".a.mrc.{os.getpid()}.partial"
    other = tmp_path / f".b.mrc.{killed}.partial"
    for path in (left, alive, other):
        path.write_bytes(b"half")
    remove_partial_files(tmp_path, "a")
    assert not left.exists()
    assert alive.exists()
    assert other.exists()


def test_a_name_of_any_characters_is_cleared_of_partial_files(tmp_path):
    killed = os.spawnlp(os.P_NOWAIT, "true", "true")
    os.waitpid(killed, 0)
    stem = "odd name: [1*]?"
    left = tmp_path / f".{stem}.mrc.{killed}.partial"
    left.write_bytes(b"half")
    remove_partial_files(tmp_path, stem)
    assert not left.exists()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_image_that_is_not_finite_is_never_written(tmp_path, image, value):
    image[3, 4] = value
    with pytest.raises(NotFiniteOutput):
        write(tmp_path / "a.mrc", image, 1.0, "x", float32=True)
    assert list(tmp_path.iterdir()) == []
