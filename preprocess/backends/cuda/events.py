"""Decodes the electron events of EER movies on the device, straight into frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from preprocess.backends.cuda.batches import batches, gather
from preprocess.backends.cuda.cuda_device import CudaDevice
from preprocess.backends.cuda.device import DeviceArray, cupy
from preprocess.backends.cuda.sources import blocks_over, kernel
from preprocess.backends.cuda.strips import STORED
from preprocess.backends.cuda.upload import BatchPlan, Piece, Uploaded
from preprocess.movies.encoded import EncodedEvents, EncodedHardwareFrame

PIECE_BITS = 1 << 14
"""Bits of a hardware frame that one thread decodes: some 1500 electrons."""


@dataclass(frozen=True, slots=True)
class _HardwareFrameBatch:
    frames: range
    plan: BatchPlan
    pieces: int  # of a hardware frame
    phases: int  # most bits of a code

    @property
    def places(self) -> int:
        """Return in how many places the codes are walked from."""
        return len(self.plan.table) * self.pieces * self.phases


class EventDecoder:
    """Frames of hardware frames: `plans` say what to send up; `decode` takes what came."""

    def __init__(self, device: CudaDevice, encoded: EncodedEvents, frames: range, held: DeviceArray) -> None:
        self._device = device
        self._encoded = encoded
        self._held = held
        self._group = encoded.hardware_frames_per_frame
        wanted = encoded.hardware_frames[frames.start * self._group : frames.stop * self._group]
        self._image_words = -(-held.shape[1] * held.shape[2] * held.dtype.itemsize // 4)
        self._batches = list(self._planned(wanted))
        self.plans = [batch.plan for batch in self._batches]
        most_places = max(batch.places for batch in self._batches)
        most_pieces = max(len(batch.plan.table) * batch.pieces for batch in self._batches)
        most_frames = max(len(batch.frames) for batch in self._batches)
        self._next_phases, self._passed = self._array(most_places, np.uint8), self._array(most_places, np.uint32)
        self._bits, self._pixels = self._array(most_pieces, np.int64), self._array(most_pieces, np.int64)
        self._endings = self._array(most_pieces, np.uint8)
        self._words = self._array(most_frames * self._image_words, np.uint32)
        self._outcomes = cupy.zeros(len(wanted), np.uint8)
        self._cut_off: set[int] = set()

    def decode(self, index: int, uploaded: Uploaded) -> range:
        """Start what makes frames of a batch; return which of those wanted they are."""
        batch = self._batches[index]
        moved = batch.plan.size + 3 * 4 * len(batch.frames) * self._image_words  # counters are zeroed, read, and held
        with self._device.timer.stage("decode", moved_bytes=moved):
            self._count(batch, uploaded)
            self._hold(batch.frames)
        first = batch.frames.start * self._group
        self._cut_off.update((first + owner) // self._group for owner in uploaded.cut_off)
        return batch.frames

    def _count(self, batch: _HardwareFrameBatch, uploaded: Uploaded) -> None:
        """Start what counts a batch's electrons, and says which hardware frames are corrupt."""
        raw_count, pieces = len(batch.plan.table), batch.pieces
        first = batch.frames.start * self._group
        block, raw_frames = uploaded.block, uploaded.table
        walked = (pieces, PIECE_BITS, batch.phases, self._next_phases, self._passed)
        kernel("eer", "eer_walk_pieces")((blocks_over(batch.places),), block, raw_frames, raw_count, *walked)
        kernel("eer", "eer_chain_pieces", 64)(
            (blocks_over(raw_count, 64),), raw_count, *walked, self._bits, self._pixels
        )
        self._words[...] = 0
        upsampling = self._encoded.upsampling
        _, height, width = self._held.shape
        images = (np.int64(width), np.int64(height * width // upsampling**2), np.int64(self._image_words))
        kernel("eer", "eer_count_electrons")(
            (blocks_over(raw_count * pieces),), block, raw_frames, raw_count, pieces, PIECE_BITS, self._bits,
            self._pixels, upsampling, *images, self._held.dtype.itemsize, self._words, self._endings,
        )  # fmt: skip
        outcomes = self._outcomes[first : first + raw_count]
        kernel("eer", "eer_judge_raw_frames")((blocks_over(raw_count),), raw_count, pieces, self._endings, outcomes)

    def suspects(self) -> list[int]:
        """Return which of the frames wanted are not what they should be, when all is done."""
        corrupt = np.flatnonzero(cupy.asnumpy(self._outcomes))
        return sorted(self._cut_off | {int(raw) // self._group for raw in corrupt})

    def _hold(self, frames: range) -> None:
        """Start what makes frames of counters."""
        _, height, width = self._held.shape
        strides = np.int64(4 * self._image_words), np.int64(width * self._held.dtype.itemsize)
        sizes = [np.int64(size) for size in (height, width, frames.start)]
        kernel("frames", "hold_frames")(
            (blocks_over(width), height, len(frames)), self._words.view(np.uint8), *strides,
            STORED[self._held.dtype.name], False, False, *sizes, self._held,
        )  # fmt: skip

    def _array(self, size: int, dtype: DTypeLike) -> DeviceArray:
        return self._device.memory.array("decoding", (size,), dtype)

    def _planned(self, wanted: Sequence[EncodedHardwareFrame]) -> Iterator[_HardwareFrameBatch]:
        group = self._group
        bytes_of_each = np.array([int(raw.counts.sum()) for raw in wanted]).reshape(-1, group).sum(1).tolist()
        most_frames = self._device.memory.at_once(len(bytes_of_each), 4 * self._image_words)
        for frames in batches(bytes_of_each, most_frames):
            pieces: list[Piece] = []
            rows, place = [], 0
            for owner, raw in enumerate(wanted[frames.start * group : frames.stop * group]):
                more, begins, behind = gather(raw.offsets, raw.counts, place, owner, closely=True)
                pieces += more
                rows.append((begins.min(), behind - place, *raw.bits, owner // group))
                place = behind
            table = np.array(rows, np.int64)
            even = table[:, 1] + table[:, 1] % 2
            yield _HardwareFrameBatch(
                frames,
                BatchPlan(table, pieces, place),
                pieces=max(1, -(-8 * int(even.max()) // PIECE_BITS)),
                phases=int(table[:, 2:5].sum(1).max()),
            )
