"""Steep tilts, which blur the rings of the whole image, are found without a start value."""

from __future__ import annotations

import numpy as np
import pytest

from preprocess.backends.cpu.backend import CpuBackend
from preprocess.backends.cpu.row_threads import RowThreads
from preprocess.ctf.half_plane import half_plane
from preprocess.ctf.model import PhaseTerms
from preprocess.ctf.refinement import FitTask, refine
from preprocess.ctf.samples import polar_samples, polar_values
from preprocess.ctf.sectors import sector_sums, smooth_course
from preprocess.ctf.slope_search import search_slope
from preprocess.ctf.spectrum import block_spectra


@pytest.mark.parametrize("slope", [(1.0, 0.0), (-0.5, 0.8), (0.0, 0.0)])
def test_slopes_up_to_45_degrees(micrograph, optics, slope) -> None:
    image = micrograph(18_000, 18_000, 0, slope=slope, strength=3)
    spectra = block_spectra(image, optics.pixel_size_angstrom, CpuBackend(2))
    step, threads = spectra.frequency_step, RowThreads(2)
    plane, terms = half_plane(spectra.radius, round(1 / 30 / step)), PhaseTerms.of(optics, step)
    sums = sector_sums(spectra.mean()[None], plane, threads)[0]
    course = smooth_course(sums, plane, step)
    samples = polar_samples(sums, course, plane, step)
    task = FitTask(samples, terms, spectra.effective_count, with_phase=False)
    fit = refine(task, np.array([18_000.0, 0, 0, 0]), threads, steps=6)
    tiles = spectra.tile_counts.astype(np.float64)
    blocks = polar_values(sector_sums(spectra.powers, plane, threads) / tiles[:, None, None], course, plane)
    found = search_slope(
        blocks, spectra.effective_counts, spectra.centres_angstrom, samples, plane, course, terms, fit, threads
    )
    assert found.slope == pytest.approx(slope, abs=0.2)
    assert (found.log_likelihood_gain > 20) == any(slope)
