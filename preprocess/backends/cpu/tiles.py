"""How a frame is cut up for sums of frames whose displacements are undone."""

TILE_ROWS = 16
"""Rows that one thread computes together: their sums stay in its cache. The kernels in C have the same number."""
