"""The same movie through RELION's own motion correction and through ours: shifts, images, intensities, STAR."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import starfile

from preprocess.exposure.acquisition import Acquisition
from preprocess.pipeline.process_movie import process_movie
from preprocess.settings import AlignmentSettings, GainSettings
from preprocess.simulation import SimulationSettings, simulate_movie

pytestmark = [
    pytest.mark.relion,
    pytest.mark.skipif(
        shutil.which("relion_run_motioncorr") is None, reason="RELION is missing: apt-get install relion"
    ),
]

DOSE, PIXEL = 2.5, 1.1


def relion(movie: Path, out: Path, *options: str) -> Path:
    """Run RELION's own implementation; return the folder with its results."""
    subprocess.run(
        [
            *("relion_run_motioncorr", "--i", movie.name, "--o", f"{out}/", "--use_own", "--j", "1"),
            *("--bin_factor", "1", "--bfactor", "150", "--angpix", f"{PIXEL}", "--voltage", "200"),
            *("--dose_per_frame", f"{DOSE}", "--preexposure", "1", "--patch_x", "1", "--patch_y", "1"),
            *("--dose_weighting", "--save_noDW", *options),
        ],
        cwd=movie.parent,
        check=True,
        capture_output=True,
    )
    return out


@pytest.fixture(scope="module", params=["tiff", "mrcs"])
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders with RELION's and with our results for one movie of three electrons a pixel and frame."""
    folder = tmp_path_factory.mktemp("relion")
    movie = simulate_movie(
        SimulationSettings(height=512, width=480, frame_count=12, seed=4, dose_per_frame_e_per_a2=DOSE)
    )
    path = folder / f"m.{request.param}"
    movie.write(path)
    movie.write_gain(folder / "gain.mrc", movie_format=path.suffix.strip("."))
    theirs = relion(path, folder / "relion", "--gainref", "gain.mrc")
    process_movie(
        path,
        folder / "ours",
        settings=AlignmentSettings(
            device="cpu", threads=2, unweighted=True, float32=True, gain=GainSettings(path=folder / "gain.mrc")
        ),
        acquisition=Acquisition(
            pixel_size_angstrom=PIXEL, voltage_kv=200, dose_per_frame_e_per_a2=DOSE, pre_exposure_e_per_a2=1
        ),
    )
    return theirs, folder / "ours"


def ring_correlation(one: np.ndarray, other: np.ndarray, rings: int = 20) -> np.ndarray:
    """Fourier ring correlation of the images' inner parts."""
    inner = (slice(32, -32), slice(32, -32))
    f, g = (np.fft.fft2(image[inner] - image[inner].mean()) for image in (one, other))
    k = np.hypot(np.fft.fftfreq(f.shape[0])[:, None], np.fft.fftfreq(f.shape[1]))
    ring = np.minimum((k * 2 * rings).astype(int), rings).ravel()

    def total(values: np.ndarray) -> np.ndarray:
        return np.bincount(ring, values.ravel(), rings + 1)[:rings]

    return total((f * g.conj()).real) / np.sqrt(total(np.abs(f) ** 2) * total(np.abs(g) ** 2))


@pytest.mark.parametrize("name", ["m.mrc", "m_noDW.mrc"])
def test_images_agree_in_content_and_in_intensity(both: tuple[Path, Path], name: str) -> None:
    theirs, ours = (mrcfile.read(folder / name).astype(float) for folder in both)
    assert ours.shape == theirs.shape
    assert ours.mean() == pytest.approx(theirs.mean(), rel=0.001)
    assert ours.std() == pytest.approx(theirs.std(), rel=0.02)
    frc = ring_correlation(ours, theirs)
    assert frc[:5].min() > 0.985
    assert frc[:10].min() > 0.93  # RELION's shifts are off by 0.1 to 0.2 px here


def test_shifts_have_relion_s_sign_and_scale(both: tuple[Path, Path]) -> None:
    theirs, ours = (starfile.read(folder / "m.star")["global_shift"] for folder in both)
    for axis in ("rlnMicrographShiftX", "rlnMicrographShiftY"):
        assert np.std(ours[axis] - theirs[axis]) < 0.35
    main = max(("rlnMicrographShiftX", "rlnMicrographShiftY"), key=lambda axis: np.ptp(theirs[axis]))
    assert np.ptp(theirs[main]) > 4
    assert np.corrcoef(ours[main], theirs[main])[0, 1] > 0.99
    assert np.ptp(ours[main]) == pytest.approx(np.ptp(theirs[main]), rel=0.1)


def test_star_has_relion_s_fields_and_values(both: tuple[Path, Path]) -> None:
    theirs, ours = (starfile.read(folder / "m.star") for folder in both)
    assert list(ours) == list(theirs)
    assert set(ours["general"]) == set(theirs["general"])
    for field, value in theirs["general"].items():
        assert ours["general"][field] == value, field
    for block in ("global_shift", "hot_pixels"):
        assert list(ours[block].columns) == list(theirs[block].columns)
    hot = [set(map(tuple, star["hot_pixels"].to_numpy().tolist())) for star in (ours, theirs)]
    assert hot[0] >= hot[1]


def test_weighting_is_relion_s(both: tuple[Path, Path]) -> None:
    """Ring by ring, the weighted image's amplitude relative to the unweighted one's is RELION's."""

    def ratio(folder: Path) -> np.ndarray:
        weighted, plain = (mrcfile.read(folder / name).astype(float) for name in ("m.mrc", "m_noDW.mrc"))
        powers = [np.abs(np.fft.fft2(image - image.mean())) ** 2 for image in (weighted, plain)]
        k = np.hypot(np.fft.fftfreq(weighted.shape[0])[:, None], np.fft.fftfreq(weighted.shape[1]))
        ring = np.minimum((k * 40).astype(int), 20).ravel()
        sums = [np.bincount(ring, power.ravel(), 21)[1:20] for power in powers]
        return np.sqrt(sums[0] / sums[1])

    theirs, ours = (ratio(folder) for folder in both)
    np.testing.assert_allclose(ours[:14], theirs[:14], rtol=0.02)  # near Nyquist Lanczos damps frames unequally
