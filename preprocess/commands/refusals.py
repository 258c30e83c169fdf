"""What `cryoferry align` refuses before it begins: outputs that would replace something, or each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from preprocess.commands.chosen_movies import MovieToAlign
from preprocess.errors import OutputRefused
from preprocess.outputs.finished import is_ours
from preprocess.outputs.output_names import output_paths


def refuse_collisions(movies: Sequence[MovieToAlign]) -> None:
    """Refuse movies that would write the same outputs, or over a movie.

    Raises
    ------
    OutputRefused
        Two movies have the same stem, or an output is one of the movies. The text names both.
    """
    first: dict[Path, Path] = {}
    for movie in movies:
        for path in output_paths(movie.path, movie.out).values():
            other = first.setdefault(path, movie.path)
            if other is not movie.path:
                raise OutputRefused(
                    f"{other} and {movie.path} would both write {path}",
                    hint="Run the command once for each, with another --out.",
                )
    inputs = {_identity(movie.path): movie.path for movie in movies}
    for _, path in _existing(movies):
        if (identity := _identity(path)) is not None and identity in inputs:
            raise OutputRefused(f"{path} is the input {inputs[identity]}: the output would replace it")


def refuse_existing(movies: Sequence[MovieToAlign]) -> None:
    """Refuse to replace results.

    Raises
    ------
    OutputRefused
        An output exists already.
    """
    for _, path in _existing(movies):
        raise OutputRefused(
            f"{path} exists already",
            hint="Give --resume to skip what is done, another --out, or --overwrite to replace it.",
        )


def refuse_foreign(movies: Sequence[MovieToAlign]) -> None:
    """Refuse to replace files that no alignment of ours wrote.

    Raises
    ------
    OutputRefused
        Another program wrote a file that has the name of an output.
    """
    checked = set[Path]()
    for movie, path in _existing(movies):
        if movie.path not in checked and not is_ours(movie.path, movie.out):
            raise OutputRefused(
                f"{path} exists already, and no alignment of cryoferry wrote it",
                hint="Give another --out, or --overwrite instead of --resume to replace it.",
            )
        checked.add(movie.path)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _existing(movies: Sequence[MovieToAlign]) -> Iterator[tuple[MovieToAlign, Path]]:
    """Yield the outputs that exist, and whose they are; each folder is listed once."""

    @cache
    def names_in(folder: Path) -> frozenset[str]:
        try:
            return frozenset(entry.name for entry in folder.iterdir())
        except OSError:
            return frozenset()

    for movie in movies:
        for path in output_paths(movie.path, movie.out).values():
            if path.name in names_in(movie.out):
                yield movie, path
