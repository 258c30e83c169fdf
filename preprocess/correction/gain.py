"""The gain reference: what each pixel's counts are multiplied by.

RELION's rules, found by comparing with RELION 3.1.3 pixel by pixel (`tests/preprocess/pipeline/test_orientation.py`):

* MRC gains are taken as they lie, TIFF gains upside down (as TIFF movies are), for movies of every format;
* DM4 gains, which RELION does not read, are taken upside down too: their rows count from the top, those of MRC from the
  bottom. IMOD's dm2mrc turns them over in the same way: a DM4 file and what dm2mrc makes of it are the same gain;
* TIFF and MRC movies are multiplied by the gain;
* EER movies are multiplied by a `.gain` file (a TIFF; its first page, as it lies); any other gain divides, scaled by
  its mean over all pixels, zeros included;
* an EER movie at twice the camera's resolution takes a gain of either: four pixels share one of the camera's;
* zero means a defect; so do values that no pixel's sensitivity has (`gain_values`), which are counted;
* rotation first, clockwise as seen with row 0 at the top, then the flip: y upside down, x left to right.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess.correction.dm4_image import DM4_EXTENSIONS
from preprocess.correction.gain_digest import gain_digest
from preprocess.correction.gain_turns import turned, turned_further
from preprocess.correction.gain_values import believable
from preprocess.correction.reference_image import MRC_EXTENSIONS, TIFF_EXTENSIONS, enlarged, first_image, image_count
from preprocess.errors import GainMismatch, UnreadableMovie, UnsupportedFormat
from preprocess.movies.eer import EerMovie
from preprocess.movies.movie import Movie
from preprocess.settings import GainSettings

_FALCON = ".gain"
GAIN_EXTENSIONS = MRC_EXTENSIONS | TIFF_EXTENSIONS | DM4_EXTENSIONS | {_FALCON}
"""In lower case, of the files that are read as gain references."""
_QUARTER = GainSettings(rotate_degrees=90)


@dataclass(frozen=True, slots=True)
class Gain:
    """What frames are multiplied by, and what a user should know about the values in the file.

    `settings` say how it lies; `digest` is the BLAKE3 of its file.
    """

    image: NDArray[np.float32] | None
    settings: GainSettings
    doubts: tuple[str, ...] = ()
    digest: str | None = None


def load_gain(settings: GainSettings, movie: Movie) -> NDArray[np.float32] | None:
    """Return what a movie's frames are multiplied by: see `load_checked_gain`."""
    return load_checked_gain(settings, movie).image


def load_checked_gain(settings: GainSettings, movie: Movie) -> Gain:
    """Return what a movie's frames are multiplied by, and what is doubtful about it.

    Parameters
    ----------
    settings
        The gain's file and how it lies; `operation` auto follows RELION's rules above. `divide` scales as they do.
    movie
        The movie that it must fit.

    Returns
    -------
    Gain
        Its image: shape (height, width) in the movie's orientation; zero = defect. None when the settings name no
        file. The last one is kept: the next movie with that file, unchanged, gets the same array, which must not be
        changed.

    Raises
    ------
    GainMismatch
        The file cannot be read, holds several images, its values are none of a gain's, or its shape is not the movie's.
    UnsupportedFormat
        A gain reference that is neither MRC, TIFF, DM4 nor `.gain`.
    """
    if settings.path is None:
        return Gain(None, settings)
    twice = movie.upsampling if isinstance(movie, EerMovie) else 1
    shape, state = (movie.height, movie.width), file_state(settings.path)
    gain = _loaded(settings, _Use(movie.format, divides(settings, movie), shape, twice, state))
    assert gain.image is not None
    if gain.image.shape != shape:
        raise _shape_mismatch(settings, gain.image.shape, movie)
    return gain


def load_gain_of_shape(settings: GainSettings, movie: Movie) -> Gain:
    """Return a movie's gain as `load_checked_gain` does, rotated if only that gives it the movie's shape.

    Raises
    ------
    GainMismatch, UnsupportedFormat
        As there; also if the settings' orientation is `given`, and it has another shape.
    """
    try:
        return load_checked_gain(settings, movie)
    except GainMismatch as error:
        if settings.orientation == "given" or not error.fits_rotated:
            raise
    return load_checked_gain(turned_further(settings, _QUARTER), movie)


@dataclass(frozen=True, slots=True)
class _Use:
    """What a movie makes of a gain's file, and how the file is; `upsampling` is that of the frames' `shape`."""

    movie_format: str
    divides: bool
    shape: tuple[int, int]
    upsampling: int
    file_state: tuple[int, int, int] | None


