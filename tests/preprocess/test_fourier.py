from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.fft

from preprocess import fourier

RANDOM = np.random.default_rng(5)
IMAGE = RANDOM.normal(1, 2, (30, 42)).astype(np.float32)
SPECTRUM = np.fft.rfft2(IMAGE).astype(np.complex64)
PATCHES = np.stack([SPECTRUM, SPECTRUM[::-1]])


@pytest.fixture(params=["the extension", "scipy.fft"])
def _transforms(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = fourier.extension() if request.param == "the extension" else fourier.PublicTransforms()
    assert chosen is not None
    monkeypatch.setattr(fourier, "_transforms", chosen)


@pytest.mark.usefixtures("_transforms")
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (lambda: fourier.rfft(IMAGE), lambda: scipy.fft.rfft(IMAGE)),
        (lambda: fourier.rfft(IMAGE, axis=0), lambda: scipy.fft.rfft(IMAGE, axis=0)),
        (lambda: fourier.irfft(SPECTRUM, 42), lambda: scipy.fft.irfft(SPECTRUM, n=42)),
        (lambda: fourier.fft(SPECTRUM, axis=0, threads=2), lambda: scipy.fft.fft(SPECTRUM, axis=0)),
        (lambda: fourier.fft(PATCHES[:, :, :7], axis=1), lambda: scipy.fft.fft(PATCHES[:, :, :7], axis=1)),
        (lambda: fourier.ifft(SPECTRUM, axis=0), lambda: scipy.fft.ifft(SPECTRUM, axis=0)),
        (lambda: fourier.rfft2(IMAGE, threads=2), lambda: scipy.fft.rfft2(IMAGE)),
        (lambda: fourier.irfft2(SPECTRUM, 42), lambda: scipy.fft.irfft2(SPECTRUM, s=(30, 42))),
    ],
)
def test_transforms_are_those_of_scipy_to_the_bit(ours: Callable[[], Any], theirs: Callable[[], Any]) -> None:
    found, expected = ours(), theirs()
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


@pytest.mark.usefixtures("_transforms")
def test_a_result_is_written_where_it_is_wanted() -> None:
    halves, whole = np.zeros((2, *SPECTRUM.shape), np.complex64), SPECTRUM.copy()
    fourier.rfft2(IMAGE, halves[0])
    fourier.rfft(IMAGE, out=halves[1])
    np.testing.assert_array_equal(halves, [scipy.fft.rfft2(IMAGE), scipy.fft.rfft(IMAGE)])
    fourier.fft(whole, axis=0, out=whole)
    np.testing.assert_array_equal(whole, scipy.fft.fft(SPECTRUM, axis=0))
    fourier.ifft(whole, axis=0, out=whole)
    np.testing.assert_array_equal(whole, scipy.fft.ifft(scipy.fft.fft(SPECTRUM, axis=0), axis=0))


@pytest.mark.usefixtures("_transforms")
def test_lengths_are_those_of_scipy() -> None:
    assert [fourier.next_fast_length(n) for n in (11, 97, 337)] == [12, 100, 360] != [11, 97, 337]
    assert fourier.next_fast_length(337) == scipy.fft.next_fast_len(337, real=True)


def test_scipy_fft_is_not_imported_and_takes_the_same_extension_afterwards() -> None:
    lines = (
        "import sys; from preprocess import fourier; ours = fourier._transforms",
        "print('scipy.fft' in sys.modules, type(ours).__name__)",
        "import scipy.fft._pocketfft.basic as basic; print(basic.pfft is ours, fourier.extension() is ours)",
    )
    found = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "module", "True", "True"]
