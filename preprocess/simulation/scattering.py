"""How strongly atoms, water, carbon and gold scatter electrons: form factors and structure factors.

Form factors: Doyle and Turner 1968 (Acta Cryst. A24, 390), sums of four Gaussians. Structure factors say how far the
places of atoms are not random; those of amorphous ice and carbon are smooth curves with the peaks of diffraction.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Spectrum = NDArray[np.float32]

WATER_PER_A3 = 0.0314
CARBON_PER_A3 = 0.10
PROTEIN_PER_A3 = 0.05
GOLD_PER_A3 = 0.059

_DOYLE_TURNER = {
    "H": ((0.2020, 0.2437, 0.0825), (30.8677, 8.5438, 1.2726)),
    "C": ((0.7307, 1.1951, 0.4563, 0.1247), (36.9951, 11.2966, 2.8139, 0.3456)),
    "N": ((0.5717, 1.0425, 0.4647, 0.1311), (28.8465, 9.0542, 2.4213, 0.3167)),
    "O": ((0.4548, 0.9173, 0.4719, 0.1384), (23.7803, 7.6220, 2.1440, 0.2959)),
    "Au": ((2.3880, 4.2259, 2.6886, 1.2551), (42.8656, 9.7430, 2.2641, 0.3067)),
}
_BONDED_HYDROGENS = 1.2  # of two: part of their charge lies at the oxygen
_COMPRESSIBILITY = 0.07  # structure factor of water at long distances


def electron_wavelength(voltage_kv: float) -> float:
    """Return the relativistic wavelength, Å."""
    rest_kev = 510.99895
    momentum_kev = math.sqrt(voltage_kv * (voltage_kv + 2 * rest_kev))
    return 12.398420 / momentum_kev


def relativistic_mass(voltage_kv: float) -> float:
    """Return the electron's mass in units of its rest mass."""
    return 1 + voltage_kv / 510.99895


def form_factor(element: str, k: Spectrum) -> Spectrum:
    """Return an atom's scattering amplitude at spatial frequencies (1/Å), Å."""
    total = np.zeros_like(k)
    squared = k * k / 4
    for height, width in zip(*_DOYLE_TURNER[element], strict=True):
        total += np.float32(height) * np.exp(np.float32(-width) * squared)
    return total


def phase_of_atom(amplitude: Spectrum, voltage_kv: float) -> Spectrum:
    """Return the transform of the phase, rad Å², that an atom of this scattering amplitude gives the wave."""
    factor = electron_wavelength(voltage_kv) * relativistic_mass(voltage_kv)
    return np.float32(factor) * amplitude


def water_molecule(k: Spectrum) -> Spectrum:
    """Return a water molecule's scattering amplitude, Å."""
    return form_factor("O", k) + np.float32(_BONDED_HYDROGENS) * form_factor("H", k)


def protein_atom(k: Spectrum) -> Spectrum:
    """Return the mean scattering amplitude of a protein's atoms that are not hydrogen, Å."""
    mean = 0.63 * form_factor("C", k) + 0.17 * form_factor("N", k) + 0.20 * form_factor("O", k)
    amplitude: Spectrum = (mean + form_factor("H", k)).astype(np.float32)
    return amplitude


def structure_of_ice(k: Spectrum, ring_angstrom: float) -> Spectrum:
    """Return the structure factor of amorphous ice: little below its first peak, which is at `ring_angstrom`."""
    first = 1 / ring_angstrom
    rise = _COMPRESSIBILITY + (1 - _COMPRESSIBILITY) / (1 + np.exp(-(k - 0.92 * first) / 0.014))
    peak = 1.1 * np.exp(-(((k - first) / 0.024) ** 2) / 2) + 0.45 * np.exp(-(((k - 1.8 * first) / 0.045) ** 2) / 2)
    structure: Spectrum = (rise + peak - 0.3 * np.exp(-(((k - 1.37 * first) / 0.05) ** 2) / 2)).astype(np.float32)
    return structure


def structure_of_carbon(k: Spectrum) -> Spectrum:
    """Return the structure factor of an evaporated carbon film, with peaks at 2.1 and 1.2 Å."""
    smooth = 0.35 + 0.65 / (1 + np.exp(-(k - 0.40) / 0.05))
    structure: Spectrum = (smooth + 1.2 * np.exp(-(((k - 0.476) / 0.05) ** 2) / 2)).astype(np.float32)
    return structure


def structure_of_gold(k: Spectrum) -> Spectrum:
    """Return the structure factor of a foil of gold grains: rings at 2.355 and 2.039 Å."""
    rings = 12 * np.exp(-(((k - 1 / 2.355) / 0.004) ** 2) / 2) + 6 * np.exp(-(((k - 1 / 2.039) / 0.004) ** 2) / 2)
    structure: Spectrum = (0.3 + rings).astype(np.float32)
    return structure
