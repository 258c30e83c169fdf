"""A camera's known defects: RELION's and MotionCor's text, SerialEM's defects.txt, or a map.

* Text of four whole numbers a line, `x y width height`: x and y count from 0 in the orientation in which frames are
  handed out, RELION's (so y counts from the bottom of a TIFF as most programs show it); `#` begins a remark.
* SerialEM's file (`CameraSizeX 5760`, `BadColumns 3 4`, …): its y counts from the top, IMOD's and RELION's from the
  bottom. Where the movie has 2 or 4 times as many pixels as the camera, or half as many, defects are scaled.
* A map, MRC or TIFF (TIFF upside down, as TIFF movies are): anything but zero is a defect.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from preprocess.correction.reference_image import MRC_EXTENSIONS, TIFF_EXTENSIONS, enlarged, first_image
from preprocess.errors import DefectMismatch, UnreadableMovie, UnsupportedFormat
from preprocess.input_files import read_small_text

Mask = NDArray[np.bool_]

SERIALEM_WORDS = frozenset(
    [
        "camerasizex",
        "camerasizey",
        "rotationandflip",
        "wasscaled",
        "k2type",
        "falcontype",
        "numavgsuperres",
        "usablearea",
        "badcolumns",
        "badrows",
        "partialbadcolumn",
        "partialbadrow",
        "badpixels",
    ]
)
SCALES = (1.0, 2.0, 4.0, 0.5)
"""How many pixels of the movie a pixel of SerialEM's camera may have, along one axis."""
LARGEST_SHARE = 0.5


def load_defects(path: Path, shape: tuple[int, int], *, upsampling: int = 1) -> Mask:
    """Return which pixels of a movie's frames the file calls defects.

    Parameters
    ----------
    path
        `.txt`: RELION's or SerialEM's text; `.mrc .mrcs .tif .tiff`: a map.
    shape
        Height and width of the frames.
    upsampling
        How many pixels of the frames share one of the camera, along each axis: a map may have either size (EER).

    Raises
    ------
    DefectMismatch
        The file cannot be read or does not fit the movie; the text says where.
    UnsupportedFormat
        It is neither text nor a map.
    """
    extension = path.suffix.lower()
    try:
        if extension == ".txt":
            mask = _from_text(path, shape)
        elif extension in MRC_EXTENSIONS | TIFF_EXTENSIONS:
            mask = _from_map(path, shape, upsampling)
        else:
            raise UnsupportedFormat(
                f"{path}: defects must be in a file that ends in .txt, .mrc or .tif",
                hint="Rename the file, or convert it.",
            )
    except OSError as error:
        raise DefectMismatch(f"defects {path}: {error.strerror or error}") from error
    if mask.mean() > LARGEST_SHARE:
        raise DefectMismatch(
            f"defects {path}: {mask.mean():.0%} of all pixels are marked as defects",
            hint="Check whether the map marks good pixels instead; invert it if so.",
        )
    return mask


@dataclass(frozen=True, slots=True)
class DefectiveCamera:
    """The camera that a file of SerialEM's lists the defects of, and how its frames lie: SerialEM's RotationAndFlip."""

    height: int
    width: int
    rotation_and_flip: int

    def has(self, shape: tuple[int, int]) -> bool:
        """Return whether frames of that height and width are this camera's."""
        return any((self.height * scale, self.width * scale) == shape for scale in SCALES)


def camera_of(path: Path) -> DefectiveCamera | None:
    """Return whose defects a file of SerialEM's lists; None if it is none that can be used.

    Raises
    ------
    OSError
        It cannot be read now.
    """
    text = read_small_text(path)
    if not _is_serialem(text):
        return None
    try:
        return _Serialem(path, text).camera()
    except DefectMismatch:
        return None


def is_serialem(path: Path) -> bool:
    """Return whether a text of defects is SerialEM's, which RELION does not read."""
    return path.suffix.lower() == ".txt" and _is_serialem(read_small_text(path))


def _is_serialem(text: str) -> bool:
    return any(line.split()[0].lower() in SERIALEM_WORDS for line in text.splitlines() if line.strip())


