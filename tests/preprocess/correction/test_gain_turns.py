import numpy as np
import pytest

from preprocess.correction.gain_turns import ORIENTATIONS, options_of, turned, turned_further
from preprocess.settings import GainSettings

PROBE = np.arange(6).reshape(2, 3)


def test_orientations_are_all_eight():
    assert len({turned(np.arange(9).reshape(3, 3), way).tobytes() for way in ORIENTATIONS}) == 8
    assert ORIENTATIONS[0] == GainSettings()


@pytest.mark.parametrize("first", ORIENTATIONS)
@pytest.mark.parametrize("then", ORIENTATIONS)
def test_turning_further_is_turning_twice(first, then):
    both = turned_further(first, then)
    np.testing.assert_array_equal(turned(PROBE, both), turned(turned(PROBE, first), then))
    assert both in ORIENTATIONS


def test_options_name_the_operation_only_where_it_is_decided():
    assert options_of(GainSettings(rotate_degrees=90)) == "--gain-rotate 90 --gain-flip none"
    assert options_of(GainSettings(operation="divide")).endswith("--gain-flip none --gain-operation divide")
