"""The frame-wide LZW decoder against imagecodecs' encoder."""

from __future__ import annotations

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocess.movies.lzw import decode_strips


def decoded(strips, total_bytes, strip_bytes):
    """Return the first corrupt strip's index, or -1, and the image."""
    counts = np.array([len(strip) for strip in strips], np.int64)
    image = np.zeros(total_bytes, np.uint8)
    block = np.frombuffer(b"".join(strips), np.uint8)
    return decode_strips(block, np.cumsum(counts) - counts, counts, image, strip_bytes), image


@pytest.mark.parametrize("mean", [0.02, 0.9, 60.0])
@pytest.mark.parametrize("strip_bytes", [100, 4096, 300_000])
def test_strips_of_counts(mean, strip_bytes):
    counts = np.random.default_rng(1).poisson(mean, 300_000).astype(np.uint8)
    strips = [imagecodecs.lzw_encode(counts[at : at + strip_bytes].tobytes()) for at in range(0, 300_000, strip_bytes)]
    corrupt, image = decoded(strips, 300_000, strip_bytes)
    assert corrupt == -1
    assert np.array_equal(image, counts)


@settings(deadline=None, max_examples=80)
@given(st.binary(min_size=1, max_size=3000), st.integers(1, 12))
def test_any_bytes(content, repeats):
    content = content * repeats  # repeats make strings that contain themselves
    corrupt, image = decoded([imagecodecs.lzw_encode(content)], len(content), len(content))
    assert corrupt == -1
    assert image.tobytes() == content


def test_a_strip_that_ends_too_early_or_goes_on():
    content = np.random.default_rng(2).poisson(0.9, 5000).astype(np.uint8).tobytes()
    strip = imagecodecs.lzw_encode(content)
    assert decoded([strip, strip[:400]], 10_000, 5000)[0] == 1
    assert decoded([strip], 6000, 6000)[0] == 0
    corrupt, image = decoded([strip, strip], 8000, 4000)
    assert corrupt == -1
    assert image.tobytes() == content[:4000] * 2


@settings(deadline=None, max_examples=150)
@given(st.binary(max_size=400))
def test_noise_is_refused_or_decoded_inside_its_place(noise):
    corrupt, image = decoded([noise], 1000, 1000)
    assert corrupt in {-1, 0}
    assert image.size == 1000
