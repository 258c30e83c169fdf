"""What one movie is to be aligned with, as the source is now: its gain reference, its defect file, its sidecars."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TypeVar

from blake3 import blake3

from agents.journal.file_identity import FileIdentity
from agents.journal.inputs import InputKind, UsedInput, Version
from agents.journal.movie_names import movie_name
from agents.share_errors import error_of_share
from preprocess.exposure.chosen import ChosenAlignment
from preprocess.gains.finding import FoundGain, FoundReferences, ReferenceFinder
from preprocess.gains.need import GainNeed, JudgedCounts, judge_counts
from preprocess.input_files import open_regular
from preprocess.movies.stored_frames import stored_frames
from preprocess.sidecars import (
    Sidecar,
    SidecarUnreadableError,
    content_about,
    find_sidecars,
    is_shared,
    read_sidecar,
)

_BLOCK_BYTES = 4 << 20
_Said = TypeVar("_Said")


class NamedInputs(NamedTuple):
    """What the user says about a movie's files.

    Attributes
    ----------
    gain, defects
        The files that are named.
    no_gain, requires_gain
        It has no gain reference; it is not to be aligned without one.
    """

    gain: Path | None = None
    defects: Path | None = None
    no_gain: bool = False
    requires_gain: bool = False


class FoundInput(NamedTuple):
    """One input of a movie.

    Attributes
    ----------
    identity
        None: it was named, by the user or by a sidecar, and is not there.
    is_shared
        It is the sidecar of many movies, which changes with each of them, such as that of a tilt series.
    gain
        Of a gain reference that nobody named: how it lies, and how it was found.
    """

    kind: InputKind
    path: Path
    identity: FileIdentity | None
    is_shared: bool = False
    gain: FoundGain | None = None

    def used(self, source: Path, digest: str | None = None) -> UsedInput:
        """Return what the journal notes of it."""
        version = None if self.identity is None else Version.of(self.identity)
        return UsedInput(self.kind, input_name(source, self.path), version, digest)


class MovieInputs(list[FoundInput]):
    """All inputs of a movie; `doubt` says why a gain reference that is there was not taken."""

    def __init__(self, found: Iterable[FoundInput] = (), doubt: str = "") -> None:
        super().__init__(found)
        self.doubt = doubt


def input_name(source: Path, path: Path) -> str:
    """Return the name of an input: relative to the source if it lies there."""
    return movie_name(path.relative_to(source).as_posix() if path.is_relative_to(source) else str(path))


def find_inputs(movie: Path, named: NamedInputs, finder: ReferenceFinder) -> MovieInputs:
    """Return the inputs of a movie; of those that nobody named, the ones that are there.

    Parameters
    ----------
    finder
        Looks for what the user did not name.

    Raises
    ------
    OSError
        That cannot be found out now.
    """
    found, gain = FoundReferences(), named.gain
    if not (named.gain or named.no_gain) or named.defects is None:
        found = finder.find(movie)
    if not (named.gain or named.no_gain):
        gain = found.missing_gain if found.gain is None else found.gain.settings.path
    inputs = MovieInputs(doubt="" if named.gain or named.no_gain else found.doubt)
    if gain is not None:
        of_found = None if named.gain else found.gain
        inputs.append(FoundInput(InputKind.GAIN, gain, _identity(gain), gain=of_found))
    if (defects := named.defects or found.defects) is not None:
        inputs.append(FoundInput(InputKind.DEFECTS, defects, _identity(defects)))
    sidecars = [
        FoundInput(InputKind.SIDECAR, path, _identity(path), is_shared(path, movie))
        for path in find_sidecars(movie, with_collections=False)
    ]
    inputs += [each for each in sidecars if each.identity is not None]
    return inputs


def with_found_inputs(chosen: ChosenAlignment, inputs: MovieInputs) -> ChosenAlignment:
    """Return the choices with the gain reference and the defects that were found, where the user named none.

    How the gain reference lies is the user's choice too, if it was made.
    """
    there = {each.kind: each for each in inputs if each.identity is not None}
    gain, defects = chosen.settings.gain, chosen.settings.defects
    if gain.path is None and (found := there.get(InputKind.GAIN)) is not None:
        gain = replace(gain, path=found.path)
        if found.gain is not None:
            gain = found.gain.as_chosen(gain)
    elif gain.path is None:
        gain = replace(gain, not_found=inputs.doubt)
    if defects.path is None and InputKind.DEFECTS in there:
        defects = replace(defects, path=there[InputKind.DEFECTS].path)
    return replace(chosen, settings=replace(chosen.settings, gain=gain, defects=defects))


def judged_counts(movie: Path) -> JudgedCounts:
    """Return whether a movie needs a gain reference, by its first header and its sidecars.

    Raises
    ------
    OSError
        That cannot be found out now.
    """
    frames = stored_frames(movie)
    if frames is None:
        return JudgedCounts(GainNeed.UNKNOWN, "its header cannot be read")
    sidecars = (_read_sidecar(path, movie) for path in find_sidecars(movie))
    return judge_counts(movie, frames, [each for each in sidecars if each is not None])


def input_digest(
    kind: InputKind, path: Path, movie: Path, on_progress: Callable[[], None] = lambda: None
) -> str | None:
    """Return the BLAKE3 digest of an input; None if it is gone, or a sidecar that says nothing about the movie.

    Of a sidecar that is about many movies, what it says about this one is digested.

    Raises
    ------
    OSError
        It cannot be read now.
    """
    try:
        said = _what_it_says(path, movie) if kind is InputKind.SIDECAR else b""
        if said is None:
            return None
        digest = blake3(said)
        if said:
            return digest.hexdigest()
        with open_regular(path) as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
                on_progress()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return digest.hexdigest()


def _what_it_says(sidecar: Path, movie: Path) -> bytes | None:
    """Return what a sidecar says about a movie, b"" if all of it is about the movie; None: nothing."""
    if not is_shared(sidecar, movie):
        return None if _read_sidecar(sidecar, movie) is None else b""
    return _if_readable(lambda: content_about(sidecar, movie))


def _read_sidecar(sidecar: Path, movie: Path) -> Sidecar | None:
    return _if_readable(lambda: read_sidecar(sidecar, movie))


def _if_readable(read: Callable[[], _Said | None]) -> _Said | None:
    """Return what is read of a sidecar; None where it is no sidecar."""
    try:
        return read()
    except SidecarUnreadableError as error:
        if (of_share := error_of_share(error)) is not None:
            raise of_share from error
        return None


def _identity(path: Path) -> FileIdentity | None:
    """Return what identifies an input; None if it is not there, or is no regular file, which reading may wait for."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return FileIdentity.of(status) if stat.S_ISREG(status.st_mode) else None
