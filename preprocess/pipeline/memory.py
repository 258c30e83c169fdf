"""How much memory a movie needs, on the CPU and on a CUDA device, asked before anything is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from preprocess.alignment.movie_motion import coarse_bin, kept_frequencies
from preprocess.backends.contract import Backend
from preprocess.errors import DeviceOutOfMemory, DeviceTooSmall
from preprocess.movies import Movie
from preprocess.movies.frame_groups import FrameGroups
from preprocess.pipeline.preparing import PreparedMovie

FULL_IMAGES = 3
"""Float32 images of a frame's size beside the frames: raw sum, gain reference mended for the movie, their masks."""
TRANSFORM_IMAGES = 3
"""Of the same size: one sum, its transform and the micrograph."""
PATCH_OVERLAP = 1.6
"""Patches overlap, so that their transforms take more than the frames' own."""
UP_TO_NYQUIST = 0.8
"""Part of a patch's transform that the CPU keeps: a half disc of the half plane."""
DEVICE_READING_IMAGES = 6
"""On a device beside the frames: gain reference, raw sum, its mask, and means around pixels, by rows and by boxes."""
DEVICE_TRANSFORM_IMAGES = 4
"""On a device beside what is transformed: its copy, its transform, and what the FFT works in."""
DEVICE_TRANSFORMED_BYTES = 2**28
"""What transforms at work take at most, if not one alone takes more (`backends.cuda.device_memory`)."""


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """About how much memory a movie takes at its highest, bytes.

    `least` is what it cannot do without, `usual` what it takes when there is enough: a device with less makes fewer
    sums at once.
    """

    least: int
    usual: int


def needed_memory(prepared: PreparedMovie, backend: Backend) -> MemoryNeed:
    """Return what a movie needs where it is to be aligned."""
    movie, groups, sums = prepared.movie, prepared.groups, prepared.sum_count
    if backend.name == "cpu":
        needed = needed_bytes(movie, groups, sums, prepared.estimation_bin, backend.held_dtype(movie.dtype))
        return MemoryNeed(needed, needed)
    return device_need(movie, groups, sums, prepared.estimation_bin, local=prepared.settings.patches != (1, 1))


def needed_bytes(
    movie: Movie, groups: FrameGroups, sums: int, estimation_bin: int, held: np.dtype[Any] | None = None
) -> int:
    """Return about how much memory aligning a movie on the CPU takes at its highest.

    Parameters
    ----------
    sums : int
        Weighted sums that are accumulated at once.
    estimation_bin : int
        By how much frames are binned to estimate motion, where each px is kept as a transform (4 bytes).
    held : np.dtype[Any] | None
        The number type in which frames are held; None: the movie's, or float32 for float16.
    """
    pixels, frames = movie.height * movie.width, _frame_bytes(movie, groups, held)
    reading = FULL_IMAGES * pixels * 4
    kept = UP_TO_NYQUIST * kept_frequencies((movie.height, movie.width)) ** 2
    estimating = int(PATCH_OVERLAP * kept * len(groups) * pixels * 4 / estimation_bin**2) + pixels * 4
    summing = (sums + 1) * pixels * 4
    filtering = (sums + TRANSFORM_IMAGES) * pixels * 4 - frames
    kept_gain = pixels * 4  # for the next movie
    return frames + kept_gain + max(reading, estimating, summing, filtering)


def device_need(movie: Movie, groups: FrameGroups, sums: int, estimation_bin: int, *, local: bool) -> MemoryNeed:
    """Return about how much of a CUDA device's memory aligning a movie takes at its highest; see `needed_bytes`.

    Parameters
    ----------
    local : bool
        Whether patches are transformed, which stay on the device.
    """
    pixels, frames = movie.height * movie.width, _frame_bytes(movie, groups)
    shape = (movie.height, movie.width)
    binned = 4 * pixels // estimation_bin**2
    spectra = len(groups) * 4 * pixels // coarse_bin(shape) ** 2
    patches = int(len(groups) * binned * kept_frequencies(shape) ** 2)
    reading = DEVICE_READING_IMAGES * pixels * 4

    of_one_frame = DEVICE_TRANSFORM_IMAGES * binned
    at_work = max(of_one_frame, min(len(groups) * of_one_frame, DEVICE_TRANSFORMED_BYTES))

    def at_highest(sums_at_once: int, overlap: float) -> int:
        estimating = 4 * pixels + max(spectra, int(overlap * patches) * local) + at_work
        summing = (sums_at_once + 1) * pixels * 4
        filtering = (sums_at_once + DEVICE_TRANSFORM_IMAGES) * pixels * 4 - frames  # the frames are gone by then
        return frames + max(reading, estimating, summing, filtering)

    return MemoryNeed(least=at_highest(1, 1.0), usual=at_highest(sums, PATCH_OVERLAP))


def _frame_bytes(movie: Movie, groups: FrameGroups, held: np.dtype[Any] | None = None) -> int:
    """Return what the frames take, and their sums by groups."""
    pixels = movie.height * movie.width
    if held is None:
        held = np.dtype(np.float32) if movie.dtype == np.float16 else movie.dtype
    frames = groups.frame_count * pixels * held.itemsize
    if not groups.single:
        frames += len(groups) * pixels * groups.sum_dtype(movie.dtype).itemsize
    return frames


def refuse_too_large(prepared: PreparedMovie, backend: Backend) -> None:
    """Refuse a movie that the memory there is cannot hold; nothing else may be held while this is asked.

    Raises
    ------
    DeviceOutOfMemory
        Or DeviceTooSmall, where waiting would be in vain. The text says how much is needed and there, the hint what
        would fit.
    """
    needed = needed_memory(prepared, backend).least
    backend.make_room(needed)
    available = backend.available_bytes()
    if available is None or needed <= available:
        return
    movie, frame_count = prepared.movie, prepared.groups.frame_count
    one_frame = movie.height * movie.width * movie.dtype.itemsize
    fitting = (available - (needed - frame_count * one_frame)) // one_frame
    if backend.name == "cpu":
        where, ways = "memory", "Free memory, use fewer workers at the same time, or use another machine"
    else:
        where = f"{backend.name}'s memory"
        ways = "Use --device auto or cpu, free memory on the device, or raise --device-memory if you gave it"
    if fitting >= 2:
        ways += f"; about {fitting} frames would fit (--last-frame)"
    if movie.format == "eer":
        ways += "; more hardware frames per frame (--eer-frames) need less memory"
    capacity = backend.capacity_bytes()
    is_too_small = capacity is not None and needed > capacity
    raise (DeviceTooSmall if is_too_small else DeviceOutOfMemory)(
        f"{movie.path.name}: {frame_count} frames of {movie.height} x {movie.width} px need about"
        f" {needed / 1e9:.1f} GB of {where}, {available / 1e9:.1f} GB are there",
        hint=f"{ways}.",
    )
