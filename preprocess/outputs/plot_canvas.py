"""A canvas for plots: coordinates are px of the final picture; it is drawn larger, so that lines are smooth."""

from __future__ import annotations

from PIL import Image, ImageDraw

from preprocess.outputs.lettering import write
from preprocess.outputs.pictures import png

INK, GREY, FAINT, PAPER = (38, 43, 51), (112, 120, 131), (222, 226, 231), (255, 255, 255)

Colour = tuple[int, int, int]
Point = tuple[float, float]


class PlotCanvas:
    """White paper of a given size in px, drawn `sharpness` times as large and made smaller."""

    def __init__(self, width_px: int, height_px: int, sharpness: int = 3) -> None:
        self._size, self._sharpness = (width_px, height_px), sharpness
        self._image = Image.new("RGB", (width_px * sharpness, height_px * sharpness), PAPER)
        self._draw = ImageDraw.Draw(self._image)

    def line(self, points: list[Point], colour: Colour, width: float = 1) -> None:
        """Draw a line through points."""
        self._draw.line(
            [(x * self._sharpness, y * self._sharpness) for x, y in points],
            colour,
            round(width * self._sharpness),
            "curve",
        )

    def dot(self, at: Point, radius: float, fill: Colour, edge: Colour) -> None:
        """Draw a disk with an edge."""
        x, y, r = at[0] * self._sharpness, at[1] * self._sharpness, radius * self._sharpness
        self._draw.ellipse((x - r, y - r, x + r, y + r), fill, edge, self._sharpness)

    def circle(self, at: Point, radius: float, colour: Colour, width: float = 1) -> None:
        """Draw a circle."""
        x, y, r = at[0] * self._sharpness, at[1] * self._sharpness, radius * self._sharpness
        self._draw.ellipse((x - r, y - r, x + r, y + r), None, colour, round(width * self._sharpness))

    def box(self, box: tuple[float, float, float, float], fill: Colour) -> None:
        """Fill a rectangle: left, top, right, bottom."""
        self._draw.rectangle([value * self._sharpness for value in box], fill)

    def image(self, image: Image.Image, box: tuple[int, int, int, int]) -> None:
        """Draw an image into a rectangle: left, top, right, bottom."""
        size = (box[2] - box[0]) * self._sharpness, (box[3] - box[1]) * self._sharpness
        self._image.paste(
            image.resize(size, Image.Resampling.BICUBIC), (box[0] * self._sharpness, box[1] * self._sharpness)
        )

    def text(
        self, at: Point, text: str, size: float, colour: Colour, anchor: str, *, halo: Colour | None = None
    ) -> None:
        """Write a line; `anchor` and `halo` as `lettering.write` has them."""
        place = (at[0] * self._sharpness, at[1] * self._sharpness)
        write(self._draw, place, text, size * self._sharpness, colour, anchor, halo=halo)

    def png(self) -> bytes:
        """Return the picture."""
        return png(self._image.resize(self._size, Image.Resampling.LANCZOS))
