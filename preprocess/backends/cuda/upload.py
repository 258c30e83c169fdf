"""Pieces of a file, read into pinned memory and sent up on a stream of their own while the batch before is at work.

Two pinned buffers and two on the device take turns. A batch's pieces go where its table of numbers says that they are.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess.backends.cuda.cuda_device import CudaDevice
from preprocess.backends.cuda.device import DeviceArray, cupy
from preprocess.backends.cuda.pinned import pinned_bytes
from preprocess.errors import UnreadableMovie

READ_BYTES = 1 << 23
"""Most bytes that one thread reads at a time."""
ALIGNMENT = 512
PINNED_UNIT = 1 << 24
"""Buffers are whole multiples of this, so that CuPy's pool of pinned memory has one of that size for the next movie."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Some bytes of the file, their place in the batch's block, and whose they are (the batch's own number for it)."""

    offset: int
    size: int
    place: int
    owner: int


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """What goes up at a time: a table of numbers that says where things lie, and a block of pieces of the file."""

    table: NDArray[np.int64]
    pieces: Sequence[Piece]
    block_bytes: int

    @property
    def table_bytes(self) -> int:
        """Return how many bytes the table takes before the block."""
        return -(-self.table.nbytes // ALIGNMENT) * ALIGNMENT

    @property
    def size(self) -> int:
        """Return the bytes of both."""
        return self.table_bytes + self.block_bytes


@dataclass(frozen=True, slots=True)
class Uploaded:
    """A batch on the device, until the next but one is asked for.

    Attributes
    ----------
    cut_off : frozenset[int]
        Owners of pieces that the file no longer holds whole; their bytes are arbitrary.
    """

    table: DeviceArray
    block: DeviceArray
    cut_off: frozenset[int]


class Uploads:
    """Sends batches up to a device, one after the other."""

    def __init__(self, device: CudaDevice, path: Path, plans: Sequence[BatchPlan], threads: int) -> None:
        self._device = device
        self._path = path
        self._plans = plans
        self._threads = threads
        size = -(-max(plan.size for plan in plans) // PINNED_UNIT) * PINNED_UNIT
        count = min(2, len(plans))
        self._pinned = [pinned_bytes(size) for _ in range(count)]
        self._on_device = [device.memory.array("upload", (size,), np.uint8) for _ in range(count)]

    def __iter__(self) -> Generator[Uploaded]:
        """Yield each batch, which the current stream waits for; what it does before the next is asked for is its use.

        Raises
        ------
        UnreadableMovie
            The system cannot read the file.
        """
        decoding, sending = cupy.cuda.get_current_stream(), cupy.cuda.Stream(non_blocking=True)
        sent: list[Any] = []
        used: list[Any] = []
        with ThreadPoolExecutor(self._threads, thread_name_prefix="upload") as pool:
            reading = self._read(pool, 0)
            try:
                for index, plan in enumerate(self._plans):
                    cut_off = self._finish(reading)
                    if index > 1:
                        sending.wait_event(used[index - 2])  # the batch that was in this buffer
                    with sending, self._device.timer.stage("upload", moved_bytes=plan.size):
                        there, here = self._on_device[index % 2][: plan.size], self._pinned[index % 2][: plan.size]
                        there.set(here, stream=sending)
                    sent.append(sending.record())
                    decoding.wait_event(sent[index])
                    if index + 1 < len(self._plans):
                        if index:
                            sent[index - 1].synchronize()  # its pinned buffer is read into next
                        reading = self._read(pool, index + 1)
                    yield self._uploaded(index, cut_off)
                    used.append(decoding.record())
            finally:
                # Nothing uses the buffers any more when they go back to their pool, which serves uploads alone: the
                # next movie's are sent on another stream, which does not wait for this one.
                decoding.synchronize()

    def _uploaded(self, index: int, cut_off: frozenset[int]) -> Uploaded:
        plan, buffer = self._plans[index], self._on_device[index % 2]
        table = buffer[: plan.table.nbytes].view(np.int64).reshape(plan.table.shape)
        return Uploaded(table, buffer[plan.table_bytes : plan.size], cut_off)

    def _read(self, pool: ThreadPoolExecutor, index: int) -> list[Future[frozenset[int]]]:
        """Start to fill a batch's pinned buffer; the futures say whose pieces were cut off."""
        plan, buffer = self._plans[index], self._pinned[index % 2]
        buffer[: plan.table.nbytes].view(np.int64)[:] = plan.table.reshape(-1)
        block = buffer[plan.table_bytes : plan.size]
        shares = _shares(plan.pieces)
        return [pool.submit(_read_pieces, self._path, share, block) for share in shares]

    def _finish(self, reading: Sequence[Future[frozenset[int]]]) -> frozenset[int]:
        try:
            return frozenset().union(*(future.result() for future in reading))
        except OSError as error:
            raise UnreadableMovie(f"{self._path}: {error.strerror or error}") from error


def _shares(pieces: Sequence[Piece]) -> list[list[Piece]]:
    """Return the pieces in shares for threads, each of about READ_BYTES; larger pieces are cut."""
    shares: list[list[Piece]] = []
    left_bytes = 0
    for piece in pieces:
        done = 0
        while done < piece.size:
            if left_bytes <= 0:
                shares.append([])
                left_bytes = READ_BYTES
            size = min(piece.size - done, left_bytes)
            shares[-1].append(Piece(piece.offset + done, size, piece.place + done, piece.owner))
            done += size
            left_bytes -= size
    return shares


def _read_pieces(path: Path, pieces: Sequence[Piece], block: NDArray[np.uint8]) -> frozenset[int]:
    """Read pieces into a block; return the owners of those that the file no longer holds whole."""
    cut_off = set()
    with path.open("rb", buffering=0) as file:
        for piece in pieces:
            file.seek(piece.offset)
            view, done = block[piece.place : piece.place + piece.size].data, 0
            while done < piece.size:
                count = file.readinto(view[done:])  # the system may give less than asked
                if not count:
                    cut_off.add(piece.owner)
                    break
                done += count
    return frozenset(cut_off)
