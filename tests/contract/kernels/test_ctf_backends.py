"""Spectra for CTF estimation, and what is estimated from them, are the same on every backend."""

from __future__ import annotations

import numpy as np
import pytest

from preprocess.backends.contract import Backend
from preprocess.backends.cpu.backend import CpuBackend
from preprocess.backends.cpu.kernel_set import KernelSet
from preprocess.ctf.estimate import CtfEstimate
from preprocess.ctf.estimation import estimate_ctf
from preprocess.ctf.kernel_set import CtfKernelSet, ctf_kernels
from preprocess.ctf.optics import CtfOptics
from preprocess.ctf.spectrum import BlockSpectra, block_spectra
from preprocess.settings import CtfSettings
from preprocess.simulation import MicrographSettings, simulate_micrograph

TILTED = MicrographSettings(
    height=1024, width=1152, seed=2, pixel_size_angstrom=1.3, defocus_u_angstrom=14_000, defocus_v_angstrom=12_500,
    angle_degrees=25, dose_e_per_a2=60, tilt_degrees=25,
)  # fmt: skip
OPTICS = CtfOptics(pixel_size_angstrom=1.3, voltage_kv=300, cs_mm=TILTED.cs_mm, amplitude_contrast=0.1)


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    """Return a tilted specimen, with pixels that are no numbers, a hot pixel and a corner that is saturated."""
    image = simulate_micrograph(TILTED).image.copy()
    image[100, 200:203], image[700, 900], image[500, 20] = np.nan, np.inf, 1e7
    image[:300, -300:] = image[np.isfinite(image)].mean() + 1e4
    return image


@pytest.fixture(scope="module")
def from_numba(image: np.ndarray) -> BlockSpectra:
    return block_spectra(image, 1.3, CpuBackend(1, KernelSet("numba")))


def same_ctf(found: CtfEstimate, expected: CtfEstimate) -> None:
    """Fail unless two estimates are the same: defoci to 0.5 Å, bins of resolution exactly."""
    for name, tolerance in (("defocus_u_angstrom", 0.5), ("defocus_v_angstrom", 0.5), ("angle_degrees", 0.05)):
        assert abs(getattr(found, name) - getattr(expected, name)) < tolerance, name
    for name in ("score", "sigma_angstrom", "significance", "margin", "tilt_degrees"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=2e-3), name
    assert found.fit_resolution_angstrom == expected.fit_resolution_angstrom
    assert (found.reliable, found.reason) == (expected.reliable, expected.reason)
    assert (found.thickness_angstrom is None) == (expected.thickness_angstrom is None)
    np.testing.assert_allclose(found.measured_spectrum, expected.measured_spectrum, rtol=0, atol=2e-3)
    np.testing.assert_allclose(found.fitted_spectrum, expected.fitted_spectrum, rtol=0, atol=2e-3)


@pytest.mark.parametrize("pixel_size", [1.3, 0.6], ids=["whole", "binned"])
def test_spectra_of_blocks(backend: Backend, image: np.ndarray, pixel_size: float) -> None:
    """Powers agree to 1e-4 of a block's largest; which tiles count is the same."""
    found = block_spectra(image, pixel_size, backend)
    expected = block_spectra(image, pixel_size, CpuBackend(1, KernelSet("numba")))
    assert found.tile_counts.tolist() == expected.tile_counts.tolist()
    assert found.tile_count > 0
    assert found.tile_count < found.tiles_laid or pixel_size < 1, "the saturated corner counts"
    assert found.effective_count == expected.effective_count
    np.testing.assert_array_equal(found.centres_angstrom, expected.centres_angstrom)
    assert (found.frequency_step, found.shape) == (expected.frequency_step, expected.shape)
    assert found.variance == pytest.approx(expected.variance, rel=1e-5)
    largest = expected.powers.max((1, 2), keepdims=True)
    assert (np.abs(found.powers - expected.powers) <= 1e-4 * largest).all()


def test_estimates_from_the_spectra_of_every_backend(
    backend: Backend, image: np.ndarray, from_numba: BlockSpectra
) -> None:
    found = estimate_ctf(block_spectra(image, 1.3, backend), OPTICS, CtfSettings(), 1)
    same_ctf(found, estimate_ctf(from_numba, OPTICS, CtfSettings(), 1))


def test_estimates_by_kernels_in_c_and_by_those_of_numba(
    from_numba: BlockSpectra, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a tilt that is found and taken out, so that every kernel has its part."""
    if not ctf_kernels.are_compiled:
        pytest.skip("kernels in C were not compiled: install a C compiler and run make install again")
    found = estimate_ctf(from_numba, OPTICS, CtfSettings(), 2)
    of_numba, used = CtfKernelSet("numba"), [name for name in vars(ctf_kernels) if not name.startswith("_")]
    for name in used:
        monkeypatch.setattr(ctf_kernels, name, getattr(of_numba, name))
    expected = estimate_ctf(from_numba, OPTICS, CtfSettings(), 2)
    assert len(used) == 10
    assert expected.tilt_degrees is not None
    same_ctf(found, expected)
