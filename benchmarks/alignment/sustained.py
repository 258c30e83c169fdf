"""How many movies an hour one process aligns, file to written micrograph, over many movies in a row."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.alignment.contestants import align_command
from benchmarks.alignment.movies import BenchMovie
from benchmarks.errors import BenchmarkError
from benchmarks.measuring import measure


@dataclass(frozen=True, slots=True, kw_only=True)
class Sustained:
    """Movies in a row through one process.

    Attributes
    ----------
    movies, distinct_files : int
        How many were aligned, and of how many files' content; the others are the same files by other names.
    file_bytes : int
        Size of the distinct files; what fits the page cache is read from a disk once at most.
    wall_s : float | None
        Of the whole process, its start included.
    movies_per_hour : float | None
        Between the first movie's end and the last one's, so without the start. None for one movie.
    read_bytes_per_s : float | None
        Of compressed movies, in the same time.
    failure : str | None
        Why nothing came, or what became of a movie.
    """

    preset: str
    device: str
    movies: int
    distinct_files: int
    file_bytes: int
    wall_s: float | None = None
    cpu_s: float | None = None
    peak_bytes: int | None = None
    movies_per_hour: float | None = None
    read_bytes_per_s: float | None = None
    failure: str | None = None

    def as_object(self) -> dict[str, Any]:
        """Return the figures for JSON."""
        return asdict(self)


class _Ends:
    """Notes when each movie was done, and removes what was written for it: a long run must not fill the disk."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self.at_s: list[float] = []
        self.failure: str | None = None

    def note(self, line: str) -> None:
        """Take one line of `align --json`."""
        self.at_s.append(time.perf_counter())
        report = json.loads(line)
        if "error" in report:
            self.failure = self.failure or report["error"]["message"]
            return
        for path in report["files"].values():
            Path(path).unlink()


def sustain(
    movies: Sequence[BenchMovie], count: int, device: str, work: Path, *, threads: int, environment: Mapping[str, str]
) -> Sustained:
    """Align `count` movies, those of one preset in turns, in one process of `cryoferry align`."""
    links = link_movies(movies, count, work / "movies")
    ends = _Ends(work / "out")
    figures = Sustained(
        preset=movies[0].preset or movies[0].label,
        device=device,
        movies=count,
        distinct_files=min(count, len(movies)),
        file_bytes=sum(movie.path.stat().st_size for movie in movies[:count]),
    )
    command = align_command(movies[0], links, work / "out", threads, device)
    try:
        took = measure(
            [*command, "--unweighted"],
            cwd=work,
            log=work / "stderr.log",
            environment=environment,
            each_line=ends.note,
        )
    except BenchmarkError as error:
        return _with(figures, failure=ends.failure or str(error))
    finally:
        shutil.rmtree(work, ignore_errors=True)
    between = ends.at_s[-1] - ends.at_s[0]
    read = sum(movies[index % len(movies)].path.stat().st_size for index in range(1, count))
    return _with(
        figures,
        wall_s=took.wall_s,
        cpu_s=took.cpu_s,
        peak_bytes=took.peak_bytes,
        movies_per_hour=3600 * (count - 1) / between if between > 0 else None,
        read_bytes_per_s=read / between if between > 0 else None,
    )


def link_movies(movies: Sequence[BenchMovie], count: int, folder: Path) -> list[Path]:
    """Give movies `count` different names in a folder, in turns; by hard links, or symbolic ones across disks."""
    folder.mkdir(parents=True, exist_ok=True)
    links = []
    for index in range(count):
        movie = movies[index % len(movies)].path
        link = folder / f"movie_{index + 1:04d}{movie.suffix}"
        try:
            link.hardlink_to(movie)
        except OSError:
            link.symlink_to(movie)
        links.append(link)
    return links


def _with(figures: Sustained, **more: Any) -> Sustained:
    return Sustained(**{**asdict(figures), **more})
