import numpy as np
import pytest

from preprocess.statistics import mean_and_deviation


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.uint8])
def test_figures_are_numpy_s(dtype):
    image = np.random.default_rng(0).uniform(0, 200, (131, 70)).astype(dtype)
    exact = image.astype(np.float64)
    assert mean_and_deviation(image) == pytest.approx((exact.mean(), exact.std()), rel=1e-9)
    good = exact > 50
    assert mean_and_deviation(image, good) == pytest.approx((exact[good].mean(), exact[good].std()), rel=1e-9)


def test_no_pixel_has_no_figures():
    assert mean_and_deviation(np.ones((4, 4)), np.zeros((4, 4), bool)) == (0.0, 0.0)
