"""The tiles of an image over which its power spectrum is averaged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class SpectrumTiles:
    """Square tiles, spread over an image: every top goes with every left, in this order."""

    side: int
    tops: tuple[int, ...]
    lefts: tuple[int, ...]

    def __len__(self) -> int:
        """Return the number of tiles."""
        return len(self.tops) * len(self.lefts)

    @property
    def places(self) -> NDArray[np.int32]:
        """Return each tile's top and left, shape (tiles, 2)."""
        return np.array([(top, left) for top in self.tops for left in self.lefts], np.int32)

    @property
    def window(self) -> NDArray[np.float32]:
        """Return the Hann window along one axis; a tile's is the product of two."""
        inside = np.arange(self.side) + 0.5
        hann: NDArray[np.float32] = (0.5 - 0.5 * np.cos(2 * np.pi * inside / self.side)).astype(np.float32)
        return hann


def lay_tiles(height: int, width: int) -> SpectrumTiles:
    """Lay tiles 1024, 512 or 256 px wide, whichever gives a dozen."""
    side = next((n for n in (1024, 512, 256, 128) if min(height, width) >= 3 * n), 2 * (min(height, width, 128) // 2))
    tops = np.linspace(0, height - side, max(1, round(height / side))).astype(int)
    lefts = np.linspace(0, width - side, max(1, round(width / side))).astype(int)
    return SpectrumTiles(side, tuple(tops.tolist()), tuple(lefts.tolist()))
