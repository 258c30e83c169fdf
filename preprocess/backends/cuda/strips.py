"""Decodes the strips of TIFF and MRC movies on the device, batch after batch of frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess.backends.cuda.batches import batches, gather
from preprocess.backends.cuda.cuda_device import CudaDevice
from preprocess.backends.cuda.device import DeviceArray, cupy
from preprocess.backends.cuda.device_memory import DeviceMemory
from preprocess.backends.cuda.inflating import NvcompInflater, usable_nvcomp
from preprocess.backends.cuda.sources import blocks_over, kernel
from preprocess.backends.cuda.upload import BatchPlan, Piece, Uploaded
from preprocess.movies.encoded import EncodedFrame, EncodedFrames

STORED = {"uint8": 0, "int8": 1, "uint16": 2, "int16": 3, "float16": 4, "float32": 5}
"""Number types of movies, as the kernels number them."""
STORED_U4 = 6
STRIP_WHOLE, STRIP_CORRUPT, STRIP_WAITING = 0, 1, 2
FEWEST_DEFLATE_STRIPS = 10_000
"""Deflate has no parallelism inside a strip, and a GPU's thread decodes some 2 MB/s: movies of fewer strips are for the
CPU, whose threads are a hundred times as fast each."""
LONG_STRIP_BYTES = 1 << 14
"""LZW strips longer than this, on average, are decoded by stretches: each has several."""
SLOT_BYTES = 5120
"""One slot is kept for each so many bytes, and some more: a stretch that fills its table takes 5.4 kB, of codes of 9 to
12 bits. Threads take slots in turns, so that empty ones would leave most of them idle."""
STRETCH_NUMBERS = 5
LZW_ENTRIES = 3839
MOST_TABLE_BYTES, TABLES_PART_OF_FREE = 1 << 30, 0.25
"""Memory for the tables of all threads that decode LZW, and the part of the free memory that it is at most."""
MOST_BYTES_ALONE = 1 << 19
"""A strip that one thread decodes from its begin to its end, in about a quarter of a second. The CPU decodes longer
ones: a GPU that also draws a screen ends a kernel that takes several seconds."""
LZW_THREADS = 64


@dataclass(frozen=True, slots=True)
class _StripBatch:
    frames: range
    strips: slice  # of all strips of the frames wanted
    plan: BatchPlan


def unsuited(encoded: EncodedFrames) -> str | None:
    """Return why such frames are better decoded on the CPU; None if they are not."""
    strips = sum(frame.counts.size for frame in encoded.frames)
    if encoded.compression == "deflate" and strips < FEWEST_DEFLATE_STRIPS and usable_nvcomp() is None:
        return f"deflate in {strips} strip{'s' * (strips != 1)} has too little to share out on a GPU"
    return None


class StripDecoder:
    """Frames of strips: `plans` say what to send up; `decode` takes what came."""

    def __init__(
        self, device: CudaDevice, encoded: EncodedFrames, frames: Sequence[EncodedFrame], held: DeviceArray
    ) -> None:
        self._device = device
        self._encoded = encoded
        self._held = held
        self._stored = STORED_U4 if encoded.packed_4_bit else STORED[encoded.stored_dtype.name]
        self._image_bytes = held.shape[1] * encoded.row_bytes
        self._strip_counts = np.array([frame.counts.size for frame in frames])
        self._batches = list(self._planned(frames))
        self.plans = [batch.plan for batch in self._batches]
        self._outcomes = cupy.full(int(self._strip_counts.sum()), STRIP_WAITING, np.uint8)
        self._short: set[int] = set()
        if encoded.compression != "none":
            most = max(len(batch.frames) for batch in self._batches)
            self._images = device.memory.array("decoding", (most * self._image_bytes,), np.uint8)
        else:
            self._outcomes[...] = STRIP_WHOLE
            self._short = {i for i, frame in enumerate(frames) if np.any(frame.counts < frame.decoded)}
        library = usable_nvcomp() if encoded.compression == "deflate" else None
        self._nvcomp = None if library is None else NvcompInflater(library, device.memory, self.plans)
        self._lzw = _Lzw(device.memory, self.plans) if encoded.compression == "lzw" else None

    def decode(self, index: int, uploaded: Uploaded) -> range:
        """Start what makes frames of a batch; return which of those wanted they are."""
        batch = self._batches[index]
        moved = batch.plan.size + 3 * len(batch.frames) * self._image_bytes  # images are written, read, and written
        with self._device.timer.stage("decode", moved_bytes=moved):
            self._decode(batch, uploaded)
        self._short.update(batch.frames[owner] for owner in uploaded.cut_off)
        return batch.frames

    def _decode(self, batch: _StripBatch, uploaded: Uploaded) -> None:
        images, strips = uploaded.block, uploaded.table
        if self._encoded.compression != "none":
            images = self._images
            outcomes = self._outcomes[batch.strips]
        if self._lzw is not None:
            self._lzw.decode(uploaded.block, strips, batch.plan.table, images, outcomes)
        elif self._nvcomp is not None and self._nvcomp.takes(batch.plan.table):
            self._nvcomp.decode(uploaded.block, strips, batch.plan.table, images, outcomes)
        elif self._encoded.compression == "deflate":
            count = len(strips)
            kernel("inflate", "inflate_strips", 64)(
                (blocks_over(count, 64),), uploaded.block, strips, count, images, outcomes
            )
        self._hold(images, batch.frames)

    def suspects(self) -> list[int]:
        """Return which of the frames wanted are not what they should be, when all is done."""
        corrupt = cupy.asnumpy(self._outcomes) != STRIP_WHOLE
        frame_of_strip = np.repeat(np.arange(self._strip_counts.size), self._strip_counts)
        return sorted(self._short | set(frame_of_strip[corrupt].tolist()))

    def _hold(self, images: DeviceArray, frames: range) -> None:
        """Start what makes frames of decoded images."""
        encoded, (_, height, width) = self._encoded, self._held.shape
        name, blocks = "hold_frames", [blocks_over(width), height, len(frames)]
        if encoded.differences:
            name, blocks = "hold_differences", [blocks_over(height), len(frames)]
        swapped = not encoded.stored_dtype.isnative
        sizes = [np.int64(size) for size in (height, width, frames.start)]
        strides = np.int64(self._image_bytes), np.int64(encoded.row_bytes)
        kernel("frames", name)(
            tuple(blocks), images, *strides, self._stored, swapped, encoded.flipped, *sizes, self._held
        )

    def _planned(self, frames: Sequence[EncodedFrame]) -> Iterator[_StripBatch]:
        copied = self._encoded.compression == "none"
        block_bytes = [int((frame.decoded if copied else frame.counts).sum()) for frame in frames]
        first_strip = 0
        for chosen in batches(block_bytes, self._device.memory.at_once(len(frames), self._image_bytes)):
            pieces: list[Piece] = []
            rows: list[NDArray[np.int64]] = []
            place = 0
            for owner, frame in enumerate(frames[chosen.start : chosen.stop]):
                counts = np.minimum(frame.counts, frame.decoded) if copied else frame.counts
                more, begins, place = gather(frame.offsets, counts, place, owner, closely=copied)
                if copied:  # what comes up is the image itself; one whose strips lack bytes is suspect already
                    place = (owner + 1) * self._image_bytes
                pieces += more
                places = owner * self._image_bytes + np.cumsum(frame.decoded) - frame.decoded
                rows.append(np.stack([begins, counts, places, frame.decoded], axis=1))
            table = np.concatenate(rows)
            strips = slice(first_strip, first_strip + len(table))
            yield _StripBatch(chosen, strips, BatchPlan(table, pieces, place))
            first_strip += len(table)


class _Lzw:
    """Decodes batches of LZW strips: a thread each where there are many, by stretches where they are long."""

    def __init__(self, memory: DeviceMemory, plans: Sequence[BatchPlan]) -> None:
        longest = max(int(plan.table[:, 1].max()) for plan in plans)
        slots = max(int(_first_slots(plan.table)[-1]) if _by_stretches(plan.table) else 0 for plan in plans)
        entries = min(LZW_ENTRIES, longest * 8 // 9 + 1)
        wanted = max([slots, *(len(plan.table) for plan in plans)])
        tables = min(MOST_TABLE_BYTES, int(TABLES_PART_OF_FREE * memory.free_bytes()))
        most = max(1, tables // (4 * entries * LZW_THREADS))
        self._blocks = min(most, blocks_over(wanted, LZW_THREADS))
        self._starts = memory.array("decoding", (entries * self._blocks * LZW_THREADS,), np.uint32)
        self._stretches = memory.array("decoding", (slots, STRETCH_NUMBERS), np.int64)

    def decode(
        self, block: DeviceArray, strips: DeviceArray, table: NDArray[np.int64], images: DeviceArray, outcomes: Any
    ) -> None:
        """Start the kernels that decode one batch's strips."""
        given, threads = (block, strips, len(table)), self._blocks * LZW_THREADS
        if _by_stretches(table):
            first_slots = cupy.asarray(_first_slots(table))
            counts = cupy.empty(len(table), np.int32)
            by_strip = (blocks_over(len(table), LZW_THREADS),)
            _lzw("lzw_find_stretches")(by_strip, *given, first_slots, self._stretches, counts)
            found = (first_slots, counts, self._stretches)
            _lzw("lzw_measure_stretches")((self._blocks,), *given, *found, self._starts, threads)
            _lzw("lzw_place_stretches")(by_strip, *given[1:], *found, outcomes)
            _lzw("lzw_decode_stretches")((self._blocks,), *given, *found, images, self._starts, threads, outcomes)
        alone = (threads, np.int64(MOST_BYTES_ALONE), outcomes)
        _lzw("lzw_decode_strips")((self._blocks,), *given, images, self._starts, *alone)


def _lzw(name: str) -> Any:
    return kernel("lzw", name, LZW_THREADS)


def _by_stretches(table: NDArray[np.int64]) -> bool:
    return float(table[:, 1].mean()) > LONG_STRIP_BYTES


def _first_slots(table: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where each strip's slots for stretches begin, and where the last one's end."""
    return np.concatenate([[0], np.cumsum(table[:, 1] // SLOT_BYTES + 4)]).astype(np.int64)
