"""Reads a micrograph that exists: one image in an MRC or TIFF file, as it lies in the file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess.errors import PreprocessError, UnreadableMovie, UnsupportedFormat
from preprocess.movie_warning import MovieWarning
from preprocess.movies import EXTENSIONS, open_movie
from preprocess.movies.mrc import MrcMovie
from preprocess.movies.mrc_header import HEADER_BYTES, read_mrc_header
from preprocess.movies.tiff import TiffMovie

LARGEST_BAD_SHARE = 0.01
"""Of the pixels may be no finite numbers; more are no defects."""
MAPPED_FROM_PIXELS = 1 << 27
_ROWS_AT_ONCE = 256
READ_AGAIN = "Copy the image again. If it is damaged where it comes from too, leave it out."
"""What to do about an image that cannot be read."""


@dataclass(frozen=True, slots=True)
class MicrographFile:
    """An opened micrograph: what its header says.

    Attributes
    ----------
    header_pixel_size_angstrom : float | None
        None if the header does not say it (0, 1.0 Å and 72 dpi mean nothing).
    """

    path: Path
    width: int
    height: int
    number_type: str
    header_pixel_size_angstrom: float | None
    movie: MrcMovie | TiffMovie

    @property
    def remarks(self) -> tuple[MovieWarning, ...]:
        """Return what a user should know about how the file is read."""
        return self.movie.remarks

    def pixels(self) -> NDArray[np.float32]:
        """Return the image, row 0 of the file first; a large float32 MRC image lies in the file, not in memory.

        Raises
        ------
        UnreadableMovie
            It cannot be decoded, or holds too many values that are not finite numbers.
        """
        try:
            pixels = _mapped(self.path) if self._is_large else None
            if pixels is None:
                frame = self.movie.stored_frame(0)
                lying = frame[::-1] if isinstance(self.movie, TiffMovie) else frame  # which is flipped on reading
                pixels = np.ascontiguousarray(lying, np.float32)
        except OSError as error:
            raise UnreadableMovie(f"{self.path}: {error.strerror or error}", hint=READ_AGAIN) from error
        except UnreadableMovie as error:
            error.hint = READ_AGAIN
            raise
        self._refuse_not_finite(pixels)
        return pixels

    @property
    def _is_large(self) -> bool:
        """Return whether a float32 MRC image is better not read as a whole.

        Smaller ones are: a share that fails while a part of a mapped file is read ends the process.
        """
        is_float32 = isinstance(self.movie, MrcMovie) and self.number_type == "float32"
        return is_float32 and self.width * self.height >= MAPPED_FROM_PIXELS

    def _refuse_not_finite(self, pixels: NDArray[np.float32]) -> None:
        starts = range(0, self.height, _ROWS_AT_ONCE)
        bad = pixels.size - sum(np.count_nonzero(np.isfinite(pixels[top : top + _ROWS_AT_ONCE])) for top in starts)
        if bad > LARGEST_BAD_SHARE * pixels.size:
            raise UnreadableMovie(
                f"{self.path}: {bad / pixels.size:.0%} of its pixels are no finite numbers (NaN or infinity)",
                hint="Make the image again with a program that leaves no such pixels.",
            )


def open_micrograph(path: Path) -> MicrographFile:
    """Open a micrograph; only headers are read.

    Raises
    ------
    UnreadableMovie
        No such file, a folder, empty, truncated or corrupt.
    UnsupportedFormat
        Not a format or number type that is read, or a movie or volume.
    """
    if path.suffix.lower() not in EXTENSIONS and not path.is_dir():
        ending = f"{path.suffix} is not the extension of a micrograph" if path.suffix else "there is no extension"
        raise UnsupportedFormat(f"{path}: {ending}", hint=f"Micrographs end in {', '.join(sorted(EXTENSIONS))}.")
    try:
        movie = open_movie(path, threads=1)
    except UnsupportedFormat as error:
        error.hint = "Give micrographs in MRC or TIFF format."
        raise
    except PreprocessError as error:
        error.hint = READ_AGAIN
        raise
    if not isinstance(movie, MrcMovie | TiffMovie):
        raise UnsupportedFormat(f"{path} is an EER movie, not a micrograph", hint=_align_first(path))
    if movie.frame_count != 1:
        raise UnsupportedFormat(
            f"{path} holds {movie.frame_count} images: it is a movie, a stack or a volume, not a micrograph",
            hint=_align_first(path),
        )
    return MicrographFile(path, movie.width, movie.height, str(movie.dtype), movie.header_pixel_size_angstrom, movie)


def _align_first(path: Path) -> str:
    return f"If it is a movie, `cryoferry align {path.name}` estimates its CTF; else give its images one by one."


def _mapped(path: Path) -> NDArray[Any] | None:
    """Return the pixels of an uncompressed float32 image as a part of its file; None in the other byte order."""
    with path.open("rb") as file:
        header = read_mrc_header(file.read(HEADER_BYTES))
    if header.stored_dtype is None or not header.stored_dtype.isnative:
        return None
    shape = header.height, header.width
    return np.memmap(path, header.stored_dtype, "c", header.data_offset, shape).view(np.ndarray)
