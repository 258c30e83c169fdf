"""Simulated micrographs have the rings that their settings say, where the published formula puts them."""

from __future__ import annotations

import mrcfile
import numpy as np
import pytest

from preprocess.simulation import MicrographSettings, simulate_micrograph
from preprocess.simulation.frequencies import Frequencies
from preprocess.simulation.particles import _layers
from preprocess.simulation.slices import make_surroundings, specimen_slices

SIDE = 256
CARBON = {"height": 512, "width": 512, "carbon_area": 0.9, "particle_area": 0.0, "dose_e_per_a2": 60.0, "seed": 3}
ASTIGMATIC = {"defocus_u_angstrom": 13000.0, "defocus_v_angstrom": 10000.0, "angle_degrees": 30.0}


def spectrum(image):
    """Return the power of tiles of an image, divided by its mean on each ring, with kx and ky in cycles a pixel."""
    window = np.hanning(SIDE)[:, None] * np.hanning(SIDE)
    starts = [range(0, side - SIDE + 1, SIDE // 2) for side in image.shape]
    tiles = [image[y : y + SIDE, x : x + SIDE] for y in starts[0] for x in starts[1]]
    power = sum(np.abs(np.fft.fft2((tile - tile.mean()) * window)) ** 2 for tile in tiles)
    ky, kx = np.meshgrid(*[np.fft.fftfreq(SIDE)] * 2, indexing="ij")
    ring = np.rint(np.hypot(ky, kx) * SIDE).astype(int)
    mean = np.bincount(ring.ravel(), power.ravel()) / np.bincount(ring.ravel())
    smooth = np.convolve(np.pad(mean, 8, mode="edge"), np.ones(17) / 17, mode="valid")
    return power / smooth[ring], kx, ky


def agreement(spectrum_of_it, settings, *, of=(0.05, 0.25), defocus=0.0, turned=0.0):
    """Return the correlation of the spectrum with the transfer function's square, between two frequencies in 1/Å."""
    power, kx, ky = spectrum_of_it
    kx, ky = kx / settings.pixel_size_angstrom, ky / settings.pixel_size_angstrom
    k, azimuth = np.hypot(kx, ky), np.arctan2(ky, kx)
    wavelength = {300.0: 0.019687, 200.0: 0.025079, 100.0: 0.037014}[settings.voltage_kv]
    u, v = settings.defocus_u_angstrom + defocus, settings.defocus_v_angstrom + defocus
    z = (u + v) / 2 + (u - v) / 2 * np.cos(2 * (azimuth - np.deg2rad(settings.angle_degrees + turned)))
    chi = np.pi * wavelength * z * k**2 - np.pi / 2 * settings.cs_mm * 1e7 * wavelength**3 * k**4
    chi += np.deg2rad(settings.phase_shift_degrees) + np.arcsin(settings.amplitude_contrast)
    within = (k > of[0]) & (k < of[1])
    return np.corrcoef(power[within], np.sin(chi[within]) ** 2)[0, 1]


@pytest.mark.parametrize(
    "optics",
    [
        {"voltage_kv": 300.0, "cs_mm": 2.7},
        {"voltage_kv": 200.0, "cs_mm": 0.01, "phase_shift_degrees": 70.0},
        {"voltage_kv": 100.0, "cs_mm": 1.6, "amplitude_contrast": 0.2},
    ],
)
def test_rings_lie_where_defocus_and_angle_say(optics) -> None:
    settings = MicrographSettings(**CARBON, **ASTIGMATIC, **optics)
    found = spectrum(simulate_micrograph(settings).image)
    right = agreement(found, settings)
    assert right > 0.2
    wrong = [agreement(found, settings, defocus=error) for error in (-250, 250)]
    wrong += [agreement(found, settings, turned=error) for error in (-8, 8, 90)]
    assert max(wrong) < 0.97 * right


def test_defocus_grows_to_the_side_of_the_axis_that_is_90_degrees_further() -> None:
    tilted = MicrographSettings(**{**CARBON, "height": 1024}, tilt_degrees=40.0, tilt_axis_degrees=0.0)
    image = simulate_micrograph(tilted).image
    for rows, sign in ((slice(0, 512), -1), (slice(512, 1024), 1)):
        half, errors = spectrum(image[rows]), range(-400, 401, 40)
        deeper = errors[int(np.argmax([agreement(half, tilted, defocus=error) for error in errors]))]
        assert abs(deeper - sign * 256 * np.tan(np.deg2rad(40))) < 50


def test_a_thick_specimen_turns_its_rings_over_beyond_the_node() -> None:
    thick = MicrographSettings(
        height=768, width=768, ice_thickness_angstrom=1200.0, particle_area=0.0, water_motion_a2_per_e=0.0, seed=5
    )
    found = spectrum(simulate_micrograph(thick).image)
    node = 1 / np.sqrt(0.019687 * 1200)  # 4.9 Å
    assert agreement(found, thick, of=(0.06, 0.8 * node)) > 0.05
    assert agreement(found, thick, of=(1.1 * node, 1.36 * node)) < -0.005


@pytest.mark.parametrize("content", ["rings missing", "empty", "grid bar"])
def test_images_without_rings_have_none(content) -> None:
    settings = MicrographSettings(**CARBON, content=content)
    image = simulate_micrograph(settings).image
    assert abs(agreement(spectrum(image), settings)) < 0.03
    assert image.mean() == pytest.approx(0.85 * 60 * (0.013 if content == "grid bar" else 0.93), rel=0.3)


def test_equal_settings_give_equal_images_and_files_hold_them_row_0_first(tmp_path) -> None:
    settings = MicrographSettings(height=256, width=320, ice_crystals=3, foil_area=0.2, contaminations=1, seed=1)
    first, again = simulate_micrograph(settings), simulate_micrograph(settings)
    assert np.array_equal(first.image, again.image)
    first.write(tmp_path / "a.mrc")
    with mrcfile.open(tmp_path / "a.mrc") as file:
        assert np.array_equal(file.data, first.image)
        assert file.voxel_size.x == pytest.approx(settings.pixel_size_angstrom)


def test_faults_of_the_camera_are_in_the_image() -> None:
    plain = MicrographSettings(height=256, width=256, camera="integrating", seed=2)
    clean = simulate_micrograph(plain).image
    assert clean.max() < clean.mean() + 8 * clean.std()
    hot = MicrographSettings(height=256, width=256, hot_pixels_per_million=500, saturated_area=0.1, seed=2)
    image = simulate_micrograph(hot).image
    assert (image == image.max()).mean() == pytest.approx(0.1, abs=0.03)
    left = image[image < image.max()]
    assert 10 < (left > left.mean() + 8 * clean.std()).sum() <= 33


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"height": 32}, "64 x 64"),
        ({"dose_e_per_a2": 0}, "greater than zero"),
        ({"defocus_v_angstrom": 2e4}, "not less than V"),
        ({"tilt_degrees": 85}, "80 degrees"),
        ({"carbon_area": 1.2}, "carbon_area"),
    ],
)
def test_settings_that_no_image_can_have_are_refused(wrong, why) -> None:
    with pytest.raises(ValueError, match=why):
        MicrographSettings(**wrong)


