import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from preprocess.backends.cpu.backend import CpuBackend
from preprocess.errors import NotFiniteOutput
from preprocess.outputs.whole_files import _write_mrc, remove_partial_files, write_micrograph, write_text, write_whole
from preprocess.platform import process_space


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


@pytest.fixture
def killed():
    """The number of a process that has ended."""
    process = os.spawnlp(os.P_NOWAIT, "true", "true")
    os.waitpid(process, 0)
    return process


def left_by(process, name, *, space=None):
    return f".{name}.{space or process_space()}-{process}.partial"


def test_what_a_killed_process_left_is_removed_and_a_running_one_s_is_not(tmp_path, killed):
    left, other = tmp_path / left_by(killed, "a.mrc"), tmp_path / left_by(killed, "b.mrc")
    alive, elsewhere = tmp_path / left_by(os.getppid(), "a.mrc"), tmp_path / left_by(killed, "a.mrc", space="0" * 8)
    foreign = tmp_path / f".a.mrc.{killed}.partial"
    for path in (left, alive, elsewhere, other, foreign):
        path.write_bytes(b"half")
    remove_partial_files(tmp_path, "a")
    assert {*tmp_path.iterdir()} == {alive, elsewhere, other, foreign}
    remove_partial_files(tmp_path)
    assert {*tmp_path.iterdir()} == {alive, elsewhere, foreign}


def test_a_name_with_the_number_of_no_process_is_no_error(tmp_path):
    beyond, superscript = (tmp_path / left_by(number, "a.mrc") for number in ("9" * 30, "²"))
    beyond.touch()
    superscript.touch()
    remove_partial_files(tmp_path)
    assert [*tmp_path.iterdir()] == [superscript]


def test_what_cannot_be_removed_stops_nobody(tmp_path, killed):
    folder = tmp_path / left_by(killed, "a.mrc")
    folder.mkdir()
    (tmp_path / left_by(killed, "b.mrc")).touch()
    remove_partial_files(tmp_path)
    assert [*tmp_path.iterdir()] == [folder]
    write_text(tmp_path / "a.mrc", "whole")


def test_a_name_of_any_characters_is_cleared_of_partial_files(tmp_path, killed):
    stem = "odd name: [1*]?"
    left = tmp_path / left_by(killed, f"{stem}.mrc")
    left.write_bytes(b"half")
    remove_partial_files(tmp_path, stem)
    assert not left.exists()


def test_a_file_is_written_over_what_a_process_left_that_was_killed_while_it_wrote_it(tmp_path):
    """A real process is killed inside `write_whole`."""
    program = (
        "import os, sys; from pathlib import Path; from preprocess.outputs.whole_files import write_whole\n"
        "write_whole(Path(sys.argv[1]), lambda path: (path.write_text('half'), os.kill(os.getpid(), 9)))"
    )
    path = tmp_path / "list.star"
    assert subprocess.run([sys.executable, "-c", program, path], check=False).returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".list.star.")
    write_text(tmp_path / "another.star", "x")
    assert left.exists()
    write_text(path, "whole")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["another.star", "list.star"]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_image_that_is_not_finite_is_never_written(tmp_path, image, value):
    image[3, 4] = value
    with pytest.raises(NotFiniteOutput):
        write(tmp_path / "a.mrc", image, 1.0, "x", float32=True)
    assert list(tmp_path.iterdir()) == []
