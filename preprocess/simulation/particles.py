"""Particles of a simulated micrograph: one random shape filled with atoms, turned at random, at random depths."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from preprocess.simulation.frequencies import Frequencies, Image, image_of, transform
from preprocess.simulation.micrograph_settings import MicrographSettings
from preprocess.simulation.scattering import PROTEIN_PER_A3, phase_of_atom, protein_atom
from preprocess.simulation.specimen import damage_rate, random_rotations

_BALLS = 5
_MOST_ATOMS = 4_000_000
_WATER_DISPLACED = 0.55  # of the mean potential
_SMOOTH_PER_ANGSTROM = 0.06  # what water displaces is the shape alone, not the atoms


def particle_slices(settings: MicrographSettings, frequencies: Frequencies, slices: int) -> dict[int, Image]:
    """Return the phase of the particles in each of so many slices that has any, rad."""
    random = np.random.default_rng([settings.seed, 23])
    atoms, weight = _atoms(settings, random)
    field = settings.height * settings.width * settings.pixel_size_angstrom**2
    count = round(settings.particle_area * field / (np.pi / 4 * settings.particle_diameter_angstrom**2))
    count = min(count, max(1, _MOST_ATOMS // len(atoms)))
    if not count:
        return {}
    centres = random.uniform(0, 1, (count, 2)) * settings.shape
    rotations = random_rotations(count, random)
    layer = _layers(count, slices, random)
    amplitude = _amplitude(settings, frequencies.k) * np.float32(weight)
    found = {}
    for index in np.unique(layer):
        here = layer == index
        canvas = _points(atoms / settings.pixel_size_angstrom, rotations[here], centres[here], settings.shape)
        spectrum = transform(canvas)
        spectrum *= amplitude
        found[int(index)] = image_of(spectrum, settings.shape)
    return found


def _layers(count: int, slices: int, random: np.random.Generator) -> NDArray[np.intp]:
    """Return each particle's slice; every second one mirrors the one before, so that their mean depth is the ice's.

    Else the defocus that an image shows would differ from the settings' by what chance makes of the particles' depths.
    """
    layer = random.integers(0, slices, count)
    layer[1::2] = slices - 1 - layer[: count - count % 2 : 2]
    return layer


def _atoms(settings: MicrographSettings, random: np.random.Generator) -> tuple[NDArray[np.float64], float]:
    """Return the places of a particle's atoms, Å, and how many atoms each place stands for."""
    radius = settings.particle_diameter_angstrom / 2
    centres = random.standard_normal((_BALLS, 3))
    centres *= 0.55 * radius / np.linalg.norm(centres, axis=1, keepdims=True)
    radii = radius * random.uniform(0.3, 0.5, _BALLS)
    volumes = 4 / 3 * np.pi * radii**3
    real = PROTEIN_PER_A3 * volumes.sum()
    count = int(min(real, 30_000))
    ball = random.choice(_BALLS, count, p=volumes / volumes.sum())
    inside = random.standard_normal((count, 3))
    inside *= (random.uniform(0, 1, count) ** (1 / 3) / np.linalg.norm(inside, axis=1))[:, None]
    return centres[ball] + inside * radii[ball, None], real / count


def _amplitude(settings: MicrographSettings, k: Image) -> Image:
    """Return the phase of an atom with the water that it displaces, less what the dose destroyed."""
    atom = phase_of_atom(protein_atom(k), settings.voltage_kv) / np.float32(settings.pixel_size_angstrom**2)
    atom = atom * (1 - _WATER_DISPLACED * np.exp(-((k / _SMOOTH_PER_ANGSTROM) ** 2) / 2))
    lost = settings.dose_e_per_a2 * damage_rate(k * k, settings.voltage_kv) + np.float32(1e-3)
    amplitude: Image = (atom * (1 - np.exp(-lost)) / lost).astype(np.float32)
    return amplitude


def _points(
    atoms: NDArray[np.float64], rotations: NDArray[np.float64], centres: NDArray[np.float64], shape: tuple[int, int]
) -> Image:
    """Return a canvas with each atom of each particle in its nearest pixel; what is outside is left out."""
    canvas = np.zeros(shape[0] * shape[1], np.float32)
    for rotation, centre in zip(rotations, centres, strict=True):
        places = np.rint(atoms @ rotation[:2].T + centre).astype(np.intp)
        inside = ((places >= 0) & (places < shape)).all(1)
        np.add.at(canvas, places[inside, 0] * shape[1] + places[inside, 1], np.float32(1))
    return canvas.reshape(shape)
