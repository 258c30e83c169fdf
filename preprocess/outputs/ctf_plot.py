"""`STEM_ctf.png`: spectrum and fit side by side, their radial profile, and the CTF's figures in words."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from preprocess.ctf.estimate import CtfEstimate
from preprocess.outputs.lettering import text_width
from preprocess.outputs.plot_canvas import FAINT, GREY, INK, PAPER, Colour, PlotCanvas
from preprocess.outputs.scaled_rings import scaled_profile, scaled_spectra
from preprocess.outputs.whole_spectrum import whole_spectrum_of

WIDTH_PX, HEIGHT_PX, SHARPNESS = 1000, 536, 2
SPECTRUM = (24, 72, 464, 512)  # left, top, right, bottom
PROFILE, AGREEMENT = (544, 256, 976, 382), (544, 412, 976, 472)
FIGURES_LEFT, FIGURES_TOP, ROW_PX = 504, 84, 26
FIT, MARK, BAD, HALO = (214, 93, 14), (255, 196, 84), (176, 32, 32), (20, 20, 20)
OCHRE, AGREES = (196, 132, 0), (44, 113, 142)
TICKS_ANGSTROM = (30, 20, 15, 12, 10, 8, 7, 6, 5, 4.5, 4, 3.5, 3, 2.8)
TICK_DISTANCE_PX = 34
COARSEST_SHOWN_ANGSTROM = 7.0
"""So far at least the plot goes, and half as far again as the fit."""
ENOUGH_AGREEMENT = 0.5

Box = tuple[int, int, int, int]


def ctf_png(estimate: CtfEstimate) -> bytes:
    """Return the picture; the same estimate gives the same bytes."""
    canvas = PlotCanvas(WIDTH_PX, HEIGHT_PX, SHARPNESS)
    shown = _shown_frequency(estimate)
    canvas.text((SPECTRUM[0], 34), "Contrast transfer function", 20, INK, "lm")
    _draw_spectrum(canvas, estimate, shown)
    _draw_figures(canvas, estimate)
    _draw_profile(canvas, estimate, shown)
    _draw_agreement(canvas, estimate, shown)
    return canvas.png()


def _shown_frequency(estimate: CtfEstimate) -> float:
    last = estimate.frequency_step_per_angstrom * (estimate.fitted_spectrum.shape[1] - 1)
    return float(min(last, max(1 / COARSEST_SHOWN_ANGSTROM, 1.5 * _fit_frequency(estimate))))


def _fit_frequency(estimate: CtfEstimate) -> float:
    resolution = estimate.fit_resolution_angstrom
    return 1 / resolution if np.isfinite(resolution) and resolution > 0 else 0.0


def _draw_spectrum(canvas: PlotCanvas, estimate: CtfEstimate, shown: float) -> None:
    """Draw the measured spectrum on the left, the fitted one on the right, rows downwards as in the file."""
    measured, fitted = (whole_spectrum_of(half) for half in scaled_spectra(estimate))
    middle = len(measured) // 2
    measured[:, middle:] = fitted[:, middle:]
    half = min(middle, max(8, round(shown / estimate.frequency_step_per_angstrom)))
    cut = np.clip(measured[middle - half : middle + half, middle - half : middle + half], 0, 1)
    canvas.image(Image.fromarray(np.round(cut * 255).astype(np.uint8)), SPECTRUM)
    left, top, right, bottom = SPECTRUM
    centre, scale = ((left + right) / 2, (top + bottom) / 2), (right - left) / 2 / shown
    radius = _fit_frequency(estimate) * scale
    if 4 < radius < (right - left) / 2:
        canvas.circle(centre, radius, MARK, 1.3)
        angle = np.radians(estimate.angle_degrees)
        for side in (1, -1):
            x, y = side * np.cos(angle), side * np.sin(angle)
            ends = [(centre[0] + x * r, centre[1] + y * r) for r in (radius, radius + 12)]
            canvas.line(ends, MARK, 2.5)
        at = centre[0], centre[1] + radius - 11
        canvas.text(at, f"{estimate.fit_resolution_angstrom:.2f} Å", 13, MARK, "mm", halo=HALO)
    canvas.text((left + 10, top + 14), "measured", 14, PAPER, "lm", halo=HALO)
    canvas.text((right - 10, top + 14), "fit", 14, PAPER, "rm", halo=HALO)


def _draw_figures(canvas: PlotCanvas, estimate: CtfEstimate) -> None:
    rows = [
        ("defocus", f"{estimate.mean_defocus_angstrom / 1e4:.2f} µm ± {estimate.sigma_angstrom:.0f} Å"),
        (
            "U, V",
            f"{estimate.defocus_u_angstrom / 1e4:.2f} µm, {estimate.defocus_v_angstrom / 1e4:.2f} µm",
        ),
        ("astigmatism", f"{estimate.astigmatism_angstrom:.0f} Å at {estimate.angle_degrees:.1f}°"),
        ("fit to", f"{estimate.fit_resolution_angstrom:.2f} Å"),
        ("score", f"{estimate.score:.3f}"),
    ]
    if estimate.phase_shift_searched:
        rows.append(("phase shift", f"{estimate.phase_shift_degrees:.1f}°"))
    if estimate.tilt_degrees is not None:
        axis = "" if estimate.tilt_axis_degrees is None else f", axis at {estimate.tilt_axis_degrees:.0f}°"
        rows.append(("tilt", f"{estimate.tilt_degrees:.1f}°{axis}"))
    if estimate.thickness_angstrom is not None:
        rows.append(("thickness", f"{estimate.thickness_angstrom:.0f} Å"))
    columns = 2 if len(rows) > 5 else 1
    a_column = -(-len(rows) // columns)
    for number, (name, value) in enumerate(rows):
        column, row = divmod(number, a_column)
        y = FIGURES_TOP + ROW_PX * row
        x = FIGURES_LEFT + (WIDTH_PX - 24 - FIGURES_LEFT) / 2 * column
        canvas.text((x, y), name, 14, GREY, "lm")
        canvas.text((x + 92, y), value, 15, INK, "lm")
    _draw_verdict(canvas, estimate)


def _draw_verdict(canvas: PlotCanvas, estimate: CtfEstimate) -> None:
    if estimate.reliable:
        canvas.text((WIDTH_PX - 24, 34), "reliable", 15, GREY, "rm")
        return
    lines = _broken(f"Not reliable: {estimate.reason}", 15, WIDTH_PX - 24 - FIGURES_LEFT)
    for number, line in enumerate(lines[:2]):
        canvas.text((FIGURES_LEFT, 24 + 20 * number), line, 15, BAD, "lm")


def _broken(text: str, size: float, width: float) -> list[str]:
    """Return a text as lines of no more than a width in px."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if text_width(longer, size) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _draw_profile(canvas: PlotCanvas, estimate: CtfEstimate, shown: float) -> None:
    left, top, right, _ = PROFILE
    profile = estimate.profile
    for value in (0.0, 0.5, 1.0):
        y = _places(np.array([value]), (-0.2, 1.2), PROFILE)[0]
        canvas.line([(left, y), (right, y)], FAINT)
    canvas.text((left - 10, _places(np.array([1.0]), (-0.2, 1.2), PROFILE)[0]), "1", 12, GREY, "rm")
    canvas.text((left - 10, _places(np.array([0.0]), (-0.2, 1.2), PROFILE)[0]), "0", 12, GREY, "rm")
    _draw_key(canvas, [("measured, rings scaled", INK), ("fitted CTF²", FIT), ("end of the fit", OCHRE)])
    _draw_curve(canvas, PROFILE, profile.frequency_per_angstrom, profile.ctf_squared, shown, FIT, 1.6)
    _draw_curve(canvas, PROFILE, profile.frequency_per_angstrom, scaled_profile(profile), shown, INK, 1.2)
    _draw_fit_mark(canvas, estimate, shown, top, AGREEMENT[3])


