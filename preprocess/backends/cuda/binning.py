"""Bins frames on a CUDA device, gain reference applied, and softens their edges for a transform."""

from __future__ import annotations

from preprocess.backends.cuda.cuda_device import CudaDevice
from preprocess.backends.cuda.device import DeviceArray
from preprocess.backends.cuda.sources import frame_type, kernel

STRIP_ROWS = 8
"""Rows of a binned frame that a block adds up."""


def bin_frames(
    device: CudaDevice, frames: DeviceArray, gain: DeviceArray | None, factor: int, binned: DeviceArray
) -> DeviceArray:
    """Bin frames in boxes of `factor` by `factor` px.

    Parameters
    ----------
    frames : DeviceArray
        Shape (n, height, width), of any type of frames.
    binned : DeviceArray
        Where to, shape (n, height // factor, width // factor), float32.

    Returns
    -------
    DeviceArray
        Sums of strips of each binned frame, shape (n, strips), float64.
    """
    count, height, width = frames.shape
    rows, columns = binned.shape[1:]
    strips = -(-rows // STRIP_ROWS)
    parts = device.memory.array("partial sums", (count, strips), "f8")
    gain_bytes = 0 if gain is None else gain.nbytes
    with device.timer.stage("bin", moved_bytes=frames.nbytes + binned.nbytes + gain_bytes, flop=2 * frames.size):
        kernel("binning", "bin_frames", FRAME=frame_type(frames.dtype))(
            (count, strips),
            frames,
            binned if gain is None else gain,
            gain is not None,
            binned,
            parts,
            height,
            width,
            factor,
            rows,
            columns,
            strips,
            STRIP_ROWS,
        )
    return parts


def taper_frames(device: CudaDevice, binned: DeviceArray, parts: DeviceArray) -> None:
    """Take off each binned frame's mean and soften its edges, in place; `parts` as `bin_frames` returns them."""
    count, rows, columns = binned.shape
    means = device.memory.array("partial sums", (count,), "f4")
    with device.timer.stage("bin", moved_bytes=2 * binned.nbytes, flop=3 * binned.size):
        kernel("binning", "find_means")((count,), parts, means, parts.shape[1], rows * columns)
        kernel("binning", "taper_frames")(
            (rows, count),
            binned,
            means,
            device.tables.edge_taper(rows),
            device.tables.edge_taper(columns),
            rows,
            columns,
        )
