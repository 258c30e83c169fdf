"""The specimen of a micrograph, cut into thin slices: the phase that each gives to the electrons' wave.

Ice and carbon are noise in real space, with the structure factor that diffraction shows. Particles are random clouds of
atoms with one shape in random orientations. Ice crystals are lattice waves under a soft window.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from preprocess.simulation.frequencies import Frequencies, Image, image_of, transform
from preprocess.simulation.micrograph_settings import MicrographSettings
from preprocess.simulation.particles import particle_slices
from preprocess.simulation.regions import beyond_edge, lump, smooth_field
from preprocess.simulation.scattering import (
    CARBON_PER_A3,
    GOLD_PER_A3,
    WATER_PER_A3,
    electron_wavelength,
    form_factor,
    phase_of_atom,
    structure_of_carbon,
    structure_of_gold,
    structure_of_ice,
    water_molecule,
)

_HIGHEST_PER_ANGSTROM = 0.33
_HEXAGONAL_ANGSTROM = (3.90, 3.67, 3.44)
_FOIL_THICKNESS_ANGSTROM = 400.0
_INELASTIC_ANGSTROM = 3000.0  # mean free path of inelastic scattering in ice at 300 kV
_SOFT_EDGE_ANGSTROM = 15.0
_FOIL_PHASE = 0.2  # rad, root mean square: a foil scatters so often that its phase is no sum over its atoms


@dataclass(frozen=True, slots=True)
class SpecimenSlice:
    """A thin slice: its depth along the beam relative to the specimen's middle, Å, and its phase, rad."""

    depth_angstrom: float
    phase: Image


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What lies where, each a share from 0 to 1 of every pixel; `brightness` is what gets through, relative."""

    ice: Image
    carbon: Image | None
    foil: Image | None
    brightness: Image


def slice_step(settings: MicrographSettings) -> float:
    """Return a distance along the beam, Å, that changes the phase of the transfer function by half a radian at most."""
    highest = min(_HIGHEST_PER_ANGSTROM, 0.5 / settings.pixel_size_angstrom)
    return float(1 / (2 * np.pi * electron_wavelength(settings.voltage_kv) * highest**2))


def make_surroundings(settings: MicrographSettings) -> Surroundings:
    """Return where ice, carbon and foil are, and how bright the image is."""
    random = np.random.default_rng([settings.seed, 20])
    shape, pixel = settings.shape, settings.pixel_size_angstrom
    ice = np.clip(1 + settings.thickness_variation * smooth_field(shape, min(shape) / 3, random), 0.05, None)
    brightness = 1 - 0.05 * (ice - 1) + np.float32(0.03) * smooth_field(shape, min(shape), random)
    soft = _SOFT_EDGE_ANGSTROM / pixel
    carbon = beyond_edge(shape, settings.carbon_area, soft, random) if settings.carbon_area else None
    foil = beyond_edge(shape, settings.foil_area, 3 * soft, random) if settings.foil_area else None
    if carbon is not None:
        brightness *= 1 - 0.08 * carbon
    for _ in range(settings.contaminations):
        radius = random.uniform(100, 400) / pixel
        part, ball = lump(shape, random.uniform(0, 1, 2) * shape, radius)
        brightness[part] *= np.exp(-1.5 * ball)
    if foil is not None:
        brightness *= 1 - 0.75 * foil
        ice *= 1 - foil
    return Surroundings(ice.astype(np.float32), carbon, foil, brightness.astype(np.float32))


def specimen_slices(
    settings: MicrographSettings, frequencies: Frequencies, of: Surroundings
) -> Iterator[SpecimenSlice]:
    """Yield the specimen's slices: ice and particles from top to bottom, then what lies in the middle."""
    count = max(2, int(np.ceil(settings.ice_thickness_angstrom / slice_step(settings))))
    thickness = settings.ice_thickness_angstrom / count
    ice = _ice_amplitude(settings, frequencies.k, thickness)
    kept = np.float32(np.exp(-settings.ice_thickness_angstrom / _inelastic_length(settings)))
    particles = particle_slices(settings, frequencies, count)
    root = np.sqrt(of.ice)
    for index in range(count):
        random = np.random.default_rng([settings.seed, 21, index])
        phase = _coloured_noise(frequencies, ice, random) * root
        if index in particles:
            phase += particles[index] * np.minimum(of.ice, 1)
        yield SpecimenSlice((index + 0.5) * thickness - settings.ice_thickness_angstrom / 2, phase * kept)
    films = _films(settings, frequencies, of)
    if films is not None:
        yield SpecimenSlice(0.0, films * kept)


