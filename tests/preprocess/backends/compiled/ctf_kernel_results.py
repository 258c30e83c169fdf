"""Runs every kernel in C of CTF estimation on random numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess.backends.compiled.ctf_calls import CtfCalls
from preprocess.ctf.model import PARAMETERS

TERMS = (0.0197, 102.0, 0.1, 0.004)
SAMPLES, BLOCKS, RADIUS = 3001, 3, 20


def ctf_results(kernels: CtfCalls) -> dict[str, NDArray[Any]]:
    """Return what each kernel makes of random numbers."""
    random = np.random.default_rng(8)
    return spectra_results(kernels, random) | likelihood_results(kernels, random)


def spectra_results(kernels: CtfCalls, random: np.random.Generator) -> dict[str, NDArray[Any]]:
    """Return what the kernels of `ctf_spectra.c` make of random numbers."""
    found: dict[str, NDArray[Any]] = {}
    height, width = 2 * RADIUS + 1, RADIUS + 1
    powers = random.gamma(3, 1, (BLOCKS, height, width)).astype(np.float32)
    bins = random.integers(-1, 40, height * width).astype(np.int32)
    found["sum_bins"] = np.zeros((BLOCKS, 40))
    kernels.sum_bins(powers.reshape(BLOCKS, -1), bins, found["sum_bins"], 0, BLOCKS)
    squared = (np.arange(8, 51) * 0.006) ** 2
    columns, squares = random.normal(0, 1, (len(squared), 21)), random.uniform(0, 1, (len(squared), 3))
    found["correlate_templates"] = products = np.zeros((50, 24))
    work = (np.linspace(2000, 50_000, 50), squared, 102 * squared**2, 0.3, 0.0197, 0.006, columns, squares, products)
    kernels.correlate_templates(*work, 0, 50)
    angle, grid = np.linspace(0, 6, 18), random.normal(0, 0.1, (40, 2))
    found["best"], found["chosen"] = np.zeros(50), np.zeros(50, np.int64)
    scores = random.normal(0, 1, (50, 18))
    work = (scores, 2000.0, 90.0, 2.0, grid, np.cos(angle), np.sin(angle), found["best"], found["chosen"])
    kernels.search_astigmatism(*work, 0, 50)
    found["rescale_spectra"] = np.zeros((height, width), np.float32)
    kernels.rescale_spectra(powers, np.array([0.8, 1, 1.3], np.float32), found["rescale_spectra"], 0, height)
    curves, norms = random.normal(0, 1, (30, 5, 9)), random.uniform(1, 2, (30, 5))
    tiles, centres, slopes = random.uniform(1, 9, 9), random.normal(0, 900, (9, 2)), random.normal(0, 0.5, (33, 2))
    found["add_block_curves"] = np.zeros(33)
    kernels.add_block_curves(curves, norms, tiles, centres, slopes, 8e3, 40.0, 9e3, found["add_block_curves"], 0, 33)
    return found


def likelihood_results(kernels: CtfCalls, random: np.random.Generator) -> dict[str, NDArray[Any]]:
    """Return what the kernels of `ctf_likelihood.c` and sums of equal phase make of random numbers."""
    found: dict[str, NDArray[Any]] = {}
    frequency = np.sort(random.uniform(0.03, 0.36, SAMPLES)).astype(np.float32)
    angle = random.uniform(0, 2 * np.pi, SAMPLES)
    cos2, sin2 = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
    value, weight = random.gamma(4, 0.25, (2, SAMPLES)).astype(np.float32)
    basis, places = np.zeros((SAMPLES, 10), np.float32), np.zeros((SAMPLES, 2), np.int32)
    kernels.write_bases(frequency, 0.03, 0.36, basis, places, 0, SAMPLES)
    found["basis"], found["places"] = basis, places
    samples = (frequency, cos2, sin2, value, weight, basis, places)
    parameters, linear = np.array([12e3, 300.0, -200.0, 0.3]), random.uniform(0.3, 1, PARAMETERS)
    for aberration in (0.0, 102.0):
        sums, counts = np.zeros((2, 4, 90))
        rings = frequency / np.float32(0.004)
        work = (value, weight, rings, cos2, sin2, parameters, 0.0197, aberration, 0.004, sums, counts)
        kernels.equiphase_sums(*work, 0, 4)
        found |= {f"equiphase_sums {aberration}": sums, f"equiphase_counts {aberration}": counts}
    equations, right, figures = np.zeros((3, PARAMETERS, PARAMETERS)), np.zeros((3, PARAMETERS)), np.zeros((3, 2))
    kernels.add_normal_equations(samples, TERMS, parameters, linear, 2, 1.5, equations, right, figures, 0, 3)
    found |= {"equations": equations, "right": right, "figures": figures}
    values = random.gamma(4, 0.25, (BLOCKS, SAMPLES)).astype(np.float32)
    arrays = (frequency, cos2, sin2, weight, basis, places)
    states = np.array([[12e3, 1, 1], [13e3, 0.8, 1.1], [11e3, 1.3, 0.9]])
    of_blocks, right_of_blocks = np.zeros((BLOCKS, 3, 3)), np.zeros((BLOCKS, 3))
    tiles = np.array([3.0, 5, 0.1])
    work = (arrays, values, TERMS, parameters, linear, tiles, states, of_blocks, right_of_blocks)
    kernels.add_block_equations(*work, 0, BLOCKS)
    found |= {"equations of blocks": of_blocks, "right of blocks": right_of_blocks}
    found["measured"], found["fitted"] = np.zeros((2, SAMPLES), np.float32)
    kernels.draw_model(samples, TERMS, parameters, linear, found["measured"], found["fitted"], 0, SAMPLES)
    return found
