"""Draws charts with Pillow: panels with axes, lines, dots and bars."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

from preprocess.outputs.lettering import Colour, write

PAPER: Colour = (255, 255, 255)
INK: Colour = (32, 36, 40)
GREY: Colour = (110, 116, 122)
FAINT: Colour = (228, 231, 234)
COLOURS: dict[str, Colour] = {  # Okabe & Ito's, which colour-blind people can distinguish
    "cryoferry": (0, 114, 178),
    "cryoferry-1x1": (86, 180, 233),
    "relion": (213, 94, 0),
    "motioncor3": (0, 158, 115),
    "ctffind": (213, 94, 0),
}

_SHARPNESS = 2  # everything is drawn twice as large, then made smaller

Points = Sequence[tuple[float, float]]
Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""


class Canvas:
    """A picture that takes coordinates in px of the final one."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._image = Image.new("RGB", (width * _SHARPNESS, height * _SHARPNESS), PAPER)
        self._draw = ImageDraw.Draw(self._image)

    def line(self, points: Points, colour: Colour, width: float = 1) -> None:
        """Draw a line through points."""
        scaled = [(x * _SHARPNESS, y * _SHARPNESS) for x, y in points]
        self._draw.line(scaled, colour, round(width * _SHARPNESS), "curve")

    def dot(self, x: float, y: float, radius: float, colour: Colour) -> None:
        """Draw a dot with a white edge."""
        x, y, radius = x * _SHARPNESS, y * _SHARPNESS, radius * _SHARPNESS
        self._draw.ellipse((x - radius, y - radius, x + radius, y + radius), colour, PAPER, _SHARPNESS)

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        """Fill a rectangle."""
        self._draw.rectangle([value * _SHARPNESS for value in (left, top, right, bottom)], colour)

    def text(
        self, x: float, y: float, text: str, *, size: float = 13, colour: Colour = INK, anchor: str = "lm"
    ) -> None:
        """Write a line; `anchor` l, m or r, then m or b, says where (x, y) lies in it."""
        write(self._draw, (x * _SHARPNESS, y * _SHARPNESS), text, size * _SHARPNESS, colour, anchor)

    def save(self, path: Path) -> None:
        """Write the picture as PNG."""
        self._image.resize((self.width, self.height), Image.Resampling.LANCZOS).save(path, optimize=True)

    def legend(self, names: Sequence[str], x: float, y: float) -> None:
        """Name the programs' colours in a row."""
        for name in names:
            self.box(x, y - 5, x + 18, y + 5, colour_of(name))
            self.text(x + 25, y, name, size=13)
            x += 25 + 8.5 * len(name) + 26


def colour_of(program: str) -> Colour:
    """Return a program's colour."""
    return COLOURS.get(program, GREY)


@dataclass(frozen=True, slots=True)
class Panel:
    """A part of a canvas with two axes; places are given in the axes' units."""

    canvas: Canvas
    box: Box
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    logarithmic: bool = False

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Return where a point lies on the canvas."""
        across = _part(x, self.x_range, logarithmic=self.logarithmic)
        up = _part(y, self.y_range, logarithmic=self.logarithmic)
        left, top, right, bottom = self.box
        return left + across * (right - left), bottom - up * (bottom - top)

    def frame(self, title: str, x_title: str, y_title: str) -> None:
        """Write the panel's title and its axes' names."""
        left, top, right, bottom = self.box
        self.canvas.text(left, top - 26, title, size=15)
        self.canvas.text((left + right) / 2, bottom + 34, x_title, colour=GREY, anchor="mm")
        self.canvas.text(left - 6, top - 14, y_title, size=11, colour=GREY, anchor="rm")
        self.canvas.line([(left, bottom), (right, bottom)], GREY)

    def x_ticks(self, values: Sequence[float], label: Callable[[float], str] = "{:g}".format) -> None:
        """Mark values on the x axis."""
        bottom = self.box[3]
        for value in values:
            x, _ = self.place(value, self.y_range[0])
            self.canvas.line([(x, bottom), (x, bottom + 4)], GREY)
            self.canvas.text(x, bottom + 14, label(value), size=11, colour=GREY, anchor="mm")

    def y_ticks(self, values: Sequence[float], label: Callable[[float], str] = "{:g}".format) -> None:
        """Rule the panel at values of y."""
        left, _, right, _ = self.box
        for value in values:
            _, y = self.place(self.x_range[0], value)
            self.canvas.line([(left, y), (right, y)], FAINT)
            self.canvas.text(left - 6, y, label(value), size=11, colour=GREY, anchor="rm")

    def curve(self, points: Points, colour: Colour, *, dots: bool = False, width: float = 2) -> None:
        """Draw a line through points, with dots if wanted."""
        places = [self.place(x, y) for x, y in points]
        if len(places) > 1 and width > 0:
            self.canvas.line(places, colour, width)
        if dots:
            for x, y in places:
                self.canvas.dot(x, y, 5, colour)


def round_ticks(most: float) -> list[float]:
    """Return three to seven round values from 0 up to at most `most`."""
    step = 10.0 ** math.floor(math.log10(most))
    step = next(step * factor for factor in (0.1, 0.2, 0.25, 0.5, 1.0, 2.0) if most / (step * factor) <= 6)
    return [index * step for index in range(int(most / step + 1e-9) + 1)]


def _part(value: float, bounds: tuple[float, float], *, logarithmic: bool) -> float:
    if logarithmic:
        return math.log(value / bounds[0]) / math.log(bounds[1] / bounds[0])
    return (value - bounds[0]) / (bounds[1] - bounds[0])
