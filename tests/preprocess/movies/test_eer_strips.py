"""An EER file that holds less than the camera recorded: frames that are missing, and frames that are cut off."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import tifffile

from preprocess.exposure.acquisition import Acquisition, resolve_acquisition
from preprocess.movies import open_movie
from preprocess.settings import EerSettings
from preprocess.simulation import write_eer

GROUPS, GROUP, HEIGHT, WIDTH = 5, 8, 64, 96
BY_EIGHT = EerSettings(hardware_frames_per_frame=GROUP)


@pytest.fixture(name="path")
def _path(tmp_path):
    frames = np.random.default_rng(4).poisson(2.5, (GROUPS, HEIGHT, WIDTH)).astype(np.uint8)
    frames[3] //= 2  # the beam flickers
    path = tmp_path / "a.eer"
    write_eer(path, frames, hardware_frames_per_frame=GROUP, pixel_size_angstrom=1.5, total_dose_e_per_px=18.0)
    return path


def name_frames(path, count):
    told = b'<item name="exposureTime" unit="s">2</item>'
    content = path.read_bytes()
    assert told in content
    path.write_bytes(content.replace(told, (b'<item name="numberOfFrames">%d</item>' % count).ljust(len(told))))


def cut_off(path, index, share):
    """Let a hardware frame claim fewer bytes than it has."""
    with tifffile.TiffFile(path) as file:
        tag = file.pages[index].tags["StripByteCounts"]
        kept = int(tag.value[0] * share) // 2 * 2
        offset, code = tag.valueoffset, {3: "<H", 4: "<I", 16: "<Q"}[tag.dtype]
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(struct.pack(code, kept))


def test_a_whole_file_says_nothing(path):
    assert open_movie(path, BY_EIGHT).remarks == ()
    name_frames(path, GROUPS * GROUP)
    assert open_movie(path, BY_EIGHT).remarks == ()


def test_the_dose_of_a_frame_is_its_share_of_the_frames_recorded(path):
    name_frames(path, 64)
    movie = open_movie(path, BY_EIGHT)
    (remark,) = movie.remarks
    assert remark.code == "frame-count-differs"
    assert "name 64 hardware frames, but the file holds 40" in remark.text
    known = resolve_acquisition(movie)
    assert known.dose_per_frame_e_per_a2 == pytest.approx(1.0)  # 18 / 1.5² in 64 hardware frames, 8 of them a frame
    assert known.total_dose_e_per_a2 == pytest.approx(5.0)
    told = resolve_acquisition(movie, flags=Acquisition(total_dose_e_per_a2=16.0))
    assert told.dose_per_frame_e_per_a2 == pytest.approx(2.0)
    assert open_movie(path, EerSettings(dose_per_frame_e_per_a2=0.5)).hardware_frames_per_frame == 4


@pytest.mark.parametrize("share", [0.25, 0.5, 0.9])
def test_a_hardware_frame_that_is_cut_off_is_named(path, share):
    cut_off(path, 20, share)
    (remark,) = open_movie(path, BY_EIGHT).remarks
    assert (remark.code, remark.frame) == ("frame-cut-off", 3)
    assert "hardware frame 21 of 40 is cut off" in remark.text
    rows = int(remark.text.split("first ")[1].split(" ")[0])
    assert rows == pytest.approx(share * HEIGHT, abs=3)
