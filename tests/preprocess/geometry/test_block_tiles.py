"""Tiles for spectra: their size, and that they cover the image."""

from itertools import pairwise

import pytest

from preprocess.geometry.block_tiles import lay_block_tiles


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
    assert tiles.middles[0, 0].tolist() == [-1024, -512]
    assert tiles.middles[2, 1].tolist() == [0, 0]
