"""The run-length code of electron events, read by imagecodecs; RELION reads it in test_orientation.py."""

from __future__ import annotations

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocess.simulation.eer_writer import encode_events

SHAPE = (24, 32)
PIXELS = SHAPE[0] * SHAPE[1]


def decoded(strip, superres=0):
    return imagecodecs.eer_decode(strip, SHAPE, 7, 2, 2, superres=superres)


@pytest.mark.parametrize(
    "places",
    [
        [],
        [0],
        [PIXELS - 1],
        [0, PIXELS - 1],
        [126],
        [127],  # gaps about the longest skip
        [128],
        [254],
        [0, 128],
        [PIXELS - 128],
        [PIXELS - 127],
        list(range(PIXELS)),
    ],
    ids=lambda places: f"{len(places)} electrons, first {places[:1]}",
)
def test_electrons_come_back_where_they_were(places):
    strip = encode_events(np.array(places, np.intp), np.zeros(len(places), int), PIXELS)
    assert len(strip) % 2 == 0
    assert np.flatnonzero(decoded(strip)).tolist() == places


@settings(deadline=None, max_examples=60)
@given(st.sets(st.integers(0, PIXELS - 1)), st.integers(0, 2**32 - 1))
def test_any_set_of_electrons_comes_back(places, seed):
    ordered = np.array(sorted(places), np.intp)
    sub_pixels = np.random.default_rng(seed).integers(0, 16, ordered.size)
    assert np.array_equal(np.flatnonzero(decoded(encode_events(ordered, sub_pixels, PIXELS))), ordered)


def test_sub_pixel_places_differ():
    """With super-resolution, each electron lies in one of 16 places of its pixel; all 16 are written."""
    places = np.arange(16, dtype=np.intp) * 40
    strip = encode_events(places, np.arange(16), PIXELS)
    fine = imagecodecs.eer_decode(strip, (SHAPE[0] * 4, SHAPE[1] * 4), 7, 2, 2, superres=2)
    rows, columns = np.nonzero(fine)
    assert sorted((rows // 4 * SHAPE[1] + columns // 4).tolist()) == places.tolist()
    assert len(set(zip((rows % 4).tolist(), (columns % 4).tolist(), strict=True))) == 16
