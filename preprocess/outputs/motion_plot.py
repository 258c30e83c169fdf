"""A picture of how the content moved: its track in Å, coloured by frame, and how fast it was."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from preprocess.geometry.accumulated_motion import AccumulatedMotion
from preprocess.outputs.plot_canvas import FAINT, GREY, INK, PAPER, Colour, PlotCanvas

WIDTH_PX, HEIGHT_PX = 720, 480
TRACK = (72, 64, 440, 432)  # left, top, right, bottom of the square in which the track lies
SPEED = (504, 196, 696, 400)
VIRIDIS = ((68, 1, 84), (71, 44, 122), (59, 81, 139), (44, 113, 142), (33, 144, 141), (39, 173, 129), (92, 200, 99),
           (170, 220, 50), (240, 215, 40))  # fmt: skip


def motion_png(
    shifts: NDArray[np.float64], pixel_size_angstrom: float, motion: AccumulatedMotion, *, dose_known: bool
) -> bytes:
    """Return the picture.

    Parameters
    ----------
    shifts : NDArray[np.float64]
        The content's displacement relative to the first frame, shape (frames, 2), (y, x), px.
    dose_known : bool
        Whether the motion could be split at 4 e/Å².
    """
    plot = PlotCanvas(WIDTH_PX, HEIGHT_PX)
    track = (shifts - shifts[0]) * pixel_size_angstrom
    plot.text((TRACK[0], 30), "Motion of the whole frame", 19, INK, "lm")
    _draw_track(plot, track)
    _draw_figures(plot, motion, len(track), dose_known=dose_known)
    if len(track) > 1:
        _draw_speed(plot, np.hypot(*np.diff(track, axis=0).T))
    return plot.png()


def _draw_track(plot: PlotCanvas, track: NDArray[np.float64]) -> None:
    """Draw the track, y downwards as in the micrograph, both axes to one scale."""
    middle = (track.max(0) + track.min(0)) / 2
    half = max(float((track.max(0) - track.min(0)).max()) * 0.56, 0.5)
    left, top, right, bottom = TRACK
    scale = (right - left) / (2 * half)

    def place(y: float, x: float) -> tuple[float, float]:
        return left + (x - middle[1] + half) * scale, top + (y - middle[0] + half) * scale

    for value in _ticks(middle[1] - half, middle[1] + half):
        x = place(0, value)[0]
        plot.line([(x, top), (x, bottom)], FAINT)
        plot.text((x, bottom + 12), f"{value:g}", 12, GREY, "mm")
    for value in _ticks(middle[0] - half, middle[0] + half):
        y = place(value, 0)[1]
        plot.line([(left, y), (right, y)], FAINT)
        plot.text((left - 8, y), f"{value:g}", 12, GREY, "rm")
    plot.text(((left + right) / 2, bottom + 32), "x, Å", 13, INK, "mm")
    plot.text((left - 44, (top + bottom) / 2), "y, Å", 13, INK, "mm")
    points = [place(y, x) for y, x in track]
    for index in range(len(points) - 1):
        plot.line([points[index], points[index + 1]], _colour(index, len(points)), 2)
    for index in reversed(range(len(points))):
        plot.dot(points[index], 6 if index == 0 else 4, _colour(index, len(points)), PAPER)
    if len(points) > 1:
        plot.text((points[0][0] + 9, points[0][1] - 9), "1", 13, INK, "lb")


def _draw_figures(plot: PlotCanvas, motion: AccumulatedMotion, frame_count: int, *, dose_known: bool) -> None:
    left, right = SPEED[0], SPEED[2]
    figures = [("total", motion.total_angstrom)]
    if dose_known:
        figures += [("early, to 4 e/Å²", motion.early_angstrom), ("late", motion.late_angstrom)]
    for row, (name, value) in enumerate(figures):
        plot.text((left, 76 + 24 * row), name, 14, GREY, "lm")
        plot.text((right, 76 + 24 * row), f"{value:.1f} Å", 15, INK, "rm")
    plot.text((left, 76 + 24 * len(figures)), "frames", 14, GREY, "lm")
    plot.text((right, 76 + 24 * len(figures)), f"{frame_count}", 15, INK, "rm")


def _draw_speed(plot: PlotCanvas, steps: NDArray[np.float64]) -> None:
    """Draw how far the content went from each frame to the next, a bar for each."""
    left, top, right, bottom = SPEED
    highest = max(float(steps.max()) * 1.05, 0.1)
    plot.text((left, top - 14), "Å from frame to frame", 13, INK, "lm")
    for value in _ticks(0, highest):
        y = bottom - (bottom - top) * value / highest
        plot.line([(left, y), (right, y)], FAINT)
        plot.text((left - 6, y), f"{value:g}", 12, GREY, "rm")
    pitch = (right - left) / len(steps)
    for index, step in enumerate(steps):
        x = left + pitch * index
        height = (bottom - top) * step / highest
        gap = 0.15 * pitch
        plot.box((x + gap, bottom - height, x + pitch - gap, bottom), _colour(index + 1, len(steps) + 1))
    plot.text((left, bottom + 12), "2", 12, GREY, "mm")
    plot.text((right, bottom + 12), f"{len(steps) + 1}", 12, GREY, "mm")
    plot.text(((left + right) / 2, bottom + 32), "frame", 13, INK, "mm")


def _colour(index: int, count: int) -> Colour:
    place = index / max(count - 1, 1) * (len(VIRIDIS) - 1)
    below = min(int(place), len(VIRIDIS) - 2)
    first, second = VIRIDIS[below], VIRIDIS[below + 1]
    red, green, blue = (round(a + (b - a) * (place - below)) for a, b in zip(first, second, strict=True))
    return red, green, blue


def _ticks(low: float, high: float) -> list[float]:
    """Return four to eight round values between low and high."""
    step = 10.0 ** np.floor(np.log10((high - low) / 2))
    step = next((step * factor for factor in (0.2, 0.5, 1, 2, 5) if (high - low) / (step * factor) <= 7), step * 10)
    first = int(np.ceil(low / step - 1e-9))
    return [float(f"{index * step:.6g}") + 0.0 for index in range(first, int(np.floor(high / step + 1e-9)) + 1)]
