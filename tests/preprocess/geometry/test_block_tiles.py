"""Tiles for spectra: their size, and that they cover the image."""

from itertools import pairwise

import numpy as np
import pytest

from preprocess.geometry.block_tiles import EDGE_SHARE, lay_block_tiles


@pytest.mark.parametrize(
    ("size", "pixel_size", "side", "bin_factor", "count"),
    [
        ((4096, 4096), 1.0, 1024, 1, 49),
        ((4096, 4096), 0.5, 1024, 2, 9),
        ((4092, 5760), 0.83, 1024, 1, 7 * 11),
        ((1536, 2048), 1.1, 1024, 1, 6),
        ((1024, 1024), 1.0, 512, 1, 9),
        ((512, 512), 1.0, 512, 1, 1),
        ((100, 90), 1.0, 64, 1, 6),
        ((1, 1), 1.0, 1, 1, 1),
    ],
)
def test_sizes(size, pixel_size, side, bin_factor, count) -> None:
    tiles = lay_block_tiles(*size, pixel_size)
    assert (tiles.side, tiles.bin_factor, len(tiles)) == (side, bin_factor, count)
    for starts, whole in zip((tiles.tops, tiles.lefts), tiles.shape, strict=True):
        assert (starts[0], starts[-1]) == (0, whole - side)
        assert all(later - start <= side / 2 + 1 for start, later in pairwise(starts))


def test_blocks_and_middles() -> None:
    tiles = lay_block_tiles(3072, 2048, 1.0)
    assert tiles.blocks.tolist() == [[0, 1, 2], [3, 4, 5], [3, 4, 5], [6, 7, 8], [6, 7, 8]]
    assert tiles.middles[2, 0, 0] == pytest.approx(0, abs=0.01)
    assert tiles.middles[1, 0, 0] == pytest.approx(-512, abs=0.01)
    assert -1024 - 150 < tiles.middles[0, 0, 0] < -1024 - 50, "a tile at the edge shows more of what lies there"


@pytest.mark.parametrize("height", [1024, 2048, 4096])
def test_each_pixel_counts_as_much_but_for_those_at_the_edge(height) -> None:
    tiles = lay_block_tiles(height, 1024, 1.0)
    squares = np.zeros(height)
    for top, row in zip(tiles.tops, tiles.row_windows, strict=True):
        squares[top : top + tiles.side] += tiles.windows[row].astype(float) ** 2
    edge = round(tiles.side * EDGE_SHARE)
    np.testing.assert_allclose(squares[edge:-edge], 1, atol=1e-3)
    assert 0 < squares[0] < 0.01


def test_tiles_are_worth_nearly_the_area_that_they_cover() -> None:
    tiles = lay_block_tiles(4096, 2048, 1.0)
    every = np.ones(7, bool)
    assert tiles.independent_rows(every) == pytest.approx(4, rel=0.05)
    assert tiles.independent_columns(every[:3]) == pytest.approx(2, rel=0.05)
    assert tiles.independent_rows(~every) == 0
    assert tiles.independent_rows(np.arange(7) == 3) == pytest.approx(2 / 3, rel=1e-3)  # one half of a sine wave
