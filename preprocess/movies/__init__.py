"""Movies: TIFF, MRC and EER behind one contract.

```python
from preprocess.movies import open_movie

movie = open_movie(Path("FoilHole_1_Data_2_fractions.tiff"))
total = np.zeros((movie.height, movie.width), np.float32)
for frame in movie.frames():  # one by one, decoded ahead in threads
    total += frame
```
"""

from __future__ import annotations

from pathlib import Path

from preprocess.errors import UnreadableMovie, UnsupportedFormat
from preprocess.input_files import open_regular
from preprocess.movies.eer import EerMovie
from preprocess.movies.movie import Frame, Movie
from preprocess.movies.mrc import MrcMovie
from preprocess.movies.recognise import EXTENSIONS, recognise
from preprocess.movies.structure import missing_in
from preprocess.movies.tiff import TiffMovie
from preprocess.movies.tiff_layout import LayoutIncompleteError
from preprocess.platform import usable_cores
from preprocess.settings import EerSettings

__all__ = ["EXTENSIONS", "Frame", "Movie", "open_movie"]

_USUAL_GROUPING = EerSettings()


def open_movie(path: Path, eer: EerSettings = _USUAL_GROUPING, *, threads: int = 0) -> Movie:
    """Open a movie, whatever its format; only headers are read.

    The extension must be a movie's (`.mrc .mrcs .tif .tiff .eer`, in either case); the content decides how it is read.

    Parameters
    ----------
    path
        The movie's file.
    eer
        How an EER file's hardware frames make frames; see `preprocess.movies.eer`.
    threads
        Threads that decode ahead, and frames decoded ahead; 0: one for each core that this process may use.

    Raises
    ------
    UnreadableMovie
        No such file, a folder, empty, truncated, corrupt, or frames of unequal size; the text names file and frame.
    UnsupportedFormat
        An extension, MRC mode, compression or number type that is not read.
    """
    path = Path(path)
    if path.suffix.lower() not in EXTENSIONS:
        if path.is_dir():
            raise UnreadableMovie(f"{path} is a folder, not a movie", hint=f"Name its movies, such as {path}/*.tiff.")
        ending = f"{path.suffix} is not the extension of a movie" if path.suffix else "there is no extension"
        raise UnsupportedFormat(f"{path}: {ending}", hint=f"Movies end in {', '.join(sorted(EXTENSIONS))}.")
    try:
        return _open(path, eer, threads or usable_cores())
    except OSError as error:
        hint = "Check the path and its permissions."
        raise UnreadableMovie(f"{path}: {error.strerror or error}", hint=hint) from error
    except LayoutIncompleteError as error:
        raise UnreadableMovie(f"{path}: {error}") from error


def _open(path: Path, eer: EerSettings, threads: int) -> Movie:
    size = path.stat().st_size
    with open_regular(path) as file:
        if size == 0:
            raise UnreadableMovie(f"{path}: the file is empty")
        kind = recognise(file, size)
        if kind is None:
            raise UnreadableMovie(f"{path}: the content is neither MRC, TIFF nor EER")
        missing = missing_in(file, size) if kind == "mrc" else None  # the others' readers walk their pages themselves
    if missing is not None:
        raise UnreadableMovie(f"{path}: {missing}")
    if kind == "mrc":
        return MrcMovie(path, threads=threads)
    if kind == "tiff":
        return TiffMovie(path, threads=threads)
    return EerMovie(path, eer, threads=threads)
