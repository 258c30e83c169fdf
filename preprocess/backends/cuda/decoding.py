"""Reads a movie onto the device: encoded bytes go up, frames are decoded there and never come down.

Where the device cannot, or should not, decode, the CPU does, and it is said why. A frame that the device finds corrupt
is decoded by the CPU too, whose error is the one that is raised.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from contextlib import closing

import numpy as np

from preprocess.backends.cuda.cuda_device import CudaDevice
from preprocess.backends.cuda.device import DeviceArray, cupy
from preprocess.backends.cuda.events import EventDecoder
from preprocess.backends.cuda.sources import blocks_over, kernel
from preprocess.backends.cuda.strips import STORED, StripDecoder, unsuited
from preprocess.backends.cuda.upload import Uploads
from preprocess.movies import Movie
from preprocess.movies.encoded import Encoded, EncodedEvents
from preprocess.movies.frame_groups import FrameGroups
from preprocess.movies.movie import Receive

READERS = 4
"""Threads that read the file."""
SUMMED = {"uint16": 0, "int16": 1, "float32": 2}
"""Number types of sums of frames, as the kernel numbers them."""

Progress = Callable[[float], None]

_log = logging.getLogger(__name__)


def fill_frames(
    device: CudaDevice, held: DeviceArray, put: Receive, movie: Movie, used: range, progress: Progress
) -> tuple[str, ...]:
    """Put a movie's frames into `held`, shape (frames, height, width); return what the user should know about it.

    Parameters
    ----------
    put : Receive
        Copies one frame into `held`, whichever thread it is called in.

    Raises
    ------
    UnreadableMovie
        A frame is corrupt or cut off; the text is the CPU's.
    """
    encoded = movie.encoded()
    reason = "their encoding is read by the CPU alone" if encoded is None else None
    remarks: tuple[str, ...] = ()
    if encoded is not None and not isinstance(encoded, EncodedEvents):
        reason = unsuited(encoded)
    if encoded is not None and reason is None:
        try:
            _decode_on_device(device, held, put, movie, encoded, used, progress)
        except cupy.cuda.memory.OutOfMemoryError:
            device.give_back_idle()
            _say_once("the device has no memory left for it")  # no remark: a result must not depend on who else runs
        else:
            return ()
    if reason is not None:
        _say_once(reason)
        remarks = (f"frames were decoded on the CPU: {reason}",)
    for done, _ in enumerate(movie.deliver(put, used.start, used.stop), start=1):
        progress(done / len(used))
    return remarks


def sum_groups(device: CudaDevice, frames: DeviceArray, groups: FrameGroups, sums: DeviceArray) -> None:
    """Put the sums of groups of frames into `sums`, shape (groups, height, width), in order of frames."""
    pixels = frames.shape[1] * frames.shape[2]
    ends = cupy.asarray(np.cumsum(groups.sizes).astype(np.int64))
    kinds = STORED[frames.dtype.name], SUMMED[sums.dtype.name]
    with device.timer.stage("sum groups", moved_bytes=frames.nbytes + sums.nbytes):
        kernel("frames", "sum_groups")(
            (blocks_over(pixels),), frames, np.int64(pixels), kinds[0], ends, len(groups), kinds[1], sums
        )


def _decode_on_device(
    device: CudaDevice, held: DeviceArray, put: Receive, movie: Movie, encoded: Encoded, used: range, progress: Progress
) -> None:
    decoder: EventDecoder | StripDecoder
    if isinstance(encoded, EncodedEvents):
        decoder = EventDecoder(device, encoded, used, held)
    else:
        decoder = StripDecoder(device, encoded, encoded.frames[used.start : used.stop], held)
    with closing(iter(Uploads(device, movie.path, decoder.plans, READERS))) as uploads:  # ends here, whatever fails
        for index, uploaded in enumerate(uploads):
            progress(decoder.decode(index, uploaded).stop / len(used))
    for suspect in decoder.suspects():
        (frame,) = movie.frames(used.start + suspect, used.start + suspect + 1)  # says what is wrong with it
        _log.warning("%s: frame %d was decoded by the CPU after all", movie.path, used.start + suspect + 1)
        put(suspect, frame)


@functools.cache
def _say_once(reason: str) -> None:
    _log.warning("frames are decoded on the CPU: %s", reason)
