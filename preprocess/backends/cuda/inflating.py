"""Decompresses deflate strips by nvCOMP, where the user wants it and it can be loaded."""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess.backends.compiled.chosen_kernels import NVCOMP_VARIABLE, nvcomp_is_wanted
from preprocess.backends.cuda.device import DeviceArray, cupy
from preprocess.backends.cuda.device_memory import DeviceMemory
from preprocess.backends.cuda.nvcomp import ALIGNMENT, Nvcomp, load_nvcomp
from preprocess.backends.cuda.sources import blocks_over, kernel
from preprocess.backends.cuda.upload import BatchPlan

HEADER_AND_CHECKSUM = 6
FEWEST_BYTES = HEADER_AND_CHECKSUM + 2
"""A strip of fewer holds no deflate; it never goes to nvCOMP, which does not say what it would do."""
COPYING_THREADS, SUMMING_THREADS, JUDGING_THREADS = 64, 32, 64

_log = logging.getLogger(__name__)


def usable_nvcomp() -> Nvcomp | None:
    """Return nvCOMP if it is wanted and there; it is said once why one that is wanted is not used."""
    if not nvcomp_is_wanted():
        return None
    found = load_nvcomp()
    if isinstance(found, str):
        _say_once(found)
        return None
    return found


class NvcompInflater:
    """Decompresses batches of strips.

    Parameters
    ----------
    plans
        Of all batches: memory is taken for the largest.
    """

    def __init__(self, library: Nvcomp, memory: DeviceMemory, plans: Sequence[BatchPlan]) -> None:
        self._library = library
        self._memory = memory
        self._aligned = memory.array("decoding", (max(int(_padded(p.table).sum()) for p in plans),), np.uint8)

    def takes(self, table: NDArray[np.int64]) -> bool:
        """Return whether all strips of a batch may go to nvCOMP."""
        return int(table[:, 1].min()) >= FEWEST_BYTES

    def decode(
        self, block: DeviceArray, strips: DeviceArray, table: NDArray[np.int64], images: DeviceArray, outcomes: Any
    ) -> None:
        """Start the decompression of one batch's strips; a strip that is not what it should be is corrupt."""
        count, padded, stream = len(table), _padded(table), cupy.cuda.get_current_stream().ptr
        begins = np.cumsum(padded) - padded
        aligned = cupy.asarray(begins)
        kernel("nvcomp", "align_strips", COPYING_THREADS)((count,), block, strips, aligned, self._aligned)
        columns = cupy.asarray(
            np.stack(
                [
                    self._aligned.data.ptr + begins,
                    table[:, 1] - HEADER_AND_CHECKSUM,
                    table[:, 3],
                    np.zeros_like(begins),
                    images.data.ptr + table[:, 2],
                ]
            )
        )
        statuses = cupy.full(count, -1, np.int32)
        size = self._library.temporary_bytes(count, int(table[:, 3].max()), int(table[:, 3].sum()), stream)
        temporary = self._memory.array("decoding", (size or 0,), np.uint8)
        if size is not None:
            given, sizes, room, written, wanted = (columns[row].data.ptr for row in range(5))
            place = (temporary.data.ptr if size else 0, size)
            self._library.start_decompression(
                count, (given, sizes, room, written, wanted), place, statuses.data.ptr, stream
            )
        sums = cupy.empty((count, SUMMING_THREADS, 2), np.uint64)
        kernel("nvcomp", "sum_strips", SUMMING_THREADS)((count,), strips, images, sums)
        by_strip = (blocks_over(count, JUDGING_THREADS),)
        kernel("nvcomp", "judge_strips", JUDGING_THREADS)(
            by_strip, block, strips, count, SUMMING_THREADS, sums, columns[3], statuses, outcomes
        )


def _padded(table: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the bytes that each strip takes, one behind the other, where nvCOMP reads them."""
    return -(-table[:, 1] // ALIGNMENT) * ALIGNMENT


@functools.cache
def _say_once(why: str) -> None:
    _log.warning(
        "%s is on, but nvCOMP cannot be used, and deflate is decompressed without it: %s", NVCOMP_VARIABLE, why
    )
