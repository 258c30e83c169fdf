"""Thick specimens: layers of different defocus make the rings vanish at a node, and turn them over beyond."""

from __future__ import annotations

import numpy as np
import pytest

from preprocess.backends.cpu.backend import CpuBackend
from preprocess.ctf.estimation import estimate_ctf
from preprocess.ctf.spectrum import block_spectra
from preprocess.settings import CtfSettings

LAYERS = 10


@pytest.mark.parametrize("thickness", [1000, 2000])
def test_a_thickness_comes_back_within_15_percent(micrograph, optics, thickness) -> None:
    depths = ((np.arange(LAYERS) + 0.5) / LAYERS - 0.5) * thickness
    layers = (micrograph(17_000 + depth, 17_000 + depth, 0, seed=i, strength=4) for i, depth in enumerate(depths))
    image = (sum(layers) / np.sqrt(LAYERS)).astype(np.float32)
    spectra = block_spectra(image, optics.pixel_size_angstrom, CpuBackend(2))
    found = estimate_ctf(spectra, optics, CtfSettings(), 2)
    assert found.thickness_angstrom == pytest.approx(thickness, rel=0.15)
    assert found.mean_defocus_angstrom == pytest.approx(17_000, abs=80)
    node = 1 / np.sqrt(optics.wavelength_angstrom * found.thickness_angstrom)
    profile, k = found.profile, found.profile.frequency_per_angstrom
    beyond = (k > node) & (k < 1.3 * node)
    assert np.corrcoef(profile.fitted[beyond], profile.ctf_squared[beyond])[0, 1] < -0.5