def file_state(path: Path) -> tuple[int, int, int] | None:
    """Return what differs when a file is another than before; None if it cannot be seen."""
    try:
        seen = path.stat()
    except OSError:
        return None
    return seen.st_mtime_ns, seen.st_size, seen.st_ino


@functools.lru_cache(maxsize=1)
def _loaded(settings: GainSettings, use: _Use) -> Gain:
    """Return what a file's gain multiplies by, turned and enlarged; read anew when any of the arguments differs."""
    assert settings.path is not None
    stored, digest = _read(settings.path, use.movie_format), _digest_of(settings.path)
    stored, doubts = believable(settings.path, stored)
    if use.divides:
        stored = stored.astype(np.float64)
        stored = np.divide(stored.mean(dtype=np.float64), stored, out=np.zeros_like(stored), where=stored > 0)
    gain = turned(stored, settings)
    if use.upsampling > 1 and (gain.shape[0] * 2, gain.shape[1] * 2) == use.shape:
        gain = enlarged(gain, use.upsampling)
    return Gain(np.ascontiguousarray(gain, np.float32), settings, doubts, digest)


def _digest_of(path: Path) -> str:
    try:
        return gain_digest(path)
    except OSError as error:
        raise GainMismatch(f"gain reference {path} cannot be read: {error.strerror or error}") from error


def divides(settings: GainSettings, movie: Movie) -> bool:
    """Return whether the movie is divided by the gain reference as its file has it."""
    if settings.operation != "auto" or settings.path is None:
        return settings.operation == "divide"
    return movie.format == "eer" and settings.path.suffix.lower() != _FALCON


def is_relions(settings: GainSettings, movie: Movie) -> bool:
    """Return whether RELION, given the same file, would correct a movie in the same way: it is not told how it lies."""
    is_read = settings.path is not None and settings.path.suffix.lower() not in DM4_EXTENSIONS
    as_it_lies = settings.rotate_degrees == 0 and settings.flip == "none"
    return is_read and as_it_lies and divides(settings, movie) == divides(replace(settings, operation="auto"), movie)


def _read(path: Path, movie_format: str) -> NDArray[Any]:
    """Return the first image of a gain's file in the movie's orientation, float32 if it is stored so, else float64."""
    extension = path.suffix.lower()
    if extension not in GAIN_EXTENSIONS:
        if path.is_dir():
            raise UnsupportedFormat(f"gain reference {path} is a folder, not a file", hint="Name the file itself.")
        raise UnsupportedFormat(
            f"gain reference {path} is not an MRC, TIFF, DM4 or .gain file",
            hint="Convert a DM3 file first, for example with IMOD's dm2mrc.",
        )
    try:
        image = first_image(path)
        images = 1 if extension == _FALCON else image_count(path)
    except OSError as error:
        raise GainMismatch(
            f"gain reference {path} cannot be read: {error.strerror or error}",
            hint="Check the path of the gain reference, and that this user may read the file.",
        ) from error
    except UnreadableMovie as error:
        raise GainMismatch(f"gain reference {path} cannot be read: {error}") from error
    if images > 1:
        raise GainMismatch(
            f"gain reference {path} holds {images} images: it is a stack or a movie",
            hint="Give the gain reference itself, a file of one image.",
        )
    upside_down = extension in TIFF_EXTENSIONS | DM4_EXTENSIONS or (extension == _FALCON and movie_format != "eer")
    image = image[::-1] if upside_down else image
    return image if image.dtype == np.float32 else image.astype(np.float64)


def _shape_mismatch(settings: GainSettings, shape: tuple[int, ...], movie: Movie) -> GainMismatch:
    rotated = f" after rotation by {settings.rotate_degrees} degrees" if settings.rotate_degrees else ""
    wanted = (movie.height, movie.width)
    hint = None
    if shape == wanted[::-1]:
        hint = "The size would fit with --gain-rotate 90 or 270; if you gave that, it would fit without."
    elif shape == (2 * wanted[0], 2 * wanted[1]):
        hint = (
            "The gain reference is super-resolution, but the movie is not. Give a gain reference of the movie's size,"
            " or bin this one by 2."
        )
    elif (2 * shape[0], 2 * shape[1]) == wanted:
        hint = (
            "The movie is super-resolution, but the gain reference is not. Give the super-resolution gain reference"
            " (and --bin 2 for a micrograph of physical pixels)."
        )
    mismatch = GainMismatch(
        f"gain reference {settings.path} is {shape[0]} x {shape[1]} px (height x width){rotated},"
        f" but the movie {movie.path.name} is {wanted[0]} x {wanted[1]} px",
        hint=hint,
    )
    mismatch.fits_rotated = shape == wanted[::-1]
    return mismatch
