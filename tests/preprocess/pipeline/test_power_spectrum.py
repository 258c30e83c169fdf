"""The spectrum for CTFFIND: how frames are grouped, how amplitudes are laid out, and RELION's own beside it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import starfile

from preprocess.backends.cpu.backend import CpuBackend
from preprocess.exposure.acquisition import Acquisition
from preprocess.geometry.field import DisplacementField
from preprocess.outputs.micrographs_star import ListedMicrograph, write_micrographs_star
from preprocess.pipeline.power_spectrum import as_written, power_spectrum, spectrum_groups
from preprocess.pipeline.process_movie import process_movie
from preprocess.settings import AlignmentSettings, GainSettings
from preprocess.simulation import SimulationSettings, simulate_movie


@pytest.mark.parametrize(
    ("dose", "expected"), [(1.0, [4, 4, 2]), (1.5, [3, 3, 3, 1]), (9.0, [1] * 10), (0.001, [10]), (None, [4, 4, 2])]
)
def test_groups_hold_as_many_frames_as_make_four_electrons(dose: float | None, expected: list[int]) -> None:
    groups = spectrum_groups(10, dose)
    assert groups.sum(1).tolist() == expected
    assert (groups.sum(0) == 1).all()


@pytest.mark.parametrize("shape", [(512, 512), (512, 640), (641, 512), (300, 420)])
def test_a_wave_lies_at_its_frequency(shape: tuple[int, int]) -> None:
    """12 and 20 periods along the shorter axis' length; coarse pixels, so that nothing is cut off."""
    side, pixel = min(shape), 2.0
    y, x = np.indices(shape)
    image = (5 + np.cos(2 * np.pi * (12 * y + 20 * x) / side)).astype(np.float32)
    still = DisplacementField.whole_frame(np.zeros((1, 2)))
    found = power_spectrum([image], np.ones((1, 1), np.float32), still, CpuBackend(1), pixel)
    assert (found.image.shape, found.pixel_size_angstrom) == ((512, 512), pixel)
    middle = found.image[256, 256]
    assert middle == found.image.max()
    around = found.image.copy()
    around[250:263, 250:263] = 0
    row, column = np.unravel_index(around.argmax(), around.shape)
    expected = {(256 + round(sign * 12 * 512 / side), 256 + round(sign * 20 * 512 / side)) for sign in (1, -1)}
    # where the transform's length is no multiple of the period, it lies within half a step
    assert min(np.hypot(row - y, column - x) for y, x in expected) < 1.5


def test_fine_pixels_are_cut_off_at_the_frequency_of_coarser_ones() -> None:
    image = np.zeros((1000, 1000), np.float32)
    image[500, 500], image[500 + 100, 500] = 9, 1
    found = as_written(image, 0.8)
    assert found.pixel_size_angstrom == pytest.approx(1000 * 0.8 / 572)  # the even number next above 1000 * 0.8 / 1.4
    centre, found.image[256, 256] = found.image[256, 256], 0
    places = np.unravel_index(found.image.argmax(), found.image.shape)
    assert centre > 5 * found.image.max()
    assert places == (256 + round(100 * 512 / 572), 256)
    found.image[256, 256] = centre
    assert found.image.mean() == pytest.approx(image[214:786, 214:786].mean(), rel=1e-4)


@pytest.mark.parametrize("side", [101, 100])
def test_pixels_little_finer_than_the_finest_are_kept(side: int) -> None:
    image = np.random.default_rng(1).normal(5, 1, (side, side)).astype(np.float32)
    found = as_written(image, 1.399)
    assert found.pixel_size_angstrom == pytest.approx(1.399)
    assert found.image.std() == pytest.approx(image.std(), rel=0.05)


@pytest.mark.relion
@pytest.mark.skipif(shutil.which("relion_run_motioncorr") is None, reason="RELION is missing: apt-get install relion")
def test_the_spectrum_is_relions(tmp_path: Path) -> None:
    pixel, dose = 1.1, 2.0
    movie = simulate_movie(
        SimulationSettings(height=704, width=800, frame_count=8, seed=3, dose_per_frame_e_per_a2=dose, motion_px=3)
    )
    movie.write(tmp_path / "m.tiff")
    movie.write_gain(tmp_path / "gain.mrc", movie_format="tiff")
    result = process_movie(
        tmp_path / "m.tiff",
        tmp_path / "out",
        settings=AlignmentSettings(
            device="cpu", threads=2, power_spectrum=True, gain=GainSettings(path=tmp_path / "gain.mrc")
        ),
        acquisition=Acquisition(pixel_size_angstrom=pixel, voltage_kv=300.0, dose_per_frame_e_per_a2=dose),
    )
    subprocess.run(
        [
            *("relion_run_motioncorr", "--i", "m.tiff", "--o", "relion/", "--use_own", "--gainref", "gain.mrc"),
            *("--angpix", f"{pixel}", "--voltage", "300", "--dose_per_frame", f"{dose}", "--bfactor", "150"),
            *("--patch_x", "1", "--patch_y", "1", "--grouping_for_ps", "2", "--ps_size", "512"),
        ],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    path = result.file("power_spectrum")
    assert path is not None
    assert path.name == "m_PS.mrc"
    with mrcfile.open(path) as file, mrcfile.open(tmp_path / "relion" / "m_PS.mrc", permissive=True) as theirs:
        assert file.data.shape == (512, 512)
        assert float(file.voxel_size.x) == pytest.approx(float(theirs.voxel_size.x), rel=1e-5)
        ours, relions = file.data.astype(float), theirs.data.reshape(512, 512).astype(float)
    distance = np.hypot(*(np.indices(ours.shape) - 256)).astype(int)
    profiles = [np.bincount(distance.ravel(), each.ravel())[3:250] for each in (ours, relions)]
    profiles = [each / np.bincount(distance.ravel())[3:250] for each in profiles]
    assert np.corrcoef(*profiles)[0, 1] > 0.99
    np.testing.assert_allclose(profiles[0], profiles[1], rtol=0.1)
    around = (distance > 5) & (distance < 60)
    mirrored = np.roll(relions[::-1], 1, 0)
    assert np.corrcoef(ours[around], relions[around])[0, 1] > np.corrcoef(ours[around], mirrored[around])[0, 1] + 0.1
    listed = tmp_path / "corrected_micrographs.star"
    write_micrographs_star(listed, [ListedMicrograph.of_result(result)])
    assert starfile.read(listed)["micrographs"]["rlnCtfPowerSpectrum"].tolist() == [str(path)]
