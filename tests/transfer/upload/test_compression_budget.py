"""How many bodies may be compressed at a time."""

from contextlib import ExitStack

import pytest

from transfer.upload.compression_budget import CompressionBudget


def test_no_more_bodies_are_compressed_than_there_are_places() -> None:
    budget = CompressionBudget(lambda: True, most_bodies=2)
    with ExitStack() as held:
        assert [held.enter_context(budget.reserve()) for _ in range(4)] == [True, True, False, False]
    with budget.reserve() as may_compress:
        assert may_compress


def test_the_place_is_free_again_after_an_error() -> None:
    budget = CompressionBudget(lambda: True, most_bodies=1)
    with pytest.raises(OSError, match="lost"), budget.reserve():
        raise OSError("lost")
    with budget.reserve() as may_compress:
        assert may_compress


def test_on_a_fast_link_nothing_is_compressed_and_no_place_is_used() -> None:
    is_slow = [False]
    budget = CompressionBudget(lambda: is_slow[0], most_bodies=1)
    with budget.reserve() as first:
        is_slow[0] = True
        with budget.reserve() as second, budget.reserve() as third:
            assert (first, second, third) == (False, True, False)