def _inelastic_length(settings: MicrographSettings) -> float:
    def speed_squared(voltage_kv: float) -> float:
        return 1 - 1 / (1 + voltage_kv / 510.99895) ** 2

    return _INELASTIC_ANGSTROM * speed_squared(settings.voltage_kv) / speed_squared(300.0)


def _coloured_noise(frequencies: Frequencies, amplitude: Image, random: np.random.Generator) -> Image:
    spectrum = transform(random.standard_normal(frequencies.shape, np.float32))
    spectrum *= amplitude
    return image_of(spectrum, frequencies.shape)


def _ice_amplitude(settings: MicrographSettings, k: Image, thickness_angstrom: float) -> Image:
    """Return the filter that makes a slice of ice from white noise.

    Molecules diffuse during the exposure, so that a sum over it holds less of them at high frequencies.
    """
    atom = phase_of_atom(water_molecule(k), settings.voltage_kv)
    power = WATER_PER_A3 * thickness_angstrom * structure_of_ice(k, settings.ice_ring_angstrom)
    lost = 2 * (np.pi * k) ** 2 * settings.water_motion_a2_per_e * settings.dose_e_per_a2 + 1e-3
    kept = 2 / lost * (1 - (1 - np.exp(-lost)) / lost)
    amplitude: Image = (atom * np.sqrt(power * kept) / settings.pixel_size_angstrom).astype(np.float32)
    return amplitude


def _films(settings: MicrographSettings, frequencies: Frequencies, of: Surroundings) -> Image | None:
    """Return the phase of carbon, foil and ice crystals, which lie in the specimen's middle; None without them."""
    random = np.random.default_rng([settings.seed, 22])
    k, pixel, total = frequencies.k, settings.pixel_size_angstrom, None
    if of.carbon is not None:
        power = CARBON_PER_A3 * settings.carbon_thickness_angstrom * structure_of_carbon(k)
        carbon = phase_of_atom(form_factor("C", k), settings.voltage_kv) * np.sqrt(power) / pixel
        total = _coloured_noise(frequencies, carbon, random) * of.carbon
    if of.foil is not None:
        power = GOLD_PER_A3 * _FOIL_THICKNESS_ANGSTROM * structure_of_gold(k)
        gold = phase_of_atom(form_factor("Au", k), settings.voltage_kv) * np.sqrt(power) / pixel
        grains = _coloured_noise(frequencies, gold, random) * of.foil
        total = (0 if total is None else total) + grains * np.float32(_FOIL_PHASE / max(1e-6, float(grains.std())))
    if settings.ice_crystals:
        total = (0 if total is None else total) + _crystals(settings, random)
    return None if total is None else np.asarray(total, np.float32)


def _crystals(settings: MicrographSettings, random: np.random.Generator) -> Image:
    """Return the phase of crystals of hexagonal ice in random orientations."""
    phase = np.zeros(settings.shape, np.float32)
    pixel = settings.pixel_size_angstrom
    for _ in range(settings.ice_crystals):
        centre = random.uniform(0, 1, 2) * settings.shape
        part, ball = lump(settings.shape, centre, settings.ice_crystal_angstrom / 2 / pixel)
        y, x = (np.arange(one.start, one.stop, dtype=np.float32) * np.float32(2 * np.pi * pixel) for one in part)
        strength, first = random.uniform(0.03, 0.10), random.uniform(0, np.pi)
        for spacing in _HEXAGONAL_ANGSTROM[: random.integers(1, 4)]:
            for step in range(3):
                angle = first + step * np.pi / 3 + (0.3 if spacing != _HEXAGONAL_ANGSTROM[0] else 0)
                wave = y[:, None] * np.sin(angle) / spacing + x[None, :] * np.cos(angle) / spacing
                phase[part] += ball * np.float32(strength) * np.cos(wave + random.uniform(0, 2 * np.pi))
    return phase
