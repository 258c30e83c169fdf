"""The values that the CTF needs besides what is estimated."""

import pytest

from preprocess.ctf.optics import CtfOptics


@pytest.mark.parametrize(("voltage_kv", "wavelength_angstrom"), [(100, 0.037014), (200, 0.025079), (300, 0.019687)])
def test_wavelengths_are_those_of_textbooks(voltage_kv, wavelength_angstrom) -> None:
    optics = CtfOptics(pixel_size_angstrom=1, voltage_kv=voltage_kv, cs_mm=2.7, amplitude_contrast=0.1)
    assert optics.wavelength_angstrom == pytest.approx(wavelength_angstrom, abs=1e-6)


def test_amplitude_contrast_shifts_the_phase() -> None:
    optics = CtfOptics(pixel_size_angstrom=1, voltage_kv=300, cs_mm=2.7, amplitude_contrast=0.1)
    assert optics.contrast_phase == pytest.approx(0.100167, abs=1e-6)