def _from_map(path: Path, shape: tuple[int, int], upsampling: int) -> Mask:
    try:
        image = first_image(path)
    except UnreadableMovie as error:
        raise DefectMismatch(f"defects {path} cannot be read: {error}") from error
    if (image.shape[0] * upsampling, image.shape[1] * upsampling) == shape:
        image = enlarged(image, upsampling)
    if image.shape != shape:
        hint = None
        if image.shape in {(2 * shape[0], 2 * shape[1]), (shape[0] // 2, shape[1] // 2)}:
            hint = "Either the map or the movie is super-resolution: give a map with the movie's number of pixels."
        raise DefectMismatch(
            f"defects {path} are {image.shape[0]} x {image.shape[1]} px (height x width), but the movie's frames"
            f" are {shape[0]} x {shape[1]} px",
            hint=hint,
        )
    return np.ascontiguousarray((image[::-1] if path.suffix.lower() in TIFF_EXTENSIONS else image) != 0)


def _from_text(path: Path, shape: tuple[int, int]) -> Mask:
    text = read_small_text(path)
    if _is_serialem(text):
        return _Serialem(path, text).mask(shape)
    mask = np.zeros(shape, np.bool_)
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        values = _whole_numbers(path, number, words)
        if len(values) != 4:
            raise DefectMismatch(
                f"defects {path}, line {number}: {len(values)} numbers instead of the 4 numbers x y width height"
            )
        x, y, width, height = values
        if min(x, y) < 0 or min(width, height) < 1 or x + width > shape[1] or y + height > shape[0]:
            raise DefectMismatch(
                f"defects {path}, line {number}: {line.strip()!r} lies outside the movie's {shape[1]} x {shape[0]} px"
                " (width x height)"
            )
        mask[y : y + height, x : x + width] = True
    return mask


def _whole_numbers(path: Path, number: int, words: list[str]) -> list[int]:
    try:
        return [int(word) for word in words]
    except ValueError as error:
        raise DefectMismatch(f"defects {path}, line {number}: {' '.join(words)!r} are not whole numbers") from error


@dataclass(frozen=True, slots=True)
class _Serialem:
    """SerialEM's text, painted line by line onto the camera's pixels, y counted from the top."""

    path: Path
    text: str

    def mask(self, shape: tuple[int, int]) -> Mask:
        lines, camera_described = self._lines(), self.camera()
        height, width = camera_described.height, camera_described.width
        scale = next((each for each in SCALES if (height * each, width * each) == shape), None)
        if scale is None:
            raise DefectMismatch(
                f"defects {self.path} are for a camera of {height} x {width} px (height x width),"
                f" but the movie's frames have {shape[0]} x {shape[1]} px"
            )
        pixel = 2 if any(word == "wasscaled" and values[:1] > [0] for _, word, values in lines) else 1
        camera = np.zeros((height, width), np.bool_)
        for number, word, values in lines:
            for top, left, bottom, right in self._areas(number, word, values, (height, width), pixel):
                if not (0 <= top <= bottom <= height and 0 <= left <= right <= width):
                    raise DefectMismatch(
                        f"defects {self.path}, line {number}: the area lies outside the camera's {width} x {height} px"
                    )
                camera[top:bottom, left:right] = True
        return _scaled(camera[::-1], scale)

    def camera(self) -> DefectiveCamera:
        values = {word: found[0] for _, word, found in self._lines() if found}
        try:
            height, width = values["camerasizey"], values["camerasizex"]
        except KeyError as error:
            raise DefectMismatch(f"defects {self.path}: CameraSizeX and CameraSizeY are missing") from error
        return DefectiveCamera(height, width, values.get("rotationandflip", 0))

    def _lines(self) -> list[tuple[int, str, list[int]]]:
        found = []
        for number, line in enumerate(self.text.splitlines(), start=1):
            words = line.partition("#")[0].split()
            if not words:
                continue
            if words[0].lower() not in SERIALEM_WORDS:
                raise DefectMismatch(
                    f"defects {self.path}, line {number}: {words[0]!r} is not a keyword of SerialEM's defect files"
                )
            found.append((number, words[0].lower(), _whole_numbers(self.path, number, words[1:])))
        return found

    def _areas(
        self, number: int, word: str, values: list[int], size: tuple[int, int], pixel: int
    ) -> list[tuple[int, int, int, int]]:
        """Return a line's defects as (top, left, bottom, right), the latter two not included."""
        height, width = size
        four = word in {"usablearea", "partialbadcolumn", "partialbadrow"}
        if (four and len(values) != 4) or (word == "badpixels" and len(values) % 2):
            raise DefectMismatch(f"defects {self.path}, line {number}: {len(values)} values are too few or too many")
        pairs = zip(values[0::2], values[1::2], strict=False)
        areas: dict[str, Callable[[], list[tuple[int, int, int, int]]]] = {
            "badcolumns": lambda: [(0, x, height, x + 1) for x in values],
            "badrows": lambda: [(y, 0, y + 1, width) for y in values],
            "badpixels": lambda: [(y, x, min(y + pixel, height), min(x + pixel, width)) for x, y in pairs],
            "partialbadcolumn": lambda: [(values[2], values[0], values[3] + 1, values[0] + values[1])],
            "partialbadrow": lambda: [(values[0], values[2], values[0] + values[1], values[3] + 1)],
            "usablearea": lambda: _outside((values[0], values[1], values[2], values[3]), size),
        }
        return areas.get(word, list)()


def _outside(usable: tuple[int, int, int, int], size: tuple[int, int]) -> list[tuple[int, int, int, int]]:
    """Return what lies outside SerialEM's usable area (its first and last good rows and columns; 0: no bound)."""
    (top, left, bottom, right), (height, width) = usable, size
    areas = [(0, 0, top, width), (0, 0, height, left)]
    areas += [(bottom + 1, 0, height, width)] if bottom else []
    return areas + ([(0, right + 1, height, width)] if right else [])


def _scaled(camera: Mask, scale: float) -> Mask:
    if scale < 1:
        step = round(1 / scale)
        height, width = camera.shape
        blocks = camera.reshape(height // step, step, width // step, step)
        return np.asarray(blocks.any(axis=(1, 3)))
    return np.repeat(np.repeat(camera, int(scale), 0), int(scale), 1)
