"""Figures of ice from radial profiles of known shape."""

from __future__ import annotations

import numpy as np
import pytest

from preprocess.ctf.ice import ice_figures

FREQUENCY = np.arange(366) / 1024


def power_with_ring(height: float, width: float = 0.01) -> np.ndarray:
    return 1 + 2 * np.exp(-FREQUENCY / 0.08) + height * np.exp(-0.5 * ((FREQUENCY - 1 / 3.72) / width) ** 2)


def test_all_figures_grow_with_the_ring() -> None:
    figures = [ice_figures(FREQUENCY, power_with_ring(height), (4096, 4096), 1.0) for height in (0, 0.3, 1.0)]
    for name in ("ring_density", "relative_thickness", "iciness"):
        values = [getattr(figure, name) for figure in figures]
        assert values[0] < values[1] < values[2], name


def test_the_ring_density_is_that_of_512_px_whatever_the_tiles() -> None:
    fine = ice_figures(FREQUENCY, power_with_ring(0.5), (2048, 2048), 1.0)
    coarse = ice_figures(FREQUENCY[::2], power_with_ring(0.5)[::2], (2048, 2048), 1.0)
    assert fine.ring_density == pytest.approx(coarse.ring_density, rel=0.05)


def test_a_flat_profile_has_no_ring_and_a_coarse_image_no_figures() -> None:
    flat = ice_figures(FREQUENCY, np.ones_like(FREQUENCY), (2048, 2048), 1.0)
    assert flat.ring_density == pytest.approx(0, abs=1e-6)
    assert flat.relative_thickness == pytest.approx(1)
    assert flat.iciness == pytest.approx(1)
    short = FREQUENCY[FREQUENCY < 0.2]
    none = ice_figures(short, np.ones_like(short), (2048, 2048), 2.5)
    assert (none.ring_density, none.relative_thickness, none.iciness) == (None, None, None)
