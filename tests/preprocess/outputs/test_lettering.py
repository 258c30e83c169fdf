import numpy as np
import pytest
from PIL import Image, ImageDraw

from preprocess.outputs.lettering import write


def ink(text, anchor="lm", at=(20, 40)):
    picture = Image.new("RGB", (200, 80), (255, 255, 255))
    write(ImageDraw.Draw(picture), at, text, 24, (0, 0, 0), anchor)
    return np.asarray(picture)[..., 0] < 128


def test_angstrom_has_its_ring_above_the_letter():
    plain, ringed = ink("A"), ink("Å")
    top = np.flatnonzero(plain.any(1))[0]
    assert ringed[:top].any()
    assert not plain[:top].any()
    np.testing.assert_array_equal(plain[top + 2 :], ringed[top + 2 :])


def test_a_square_is_small_and_raised():
    two, raised = np.argwhere(ink("2")), np.argwhere(ink("²"))
    assert np.ptp(raised[:, 0]) < 0.8 * np.ptp(two[:, 0])
    assert raised[:, 0].max() < two[:, 0].max() - 3


@pytest.mark.parametrize(("anchor", "edge"), [("lm", "left"), ("rm", "right")])
def test_text_lies_where_its_anchor_says(anchor, edge):
    columns = np.flatnonzero(ink("4.5 Å", anchor, (100, 40)).any(0))
    assert (columns[0] if edge == "left" else columns[-1]) == pytest.approx(100, abs=4)
