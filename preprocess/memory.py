"""How much memory a movie needs, asked before anything is read."""

from __future__ import annotations

from pathlib import Path

from preprocess.backends.contract import Backend
from preprocess.errors import DeviceOutOfMemory
from preprocess.grouping import FrameGroups
from preprocess.movies import Movie

FULL_IMAGES = 3
"""Float32 images of a frame's size beside the frames: raw sum, gain reference mended for the movie, their masks."""
TRANSFORM_IMAGES = 3
"""Of the same size: one sum, its transform and the micrograph."""
PATCH_OVERLAP = 1.6
"""Patches overlap, so that their transforms take more than the frames' own."""


def needed_bytes(movie: Movie, groups: FrameGroups, sums: int, estimation_bin: int) -> int:
    """Return about how much memory aligning a movie takes at its highest.

    Parameters
    ----------
    sums : int
        Weighted sums that are accumulated at once.
    estimation_bin : int
        By how much frames are binned to estimate motion, where each px is kept as a transform (4 bytes).
    """
    pixels = movie.height * movie.width
    itemsize = 4 if movie.dtype.name == "float16" else movie.dtype.itemsize
    frames = groups.frame_count * pixels * itemsize
    if not groups.single:
        frames += len(groups) * pixels * groups.sum_dtype(movie.dtype).itemsize
    reading = FULL_IMAGES * pixels * 4
    estimating = int(PATCH_OVERLAP * len(groups) * pixels * 4 / estimation_bin**2) + pixels * 4
    summing = (sums + 1) * pixels * 4
    filtering = (sums + TRANSFORM_IMAGES) * pixels * 4 - frames
    kept_gain = pixels * 4  # for the next movie
    return frames + kept_gain + max(reading, estimating, summing, filtering)


def available_bytes() -> int | None:
    """Return how much memory this process may still take, by the system and its control group; None: nobody says."""
    limits = []
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
    except OSError:
        return None
    limits += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            texts = [(Path("/sys/fs/cgroup") / name).read_text("ascii").strip() for name in (limit, used)]
        except OSError:
            continue
        if all(text.isdigit() for text in texts):
            limits.append(max(0, int(texts[0]) - int(texts[1])))
    return min(limits, default=None)


def refuse_too_large(movie: Movie, backend: Backend, groups: FrameGroups, sums: int, estimation_bin: int) -> None:
    """Refuse a movie that the memory there is cannot hold.

    Raises
    ------
    DeviceOutOfMemory
        The text says how much is needed and there, the hint what would fit.
    """
    available = available_bytes()
    if backend.name != "cpu" or available is None:
        return
    needed = needed_bytes(movie, groups, sums, estimation_bin)
    if needed <= available:
        return
    one_frame = movie.height * movie.width * movie.dtype.itemsize
    others = needed - groups.frame_count * one_frame
    fitting = (available - others) // one_frame
    ways = "Free memory, use fewer workers at a time, or another machine"
    if fitting >= 2:
        ways += f"; about {fitting} frames would fit (--last-frame)"
    if movie.format == "eer":
        ways += "; more hardware frames for each frame (--eer-frames) take less"
    raise DeviceOutOfMemory(
        f"{movie.path.name}: {groups.frame_count} frames of {movie.height} x {movie.width} px need about"
        f" {needed / 1e9:.1f} GB of memory, {available / 1e9:.1f} GB are there",
        hint=f"{ways}.",
    )
