"""Which micrographs `cryoferry ctf` was given: those that are named, and those in folders that are named."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from preprocess.commands.chosen_movies import counts_by_reason
from preprocess.commands.folder_walk import InputInFolder, found_in
from preprocess.errors import OutputRefused, PreprocessError, UnreadableMovie
from preprocess.movies import open_movie
from preprocess.named_files import refuse_missing
from preprocess.outputs.ctf_results import aligned_ctf_file, is_of_ctf_command
from preprocess.outputs.ctf_star import ALL_STAR, RELIABLE_STAR
from preprocess.outputs.micrographs_star import listed_micrographs
from preprocess.outputs.output_names import CTF_RESULTS, CTF_RESULTS_ENDING, ENDINGS, output_paths, output_stem

EXTENSIONS = frozenset({".mrc", ".tif", ".tiff"})
NO_IMAGE_EXTENSION = "not an image's extension"
_ROLES = [role for role in ENDINGS if role.startswith("ctf_")]
_HALVES = (ENDINGS["micrograph_even"], ENDINGS["micrograph_odd"])


@dataclass(frozen=True, slots=True)
class ChosenMicrographs:
    """The micrographs in their order, and what in the named folders is none, by path, with the reason."""

    micrographs: list[InputInFolder]
    passed_over: dict[Path, str]


def choose_micrographs(named: Sequence[Path], out: Path | None) -> ChosenMicrographs:
    """Return the micrographs that were named, and those in the folders that were named, each once.

    Raises
    ------
    InputMissing
        Nothing has one of the names.
    UnreadableMovie
        There is no micrograph in one of the folders.
    """
    chosen = ChosenMicrographs([], {})
    for path in named:
        refuse_missing(path)
    seen = set[Path]()
    for path in named:
        found = [InputInFolder(path, out or path.parent, path.name)]
        if path.is_dir():
            found = list(found_in(path, out, _judged, chosen.passed_over))
            if not found:
                about = counts_by_reason({p: why for p, why in chosen.passed_over.items() if p.is_relative_to(path)})
                raise UnreadableMovie(
                    f"there is no micrograph in the folder {path}", hint=f"What is in it: {about or 'It has no files.'}"
                )
        chosen.micrographs.extend(each for each in found if _entry(each.path) not in seen)
        seen.update(_entry(each.path) for each in found)
    return chosen


def _entry(path: Path) -> Path:
    """Return the name by which a file is known, however its folder was named; links to one file are several."""
    return path.parent.resolve() / path.name


def ctf_output_paths(micrograph: InputInFolder) -> dict[str, Path]:
    """Return where each output of a micrograph goes, by role, whether it will be written or not."""
    paths = output_paths(micrograph.path, micrograph.out)
    results = micrograph.out / f"{output_stem(micrograph.path)}{CTF_RESULTS_ENDING}"
    return {role: paths[role] for role in _ROLES} | {CTF_RESULTS: results}


def refuse_outputs(micrographs: Sequence[InputInFolder], *, overwrite: bool, resume: bool) -> None:
    """Refuse micrographs that would write the same outputs, or over one of them, or over what is there.

    A resumption may write over what this command wrote. Nothing may write over what `cryoferry align` wrote: its
    STEM.json would list files that are other ones now.

    Raises
    ------
    OutputRefused
    """
    inputs = {each.path.resolve() for each in micrographs}
    first: dict[Path, Path] = {}
    for micrograph in micrographs:
        for path in ctf_output_paths(micrograph).values():
            other = first.setdefault(path, micrograph.path)
            if other is not micrograph.path:
                raise OutputRefused(
                    f"{other} and {micrograph.path} would both write {path}",
                    hint="Run the command once for each, with another --out.",
                )
            if path.resolve() in inputs:
                raise OutputRefused(f"{path} is one of the images: the output would replace it")
        _refuse_aligned(micrograph)
        if not overwrite:
            _refuse_existing(micrograph, resume=resume)


def refuse_lists(micrographs: Sequence[InputInFolder], out: Path) -> None:
    """Refuse to replace lists that name other micrographs than those that were named now: they would be lost.

    They are of `cryoferry align`, of another program, or of this command for others.

    Raises
    ------
    OutputRefused
    """
    named = {each.path.absolute() for each in micrographs}
    names = {path.name for path in named}
    for path in (out / name for name in (RELIABLE_STAR, ALL_STAR)):
        try:
            listed = listed_micrographs(path)
        except FileNotFoundError:
            continue
        except OSError:
            listed = None
        # A list that was written from another folder names what is not there, seen from here.
        others = [
            each for each in listed or () if each.absolute() not in named and (each.exists() or each.name not in names)
        ]
        if listed is None or others:
            what = (
                f"lists {len(others)} micrographs besides, such as {others[0]}"
                if others
                else "was not written by this command"
            )
            raise OutputRefused(
                f"{path} {what}; --star would replace it",
                hint="Give another --out, or name all of its micrographs, or leave --star out.",
            )


def _refuse_aligned(micrograph: InputInFolder) -> None:
    paths = output_paths(micrograph.path, micrograph.out)
    if (written := aligned_ctf_file(paths)) is not None:
        raise OutputRefused(
            f"{written} was written by `cryoferry align`, which estimates from the movie's frames, and "
            f"{paths['results'].name} lists it; it is not replaced",
            hint="Give another --out; then the two estimates can be compared.",
        )


def _refuse_existing(micrograph: InputInFolder, *, resume: bool) -> None:
    paths = ctf_output_paths(micrograph)
    existing = next((path for path in paths.values() if path.exists()), None)
    if existing is None or (resume and is_of_ctf_command(paths, output_paths(micrograph.path, micrograph.out))):
        return
    if resume:
        raise OutputRefused(
            f"{existing} exists already, and `cryoferry ctf` did not write it",
            hint="Give another --out, or --overwrite instead of --resume to replace it.",
        )
    raise OutputRefused(
        f"{existing} exists already",
        hint="Give --resume to skip what is done, another --out, or --overwrite to replace it.",
    )


def _judged(folder: Path, files: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield a folder's files, each with the reason why it is passed over; empty for a micrograph."""
    names = set(files)
    for name in sorted(names):
        yield name, _why_not(folder / name, names)


def _why_not(path: Path, siblings: Collection[str]) -> str:
    """Return why a file is passed over: by its name, else by its header."""
    if (why := _why_not_by_name(path, siblings)) != "":
        return why
    try:
        count = open_movie(path, threads=1).frame_count
    except (OSError, PreprocessError):
        return ""  # estimating says why it cannot be read
    return "" if count == 1 else "a movie or a stack of images"


def _why_not_by_name(path: Path, siblings: Collection[str]) -> str:
    unweighted = f"{path.stem}{ENDINGS['micrograph_unweighted']}"
    reasons = {
        "a hidden file": path.name.startswith("."),
        NO_IMAGE_EXTENSION: path.suffix.lower() not in EXTENSIONS,
        "the spectrum of a CTF estimate": path.name.endswith(ENDINGS["ctf_spectrum"]),
        "the sum of half the frames; name the file itself if its CTF is wanted": path.name.endswith(_HALVES),
        "dose-weighted; the sum without dose weighting is taken": unweighted in siblings,
    }
    return next((why for why, is_so in reasons.items() if is_so), "")
