from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.ndimage

from preprocess import image_filters

IMAGE = np.random.default_rng(6).normal(3, 1, (41, 30)).astype(np.float32)
CURVE = IMAGE[0].astype(np.float64)


@pytest.mark.parametrize("chosen", [image_filters.extension(), image_filters.PublicFilters()])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (lambda: image_filters.gaussian_filter(IMAGE, 1.3), lambda: scipy.ndimage.gaussian_filter(IMAGE, 1.3)),
        (lambda: image_filters.gaussian_filter(IMAGE, 0.1), lambda: scipy.ndimage.gaussian_filter(IMAGE, 0.1)),
        (
            lambda: image_filters.gaussian_filter1d(CURVE, 25.6, mode="nearest"),
            lambda: scipy.ndimage.gaussian_filter1d(CURVE, 25.6, mode="nearest"),
        ),
        (lambda: image_filters.box_filter(IMAGE, 16), lambda: scipy.ndimage.uniform_filter(IMAGE, 16)),
    ],
)
def test_filters_are_those_of_scipy_to_the_bit(
    chosen: Any, ours: Callable[[], Any], theirs: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert chosen is not None
    monkeypatch.setattr(image_filters, "_filters", chosen)
    before, found, expected = IMAGE.copy(), ours(), theirs()
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(IMAGE, before)


def test_aligning_without_ctf_imports_neither_scipy_fft_nor_ndimage() -> None:
    lines = (
        "import sys, preprocess.commands.align_run, preprocess.backends.cpu.backend",
        "print(*sorted(name for name in sys.modules if name.startswith('scipy')))",
    )
    found = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["scipy.fft._pocketfft.pypocketfft", "scipy.ndimage._nd_image"]
