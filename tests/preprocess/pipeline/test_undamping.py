"""Noise stays white, however its frames are displaced."""

from __future__ import annotations

import numpy as np

from preprocess.backends.cpu.backend import CpuBackend
from preprocess.exposure.dose import plain_weights
from preprocess.geometry.field import DisplacementField
from preprocess.pipeline.sums import micrographs
from preprocess.pipeline.undamping import undamping
from preprocess.settings import AlignmentSettings


def test_whole_pixels_are_left_as_they_are() -> None:
    field = DisplacementField.whole_frame(np.array([[0.0, 0.0], [3.0, -5.0]]))
    np.testing.assert_allclose(undamping(field, plain_weights(2)), 1, atol=1e-6)


def test_white_noise_stays_white() -> None:
    size, count = 256, 12
    random = np.random.default_rng(1)
    stack = CpuBackend(1).hold(count, size, size, np.dtype(np.float32))
    for index in range(count):
        stack.put(index, random.standard_normal((size, size), np.float32))
    field = DisplacementField.whole_frame(random.uniform(-3, 3, (count, 2)))
    images = micrographs(
        stack, CpuBackend(1), field, plain_weights(count), AlignmentSettings(float32=True), (size, size), 1.0
    )
    power = np.abs(np.fft.rfft2(images.images["micrograph"].pixels())) ** 2 / (count * size**2)
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size))
    for lowest in (0.0, 0.1, 0.2, 0.3, 0.35):
        ring = (frequency > max(lowest, 0.01)) & (frequency < lowest + 0.1)
        assert abs(power[ring].mean() - 1) < 0.06, lowest
