"""Writes Å, e/Å² and µm into pictures with Pillow's own font: the same everywhere, it knows neither Å nor ² nor µ."""

from __future__ import annotations

import re
from functools import cache

from PIL import ImageDraw, ImageFont

Colour = tuple[int, int, int]

_LETTER = {"Å": "A", "µ": "u"}
"""What is written and then drawn on."""


@cache
def font(size: float) -> ImageFont.FreeTypeFont:
    """Return Pillow's font; `size` in px."""
    found = ImageFont.load_default(size)
    if not isinstance(found, ImageFont.FreeTypeFont):
        raise TypeError("this Pillow was built without FreeType and cannot draw text")
    return found


def write(
    draw: ImageDraw.ImageDraw,
    at: tuple[float, float],
    text: str,
    size: float,
    colour: Colour,
    anchor: str,
    *,
    halo: Colour | None = None,
) -> None:
    """Write a line of text; Å is an A with a ring drawn on it, ² a small raised 2, µ a u with a longer stem.

    Parameters
    ----------
    anchor : str
        Where `at` lies in the text: l, m or r, then m (middle) or b (bottom).
    halo : tuple[int, int, int] | None
        Colour of an edge around the letters, so that they are read on any ground.
    """
    ascent, descent = font(size).getmetrics()
    x = at[0] - text_width(text, size) * {"l": 0.0, "m": 0.5, "r": 1.0}[anchor[0]]
    baseline = at[1] + ((ascent - descent) / 2 if anchor[1] == "m" else -descent)
    passes = [(colour, 0.0)] if halo is None else [(halo, 0.22 * size), (colour, 0.0)]
    for ink, edge in passes:
        place = x
        for part in _parts(text):
            _write_part(draw, (place, baseline), part, size, ink, edge)
            place += _width(part, size)


def text_width(text: str, size: float) -> float:
    """Return how wide a line of text is, in px."""
    return sum(_width(part, size) for part in _parts(text))


def _parts(text: str) -> list[str]:
    return [part for part in re.split("([Å²µ])", text) if part]


def _width(part: str, size: float) -> float:
    if part == "²":
        return font(0.62 * size).getlength("2")
    return font(size).getlength(_LETTER.get(part, part))


def _write_part(
    draw: ImageDraw.ImageDraw, at: tuple[float, float], part: str, size: float, ink: Colour, edge: float
) -> None:
    x, y = at
    stroke = round(edge)
    if part == "²":
        draw.text((x, y - 0.32 * size), "2", ink, font(0.62 * size), "ls", stroke_width=stroke, stroke_fill=ink)
        return
    letter = _LETTER.get(part, part)
    draw.text((x, y), letter, ink, font(size), "ls", stroke_width=stroke, stroke_fill=ink)
    if part == "µ":
        left = x + font(size).getbbox("u", anchor="ls")[0]
        draw.rectangle((left - edge, y - 0.3 * size, left + 0.085 * size + edge, y + 0.2 * size + edge), ink)
    if part == "Å":
        left, top, right, _ = font(size).getbbox("A", anchor="ls")
        radius, line = 0.13 * size + edge, max(1, round(0.065 * size))
        middle_x, middle_y = x + (left + right) / 2, y + top - 0.09 * size
        box = (middle_x - radius, middle_y - radius, middle_x + radius, middle_y + radius)
        draw.ellipse(box, fill=ink if edge else None, outline=ink, width=line)
