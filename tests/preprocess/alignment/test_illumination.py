import numpy as np

from preprocess.alignment.illumination import illumination_weight
from preprocess.backends.cpu.backend import CpuBackend


def weight_of(lit: np.ndarray) -> np.ndarray | None:
    frames = np.random.default_rng(2).poisson(lit * 5, (3, *lit.shape)).astype(np.uint8)
    stack = CpuBackend(1).hold(*frames.shape, frames.dtype)
    for index, frame in enumerate(frames):
        stack.put(index, frame)
    return illumination_weight(stack)


def test_noise_is_equal_where_places_are_lit_differently():
    lit = np.ones((200, 300))
    lit[:, 200:] = 0.1
    weight = weight_of(lit)
    assert weight.shape == lit.shape
    noise = weight * np.sqrt(lit)
    assert 0.7 < noise[:, 230:].mean() / noise[:, :170].mean() < 1.3
    np.testing.assert_allclose(weight[:, :170], 1)


def test_a_field_that_is_lit_evenly_is_left_as_it_is():
    assert weight_of(np.ones((200, 300))) is None
    assert weight_of(np.ones((9, 300))) is None
