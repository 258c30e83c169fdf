"""Which movies `cryoferry align` was given: those that are named, and those in folders that are named."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from preprocess.commands.folder_walk import found_in
from preprocess.errors import PreprocessError, UnreadableMovie
from preprocess.input_files import open_regular
from preprocess.layouts import LAYOUTS, Doubt
from preprocess.layouts.contents import why_no_movie
from preprocess.layouts.layout import NO_MOVIES_EXTENSION
from preprocess.movies import open_movie
from preprocess.movies.tiff_layout import LayoutIncompleteError, is_tiff, tiff_pages
from preprocess.named_files import refuse_missing
from preprocess.outputs.output_names import ENDINGS

_RULES = LAYOUTS["auto"]
_ALWAYS_WRITTEN = (ENDINGS["results"], ENDINGS["motion_star"])
_MICROGRAPHS = [ending for role, ending in ENDINGS.items() if role.startswith("micrograph")]


@dataclass(frozen=True, slots=True)
class MovieToAlign:
    """A movie, the folder of its outputs, and its name for people: its path inside the folder that was named."""

    path: Path
    out: Path
    name: str


@dataclass(frozen=True, slots=True)
class ChosenMovies:
    """The movies in their order, and what in the named folders is none, by path, with the reason."""

    movies: list[MovieToAlign]
    passed_over: dict[Path, str]


def choose_movies(named: Sequence[Path], out: Path) -> ChosenMovies:
    """Return the movies that were named, and those in the folders that were named.

    Of a folder, the outputs go to folders in `out` that lie as the movies do. Links to folders are not followed.

    Raises
    ------
    InputMissing
        Nothing has one of the names.
    UnreadableMovie
        There is no movie in one of the folders.
    """
    chosen = ChosenMovies([], {})
    seen = set[Path]()
    for path in named:
        refuse_missing(path)
    for path in named:
        if path.is_dir():
            found = [MovieToAlign(*file) for file in found_in(path, out, _judged, chosen.passed_over)]
        else:
            found = [MovieToAlign(path, out, path.name)]
        if not found:
            raise _no_movie(path, chosen.passed_over)
        chosen.movies.extend(each for each in found if each.path.absolute() not in seen or not path.is_dir())
        seen.update(each.path.absolute() for each in found)
    return chosen


def _no_movie(folder: Path, passed_over: dict[Path, str]) -> UnreadableMovie:
    inside = {path: why for path, why in passed_over.items() if path.is_relative_to(folder)}
    about = counts_by_reason(inside) or "It has no files."
    return UnreadableMovie(f"there is no movie in the folder {folder}", hint=f"What is in it: {about}")


def counts_by_reason(passed_over: dict[Path, str]) -> str:
    """Return for each reason how many files there are, and the names of a few that look like movies."""
    names: dict[str, list[str]] = {}
    for path, why in passed_over.items():
        names.setdefault(why, []).append(path.name)
    parts = []
    for why, those in sorted(names.items(), key=lambda item: (-len(item[1]), item[0])):
        more = ", …" if len(those) > 2 else ""
        some = "" if why == NO_MOVIES_EXTENSION else f" ({', '.join(those[:2])}{more})"
        parts.append(f"{len(those)} file{'s' * (len(those) > 1)}: {why}{some}")
    return "; ".join(parts)


def _judged(folder: Path, files: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield a folder's files, each with the reason why it is no movie; empty for a movie."""
    names = set(files)
    for name in sorted(names):
        why = _RULES.recognise(name, names).not_a_movie
        if not why:
            why = _by_content(folder / name, _RULES.doubt(name, names))
        if not why and _is_result(name, names):
            why = "a result of an alignment"
        if not why and _is_one_image(folder / name):
            why = "one image, no movie; name the file itself if it is to be aligned"
        yield name, why


def _by_content(path: Path, doubt: Doubt | None) -> str:
    try:
        return "" if doubt is None else why_no_movie(path, doubt)
    except OSError:
        return ""  # aligning it says why it cannot be read


def _is_result(name: str, siblings: Collection[str]) -> bool:
    """Return whether a file is a micrograph that lies beside its other results."""
    stems = [name.removesuffix(ending) for ending in _MICROGRAPHS if name.endswith(ending)]
    return any(all(stem + ending in siblings for ending in _ALWAYS_WRITTEN) for stem in stems)


def _is_one_image(path: Path) -> bool:
    """Return whether a file holds one image; False for what cannot be read: aligning it says why."""
    if path.suffix.lower() == ".eer":
        return False
    try:
        size = path.stat().st_size
        with open_regular(path) as file:
            if is_tiff(file.read(8)):
                pages = tiff_pages(file, size)
                next(pages)
                if next(pages, None) is not None:
                    return False
        return open_movie(path, threads=1).frame_count == 1
    except (OSError, LayoutIncompleteError, PreprocessError):
        return False
