"""Finds the gain reference that a movie was recorded with, and the file of its camera's defects.

In this order, and only as the movie's layout has it:

1. EPU's `STEM_gain.tiff` beside the movie.
2. The file that SerialEM's mdoc names, by its base name, or that file in another format: beside the movie, in the
   folders above up to the root, and in folders named `gain`, `references` and the like in each of these.
3. In the nearest of these folders that has some: for EER `*.gain`; else `CountRef_*`, `SuperRef_*`, `*_gain.*`,
   `gain*.*`, and any image in a folder named `gain`. They must have the movie's size. Of several, the time decides.

A movie that is known to be corrected already gets only what bears its own name.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from preprocess.correction.defect_files import DefectiveCamera, camera_of
from preprocess.gains.choosing import DatedFile, choose
from preprocess.gains.image_shapes import ImageShapes, shapes_of_gain
from preprocess.gains.need import GainNeed, judge_counts
from preprocess.gains.orientation_by_mdoc import orientation_by_mdoc
from preprocess.gains.reference_folders import ReferenceFolders
from preprocess.gains.reference_names import FALCON, IMAGE_SUFFIXES, is_named_after, is_serialems
from preprocess.input_files import open_regular
from preprocess.movies.packed_pixels import has_size_of_packed_frames
from preprocess.movies.stored_frames import StoredFrames, stored_frames
from preprocess.settings import GainSettings
from preprocess.sidecars import Sidecar, SidecarUnreadableError, file_beside, find_sidecars, read_sidecar

_EPU_ENDING = "_fractions"
_MOST_NAMED = 3
_BLOCK_BYTES = 1 << 20
_NO_SIDECAR = frozenset({errno.EFBIG, errno.EINVAL, errno.EISDIR, errno.ENOENT})
"""What a file is that has a sidecar's name and cannot be one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundGain:
    """A gain reference, how it lies (`settings.path` is its file), how it was found, and why it lies so, in words."""

    settings: GainSettings
    how: str
    turned_by: str = ""

    @property
    def found_by(self) -> str:
        """Return how it was found, and why it lies so."""
        return "; ".join(filter(None, (self.how, self.turned_by)))

    def as_chosen(self, by_user: GainSettings) -> GainSettings:
        """Return the user's settings with this file, and with how it lies unless the user says that."""
        found = replace(by_user, path=self.settings.path, found_by=self.how)
        if by_user.orientation == "given":
            return found
        return replace(
            found, rotate_degrees=self.settings.rotate_degrees, flip=self.settings.flip, found_by=self.found_by
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundReferences:
    """What was found for a movie.

    Attributes
    ----------
    missing_gain
        Where the gain reference is to be that the mdoc names, if it is nowhere.
    doubt
        Why a gain reference that is there was not taken, for people; empty if there is nothing to say.
    """

    gain: FoundGain | None = None
    missing_gain: Path | None = None
    defects: Path | None = None
    doubt: str = ""


class ReferenceFinder:
    """Finds references for many movies; what it learns about folders and files it keeps.

    Parameters
    ----------
    programs
        Whose rules apply: `epu`, `serialem`; see `preprocess.layouts.Layout`.
    root
        Returns the folder of a movie's session: no folder above it is looked into.
    """

    def __init__(self, programs: Collection[str], root: Callable[[Path], Path]) -> None:
        self._programs, self._root = programs, root
        self._folders, self._shapes = ReferenceFolders(), ImageShapes()
        self._cameras: dict[DatedFile, DefectiveCamera | None] = {}
        self._equal: dict[tuple[DatedFile, DatedFile], bool] = {}

    def find(self, movie: Path) -> FoundReferences:
        """Return the gain reference and the defects of a movie.

        Raises
        ------
        OSError
            That cannot be found out now.
        """
        if not self._programs:
            return FoundReferences()
        try:
            return self._find(movie)
        except (FileNotFoundError, NotADirectoryError):  # the movie or a reference came and went
            return FoundReferences()

    def _find(self, movie: Path) -> FoundReferences:
        if "epu" in self._programs and (beside := _epu_gain_beside(movie)) is not None:
            return FoundReferences(gain=_found(beside, "it is named after the movie"))
        sidecars = _sidecars_of(movie)
        mdoc = next((each for each in sidecars if each.source == "mdoc"), None)
        if mdoc is not None and "serialem" in self._programs and mdoc.gain_reference:
            return self._with_defects(movie, mdoc, self._named(movie, mdoc, mdoc.gain_reference))
        frames = stored_frames(movie)
        if frames is None or judge_counts(movie, frames, sidecars).need is GainNeed.NOT_NEEDED:
            return FoundReferences()
        return self._with_defects(movie, mdoc, self._searched(movie, mdoc, frames))

    # ---- by name

    def _named(self, movie: Path, mdoc: Sidecar, name: str) -> FoundReferences:
        """Return the file that the mdoc names, wherever it is."""
        if PurePath(name).suffix.lower() not in (*IMAGE_SUFFIXES, FALCON):
            return FoundReferences(doubt=f"its mdoc names {name}, which is no MRC, TIFF, DM4 or .gain file")
        stem = PurePath(name).stem
        names = [name, *(f"{stem}{suffix}" for suffix in (*IMAGE_SUFFIXES, FALCON) if stem + suffix != name)]
        for folder in self._places(movie):
            for each in names:
                if (path := self._file_in(folder, each)) is not None:
                    other = "" if path.name == name else f" as {name}"
                    return FoundReferences(gain=_turned(path, movie, mdoc, f"its mdoc names it{other}"))
        doubt = f"its mdoc names {name}, which is not in the movie's folder, in one above, or in one named gain there"
        return FoundReferences(missing_gain=movie.with_name(name), doubt=doubt)

    def _file_in(self, folder: Path, name: str) -> Path | None:
        """Return the file of that name in a folder; Windows takes upper and lower case for the same."""
        if (path := file_beside(folder / "movie", name)) is not None:
            return path
        names = self._folders.references(folder).gains
        return next((folder / each for each in names if each.lower() == name.lower()), None)

    # ---- by search

    def _searched(self, movie: Path, mdoc: Sidecar | None, frames: StoredFrames) -> FoundReferences:
        """Return the gain reference in the nearest place that has one of the movie's size."""
        wanted, others = shapes_of_gain(frames), list[str]()
        is_eer = frames.format == "eer" or movie.suffix.lower() == ".eer"
        for level in self._levels(movie):
            names = [self._folders.references(folder).gains for folder in self._at(level)]
            paths = [folder / name for folder, found in zip(self._at(level), names, strict=True) for name in found]
            files = [DatedFile.of(path) for path in paths if self._may_be_of(path, is_eer)]
            files = [file for file in files if not self._shapes.is_stack(file)]
            fitting = [file for file in files if self._shapes.shape(file) in wanted]
            unreadable = [file for file in files if self._shapes.shape(file) is None]  # not whole yet, or damaged
            others += [self._described(file) for file in files if file not in fitting + unreadable]
            fitting = self._of_own_size(fitting, frames) or unreadable
            if not fitting:
                continue
            own = [file for file in fitting if is_named_after(file.path.name, movie.stem)]
            choice = choose(DatedFile.of(movie), own or fitting, self._are_equal)
            if choice.path is None:
                undecided = ", ".join(path.name for path in choice.undecided)
                return FoundReferences(
                    doubt=f"nothing decides between gain references ({undecided}): they {choice.why}"
                )
            why = f"{choice.why} in {_place(choice.path)}" + _not_taken(others)
            return FoundReferences(gain=_turned(choice.path, movie, mdoc, why))
        return FoundReferences(doubt=_not_taken(others).removeprefix("; "))

    def _may_be_of(self, path: Path, is_eer: bool) -> bool:
        """Return whether a reference is of the kind that a movie of that format has, and may be looked for."""
        if is_eer != (path.suffix.lower() == FALCON):
            return False
        return "serialem" in self._programs or not is_serialems(path.name)

    def _of_own_size(self, files: list[DatedFile], frames: StoredFrames) -> list[DatedFile]:
        """Return those of the movie's own size, if there are any; else all."""
        own = {(frames.height, frames.width), (frames.width, frames.height)}
        return [file for file in files if self._shapes.shape(file) in own] or files

    def _described(self, file: DatedFile) -> str:
        height, width = self._shapes.shape(file) or (0, 0)
        return f"{file.path.name} has {width} x {height} px"

    def _are_equal(self, one: DatedFile, other: DatedFile) -> bool:
        if one.size_bytes != other.size_bytes:
            return False
        if (one, other) not in self._equal:
            self._equal[one, other] = _have_equal_content(one.path, other.path)
        return self._equal[one, other]

    # ---- places

    def _levels(self, movie: Path) -> Iterator[Path]:
        """Yield the movie's folder and those above it, up to the root."""
        root = self._root(movie)
        for folder in movie.parents:
            yield folder
            if folder == root:
                return

    def _at(self, level: Path) -> list[Path]:
        """Return a folder and those in it that people keep references in."""
        return [level, *(level / name for name in self._folders.references(level).folders)]

    def _places(self, movie: Path) -> Iterator[Path]:
        """Yield all folders to look into; the movie's first, without listing it."""
        for level in self._levels(movie):
            yield level
            yield from self._at(level)[1:]

    # ---- defects

    def _with_defects(self, movie: Path, mdoc: Sidecar | None, found: FoundReferences) -> FoundReferences:
        """Return what was found, with the defects of SerialEM's camera, if it is SerialEM's movie."""
        if mdoc is None or "serialem" not in self._programs:
            return found
        frames = stored_frames(movie)
        named = mdoc.defect_file
        places = list(self._places(movie))
        if found.gain is not None and found.gain.settings.path is not None:
            places.insert(0, found.gain.settings.path.parent)
        for folder in places:
            if named:
                names: Sequence[str] = (named,) if file_beside(folder / "movie", named) else ()
            else:
                names = self._folders.references(folder).defects
            files = [DatedFile.of(folder / name) for name in names]
            fitting = [file for file in files if frames is not None and self._is_for(file, frames, mdoc)]
            if not fitting:
                continue
            choice = choose(DatedFile.of(movie), fitting, self._are_equal)
            if choice.path is not None:
                return replace(found, defects=choice.path)
        return found

    def _is_for(self, file: DatedFile, frames: StoredFrames, mdoc: Sidecar) -> bool:
        """Return whether a file has defects of the camera whose frames lie as these do."""
        if file not in self._cameras:
            self._cameras[file] = camera_of(file.path)
        camera = self._cameras[file]
        if camera is None or camera.rotation_and_flip != (mdoc.rotation_and_flip or 0):
            return False
        shapes = {(frames.height, frames.width)}
        if frames.bits == 8 and has_size_of_packed_frames(frames.height, frames.width):
            shapes = {(frames.height, 2 * frames.width)}
        return any(camera.has(shape) for shape in shapes)


def _epu_gain_beside(movie: Path) -> Path | None:
    if movie.suffix.lower() == ".eer":
        return None
    is_fractions = movie.stem.lower().endswith(_EPU_ENDING)
    stem = movie.stem[: -len(_EPU_ENDING)] if is_fractions else movie.stem
    beside = (file_beside(movie, f"{stem}_gain{suffix}") for suffix in (".tiff", ".tif", ".mrc", ".dm4"))
    return next((path for path in beside if path is not None), None)


def _sidecars_of(movie: Path) -> list[Sidecar]:
    """Return what the files beside a movie say; those that say nothing are left out: the alignment names them."""
    found = []
    for path in find_sidecars(movie):
        try:
            sidecar = read_sidecar(path, movie)
        except SidecarUnreadableError as error:
            if isinstance(error.__cause__, OSError) and error.__cause__.errno not in _NO_SIDECAR:
                raise error.__cause__ from error
            continue
        if sidecar is not None:
            found.append(sidecar)
    return found


def _have_equal_content(one: Path, other: Path) -> bool:
    with open_regular(one) as first, open_regular(other) as second:
        while block := first.read(_BLOCK_BYTES):
            if block != second.read(len(block)):
                return False
    return True


def _found(path: Path, how: str) -> FoundGain:
    return FoundGain(settings=GainSettings(path=path), how=how)


def _turned(path: Path, movie: Path, mdoc: Sidecar | None, how: str) -> FoundGain:
    """Return a gain reference that lies as the mdoc says; a camera of Falcon's hands its own out as its frames lie."""
    if mdoc is None or movie.suffix.lower() == ".eer" or path.suffix.lower() == FALCON:
        return _found(path, how)
    settings = replace(orientation_by_mdoc(mdoc.rotation_and_flip), path=path)
    is_turned = settings.rotate_degrees or settings.flip != "none"
    turned_by = f"its mdoc says RotationAndFlip = {mdoc.rotation_and_flip}" if is_turned else ""
    return FoundGain(settings=settings, how=how, turned_by=turned_by)


def _place(path: Path) -> str:
    return f"the folder {path.parent.name}"


def _not_taken(others: Sequence[str]) -> str:
    """Return which references were not taken for their size; a long list is cut off."""
    if not others:
        return ""
    more = f" and {len(others) - _MOST_NAMED} more" if len(others) > _MOST_NAMED else ""
    return f"; not of the movie's size: {', '.join(others[:_MOST_NAMED])}{more}"
