"""How large gain references are, and whether that is a movie's size."""

from __future__ import annotations

from pathlib import Path

from preprocess.correction.dm4_image import DM4_EXTENSIONS, dm4_shape
from preprocess.correction.reference_image import image_count
from preprocess.errors import PreprocessError, UnreadableMovie
from preprocess.gains.choosing import DatedFile
from preprocess.gains.reference_names import FALCON
from preprocess.movies.packed_pixels import has_size_of_packed_frames
from preprocess.movies.stored_frames import StoredFrames, stored_frames

Shape = tuple[int, int]


class ImageShapes:
    """Shapes of reference images, each read once for each version of a file."""

    def __init__(self) -> None:
        self._known: dict[DatedFile, Shape | None] = {}
        self._stacks: dict[DatedFile, bool] = {}

    def shape(self, image: DatedFile) -> Shape | None:
        """Return height and width; None if the file does not say: it is cut off, damaged, or no image.

        Raises
        ------
        OSError
            It cannot be read now.
        """
        if image not in self._known:
            self._known[image] = _shape(image.path)
        return self._known[image]

    def is_stack(self, image: DatedFile) -> bool:
        """Return whether a file holds several images, such as a movie that is kept among gain references.

        Raises
        ------
        OSError
            It cannot be read now.
        """
        if image not in self._stacks:
            self._stacks[image] = _is_stack(image.path)
        return self._stacks[image]


def _is_stack(path: Path) -> bool:
    if path.suffix.lower() == FALCON:
        return False  # its first image counts
    try:
        return image_count(path) > 1
    except PreprocessError:
        return False


def _shape(path: Path) -> Shape | None:
    if path.suffix.lower() not in DM4_EXTENSIONS:
        frames = stored_frames(path)
        return None if frames is None else (frames.height, frames.width)
    try:
        return dm4_shape(path)
    except UnreadableMovie:
        return None


def shapes_of_gain(frames: StoredFrames) -> set[Shape]:
    """Return the shapes that a gain reference for a movie may have: it may be rotated, and an EER's may be doubled."""
    sizes = {(frames.height, frames.width)}
    if frames.bits == 8 and has_size_of_packed_frames(frames.height, frames.width):
        sizes.add((frames.height, 2 * frames.width))
    if frames.format == "eer":
        sizes.add((2 * frames.height, 2 * frames.width))
    return sizes | {(width, height) for height, width in sizes}
