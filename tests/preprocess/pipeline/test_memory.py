"""A movie that the memory cannot hold is refused before it is read; the estimate is near what is taken."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from preprocess.errors import DeviceOutOfMemory
from preprocess.exposure.acquisition import Acquisition
from preprocess.movies import open_movie
from preprocess.movies.frame_groups import FrameGroups
from preprocess.pipeline.memory import needed_bytes
from preprocess.pipeline.process_movie import process_movie
from preprocess.platform import available_bytes
from preprocess.settings import AlignmentSettings
from preprocess.simulation import SimulationSettings, simulate_movie, write_mrc

EXPOSURE = Acquisition(pixel_size_angstrom=1.1, voltage_kv=300.0, dose_per_frame_e_per_a2=0.83)


def huge_movie(path: Path) -> Path:
    """A movie of 4 TB, a file of holes."""
    write_mrc(path, [np.zeros((16, 16), np.uint8)], frame_count=1, mode=0)
    side, frames = 262144, 60
    with path.open("r+b") as file:
        file.write(b"".join(value.to_bytes(4, "little") for value in (side, side, frames, 0)))
        file.seek(28)
        file.write(b"".join(value.to_bytes(4, "little") for value in (side, side, frames)))
        file.truncate(1024 + side * side * frames)
    return path


def test_more_memory_than_there_is(tmp_path):
    with pytest.raises(DeviceOutOfMemory, match=r"60 frames of 262144 x 262144 px need about \d+\.\d GB") as refused:
        process_movie(
            huge_movie(tmp_path / "huge.mrcs"),
            tmp_path / "out",
            settings=AlignmentSettings(device="cpu"),
            acquisition=replace(EXPOSURE),
        )
    assert "another machine" in refused.value.hint
    assert not (tmp_path / "out").exists()


def test_what_is_there_is_known():
    available = available_bytes()
    assert available is not None
    assert 10_000_000 < available < 1e15


PEAK = """
import re
from pathlib import Path
from preprocess.exposure.acquisition import Acquisition
from preprocess.pipeline.process_movie import process_movie
from preprocess.settings import AlignmentSettings
known = Acquisition(pixel_size_angstrom=1.1, voltage_kv=300.0, dose_per_frame_e_per_a2=0.83)
settings = AlignmentSettings(device="cpu", threads=2)
def peak():  # getrusage also counts the parent's memory, as it was before exec
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
process_movie(Path("small.mrcs"), Path("out"), settings=settings, acquisition=known)
before = peak()
process_movie(Path("large.mrcs"), Path("out"), settings=settings, acquisition=known)
print(peak() - before)
"""


def test_the_estimate_is_near_what_is_taken(tmp_path):
    for name, size, frames in (("small.mrcs", 128, 4), ("large.mrcs", 1280, 12)):
        simulate_movie(SimulationSettings(height=size, width=size, frame_count=frames, seed=1, gain=False)).write(
            tmp_path / name
        )
    done = subprocess.run([sys.executable, "-c", PEAK], cwd=tmp_path, check=True, capture_output=True, text=True)
    movie = open_movie(tmp_path / "large.mrcs")
    estimate = needed_bytes(movie, FrameGroups.of(12, 1), 5, 1)
    # what the first movie and the compiler took already hides a part of a movie this small
    assert 0.3 < int(done.stdout) / estimate < 1.25


CAPPED = """
import re, sys
from pathlib import Path
from preprocess.backends.cpu import backend
from preprocess.exposure.acquisition import Acquisition
from preprocess.pipeline.process_movie import process_movie
from preprocess.settings import AlignmentSettings, CtfSettings
known = Acquisition(pixel_size_angstrom=1.1, voltage_kv=300.0, dose_per_frame_e_per_a2=0.83)
settings = AlignmentSettings(device="cpu", threads=2, ctf=CtfSettings(wanted=False))
def taken():
    return int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
process_movie(Path("small.mrcs"), Path("out"), settings=settings, acquisition=known)
cap = taken() + int(sys.argv[1])
backend.available_bytes = lambda: max(0, cap - taken())  # as for a control group
left = []
for again in range(3):
    left.append(backend.available_bytes())
    process_movie(Path("large.mrcs"), Path(f"out{again}"), settings=settings, acquisition=known)
print(*left)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is kept on Linux alone")
def test_what_a_worker_keeps_does_not_refuse_its_next_movie(tmp_path):
    """The process may take 1.3 times a movie's memory, and keeps what the first movie took."""
    for name, size, frames in (("small.mrcs", 128, 4), ("large.mrcs", 1280, 12)):
        simulate_movie(SimulationSettings(height=size, width=size, frame_count=frames, seed=1, gain=False)).write(
            tmp_path / name
        )
    needed = needed_bytes(open_movie(tmp_path / "large.mrcs"), FrameGroups.of(12, 1), 5, 1)
    done = subprocess.run(
        [sys.executable, "-c", CAPPED, str(int(1.3 * needed))],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    first, *later = (int(number) for number in done.stdout.split())
    assert first > needed > max(later)