def _draw_key(canvas: PlotCanvas, entries: list[tuple[str, Colour]]) -> None:
    x, y = float(PROFILE[0]), PROFILE[1] - 14.0
    for text, colour in entries:
        canvas.line([(x, y), (x + 18, y)], colour, 2)
        canvas.text((x + 24, y), text, 13, INK, "lm")
        x += 24 + text_width(text, 13) + 24


def _draw_agreement(canvas: PlotCanvas, estimate: CtfEstimate, shown: float) -> None:
    left, _, right, bottom = AGREEMENT
    for value in (0.0, ENOUGH_AGREEMENT, 1.0):
        y = _places(np.array([value]), (-0.1, 1.1), AGREEMENT)[0]
        canvas.line([(left, y), (right, y)], FAINT)
        canvas.text((left - 10, y), f"{value:g}", 12, GREY, "rm")
    profile = estimate.profile
    _draw_curve(canvas, AGREEMENT, profile.frequency_per_angstrom, profile.agreement, shown, AGREES, 1.6)
    last = -np.inf
    for resolution in TICKS_ANGSTROM:
        x = left + (right - left) / resolution / shown
        if x <= right and x - last >= TICK_DISTANCE_PX:
            canvas.line([(x, bottom), (x, bottom + 4)], GREY)
            canvas.text((x, bottom + 14), f"{resolution:g}", 12, GREY, "mm")
            last = x
    canvas.text(((left + right) / 2, bottom + 34), "resolution, Å", 13, INK, "mm")
    canvas.text((right, AGREEMENT[1] - 8), "agreement of the two", 13, AGREES, "rm")


def _draw_fit_mark(canvas: PlotCanvas, estimate: CtfEstimate, shown: float, top: float, bottom: float) -> None:
    frequency = _fit_frequency(estimate)
    if not 0 < frequency <= shown:
        return
    x = PROFILE[0] + (PROFILE[2] - PROFILE[0]) * frequency / shown
    canvas.line([(x, top), (x, bottom)], OCHRE, 1.4)


def _draw_curve(
    canvas: PlotCanvas,
    box: Box,
    frequency: NDArray[np.float64],
    values: NDArray[np.float64],
    shown: float,
    colour: Colour,
    width: float,
) -> None:
    limits = (-0.2, 1.2) if box is PROFILE else (-0.1, 1.1)
    inside = (frequency >= 1 / TICKS_ANGSTROM[0]) & (frequency <= shown) & np.isfinite(values)
    x = box[0] + (box[2] - box[0]) * frequency[inside] / shown
    y = _places(np.clip(values[inside], *limits), limits, box)
    canvas.line(list(zip(x.tolist(), y.tolist(), strict=True)), colour, width)


def _places(values: NDArray[np.float64], limits: tuple[float, float], box: Box) -> NDArray[np.float64]:
    low, high = limits
    places: NDArray[np.float64] = box[3] - (box[3] - box[1]) * (values - low) / (high - low)
    return places