def test_weighting_by_dose_keeps_or_colours_the_noise() -> None:
    def high_frequencies(weighting):
        settings = MicrographSettings(height=256, width=256, content="empty", dose_weighting=weighting, seed=4)
        image = simulate_micrograph(settings).image
        power = np.abs(np.fft.rfft2(image - image.mean())) ** 2
        return power[96:160, 96:].mean()

    assert high_frequencies("noise kept") == pytest.approx(high_frequencies("none"), rel=0.02)
    assert high_frequencies("noise coloured") < 0.4 * high_frequencies("none")


def test_what_the_specimen_holds_lies_evenly_about_its_middle() -> None:
    settings = MicrographSettings(
        height=256, width=256, particle_area=0.3, carbon_area=0.5, ice_crystals=2, ice_thickness_angstrom=500.0
    )
    frequencies = Frequencies.of(settings.shape, settings.pixel_size_angstrom)
    slices = list(specimen_slices(settings, frequencies, make_surroundings(settings)))
    assert [one.depth_angstrom for one in slices][-1] == 0  # carbon and crystals
    ice = slices[:-1]
    assert sum(one.depth_angstrom for one in ice) == pytest.approx(0, abs=1e-6)
    layers = _layers(40, 7, np.random.default_rng(1))
    assert np.array_equal(np.sort(layers), np.sort(6 - layers))
    assert len(set(layers)) == 7
