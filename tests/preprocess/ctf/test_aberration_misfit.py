"""Rings of another voltage, aberration or pixel size than those that are named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from preprocess.backends.cpu.backend import CpuBackend
from preprocess.ctf.estimate import CtfEstimate
from preprocess.ctf.estimation import estimate_ctf
from preprocess.ctf.spectrum import block_spectra
from preprocess.settings import CtfSettings


@pytest.fixture(scope="module")
def image(micrograph: Callable[..., np.ndarray]) -> np.ndarray:
    return micrograph(12_100, 11_900, 30, strength=3)


def estimate(image: np.ndarray, optics) -> CtfEstimate:
    return estimate_ctf(block_spectra(image, optics.pixel_size_angstrom, CpuBackend(2)), optics, CtfSettings(), 2)


def test_right_values_fit(image, optics) -> None:
    assert estimate(image, optics).reliable


@pytest.mark.parametrize(
    "wrong", [{"voltage_kv": 200}, {"voltage_kv": 120}, {"cs_mm": 0.01}, {"pixel_size_angstrom": 1.45}]
)
def test_wrong_values_are_told(image, optics, wrong) -> None:
    found = estimate(image, replace(optics, **wrong))
    assert not found.reliable
    assert "do not fit this voltage" in found.reason
