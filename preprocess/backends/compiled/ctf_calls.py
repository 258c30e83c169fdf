"""Calls the kernels in C of CTF estimation with NumPy arrays."""

from __future__ import annotations

import numpy as np

from preprocess.backends.compiled.kernel_library import Array, KernelLibrary

Samples = tuple[Array, ...]
Terms = tuple[float, ...]
"""Samples and terms of the microscope, as `likelihood_kernels` take them."""

DEFOCI_AT_ONCE = 4
"""Defoci whose templates are multiplied together: `ctf_spectra.c` has the same."""


class CtfCalls(KernelLibrary):
    """Kernels of CTF estimation: each method takes what numba's kernel of its name takes, and does the same."""

    def sum_bins(self, powers: Array, bins: Array, sums: Array, start: int, stop: int) -> None:
        """Add up each half spectrum's pixels by bin."""
        at = self.at
        self.lib.sum_bins(at(powers), powers.shape[1], at(bins), at(sums), sums.shape[1], start, stop)

    def correlate_templates(
        self, defoci: Array, squared: Array, aberration: Array, phase: float, wavelength: float, frequency_step: float,
        columns: Array, squares: Array, products: Array, start: int, stop: int,
    ) -> None:  # fmt: skip
        """Multiply each defocus' template with columns."""
        at, (count, width), extra = self.at, columns.shape, squares.shape[1]
        room = np.empty(DEFOCI_AT_ONCE * (count + width + extra))
        self.lib.correlate_templates(
            at(defoci), at(squared), at(aberration), count, phase, wavelength, frequency_step, at(columns), width,
            at(squares), extra, at(products), at(room), start, stop,
        )  # fmt: skip

    def search_astigmatism(
        self, scores: Array, first: float, step: float, cost: float, grid: Array, cos2: Array, sin2: Array,
        best: Array, chosen: Array, start: int, stop: int,
    ) -> None:  # fmt: skip
        """Find each mean defocus' best astigmatism on a grid."""
        at, places = self.at, len(grid)
        room = np.empty(places * (scores.shape[1] + 1))
        self.lib.search_astigmatism(
            at(scores), *scores.shape, first, step, cost, at(grid), places, at(cos2), at(sin2), at(best), at(chosen),
            at(room), start, stop,
        )  # fmt: skip

    def rescale_spectra(self, powers: Array, factors: Array, total: Array, start: int, stop: int) -> None:
        """Add up half spectra, each read off at its factor times the frequency."""
        at = self.at
        self.lib.rescale_spectra(at(powers), at(factors), len(factors), at(total), *total.shape, start, stop)

    def equiphase_sums(
        self, values: Array, weights: Array, rings: Array, cos2: Array, sin2: Array, parameters: Array,
        wavelength: float, aberration: float, frequency_step: float, sums: Array, counts: Array, start: int, stop: int,
    ) -> None:  # fmt: skip
        """Add up samples by the frequency at which the mean defocus has their phase."""
        at = self.at
        self.lib.equiphase_sums(
            at(values), at(weights), at(rings), at(cos2), at(sin2), len(values), at(parameters), wavelength,
            aberration, frequency_step, at(sums), at(counts), *sums.shape, start, stop,
        )  # fmt: skip

    def add_block_curves(
        self, found: Array, norms: Array, tiles: Array, centres: Array, slopes: Array, first: float, step: float,
        middle: float, gains: Array, start: int, stop: int,
    ) -> None:  # fmt: skip
        """Add up the blocks' curves for slopes."""
        at, room = self.at, np.empty(2 * found.shape[1])
        self.lib.add_block_curves(
            at(found), *found.shape, at(norms), at(tiles), at(centres), at(slopes), first, step, middle, at(gains),
            at(room), start, stop,
        )  # fmt: skip

    def write_bases(
        self, frequency: Array, lowest: float, highest: float, basis: Array, places: Array, start: int, stop: int
    ) -> None:
        """Write each sample's splines and rings, and where they belong."""
        at = self.at
        self.lib.write_bases(at(frequency), lowest, highest, at(basis), at(places), start, stop)

    def add_normal_equations(
        self, samples: Samples, terms: Terms, parameters: Array, linear: Array, free: int, clip: float,
        equations: Array, right: Array, figures: Array, start: int, stop: int,
    ) -> None:  # fmt: skip
        """Add up parts of the normal equations of Gauss and Newton's step."""
        at = self.at
        self.lib.add_normal_equations(
            *map(at, samples), len(samples[0]), *terms, at(parameters), at(linear), free, clip, at(equations),
            at(right), at(figures), len(equations), start, stop,
        )  # fmt: skip

    def add_block_equations(
        self, samples: Samples, values: Array, terms: Terms, parameters: Array, linear: Array, tiles: Array,
        states: Array, equations: Array, right: Array, start: int, stop: int,
    ) -> None:  # fmt: skip
        """Add up the normal equations of blocks that differ from the whole."""
        at = self.at
        self.lib.add_block_equations(
            *map(at, samples), len(samples[0]), at(values), *terms, at(parameters), at(linear), at(tiles), at(states),
            at(equations), at(right), start, stop,
        )  # fmt: skip

    def draw_model(
        self, samples: Samples, terms: Terms, parameters: Array, linear: Array, measured: Array, fitted: Array,
        start: int, stop: int,
    ) -> None:  # fmt: skip
        """Divide each sample by the background, and write the model of that."""
        at, (frequency, cos2, sin2, value, _weight, basis, places) = self.at, samples
        self.lib.draw_model(
            at(frequency), at(cos2), at(sin2), at(value), at(basis), at(places), *terms, at(parameters), at(linear),
            at(measured), at(fitted), start, stop,
        )  # fmt: skip
