"""How many movies an hour one process aligns, file to written micrograph, over many movies in a row.

It is a process of `cryoferry align`, or the worker process of an agent, which does the same with an agent's defaults:
movies' digests are computed, there is no unweighted micrograph.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from agents.workers.jobs import to_json
from benchmarks.alignment.contestants import align_command
from benchmarks.alignment.movies import BenchMovie
from benchmarks.errors import BenchmarkError
from benchmarks.measuring import measure
from preprocess.exposure.acquisition import Acquisition
from preprocess.exposure.chosen import ChosenAlignment
from preprocess.settings import AlignmentSettings, EerSettings, GainSettings

Process = Literal["align", "worker"]
"""In what process movies are aligned: that of the command, or a worker's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sustained:
    """Movies in a row through one process.

    Attributes
    ----------
    process : Process
        Whether `cryoferry align` or an agent's worker aligned them.
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
    process: Process
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
    movies: Sequence[BenchMovie],
    count: int,
    device: str,
    work: Path,
    *,
    process: Process,
    threads: int,
    environment: Mapping[str, str],
) -> Sustained:
    """Align `count` movies, those of one preset in turns, in one process."""
    links = link_movies(movies, count, work / "movies")
    ends = _Ends(work / "out")
    figures = Sustained(
        preset=movies[0].preset or movies[0].label,
        device=device,
        process=process,
        movies=count,
        distinct_files=min(count, len(movies)),
        file_bytes=sum(movie.path.stat().st_size for movie in movies[:count]),
    )
    if process == "align":
        command = [*align_command(movies[0], links, work / "out", threads, device), "--unweighted"]
        command += ["--gain-orientation", _gain_orientation(movies[0])]
    else:
        command = _worker_command(movies[0], links, work, threads, device)
    try:
        took = measure(
            command,
            cwd=work,
            log=work / "stderr.log",
            environment=environment,
            each_line=ends.note,
        )
    except BenchmarkError as error:
        return _with(figures, failure=ends.failure or str(error))
    finally:
        shutil.rmtree(work, ignore_errors=True)
    if ends.failure is not None:  # a worker goes on with the next movie
        return _with(figures, failure=ends.failure)
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


def _gain_orientation(movie: BenchMovie) -> Literal["auto", "given"]:
    """Return how the gain reference lies: a simulated one as it is, whether or not a faint movie could show that."""
    return "given" if movie.preset else "auto"


def _worker_command(movie: BenchMovie, links: Sequence[Path], work: Path, threads: int, device: str) -> list[str]:
    """Return the command that aligns files, all like `movie`, in a worker process."""
    eer = EerSettings()
    if movie.hardware_frames_per_frame is not None:
        eer = EerSettings(hardware_frames_per_frame=movie.hardware_frames_per_frame)
    settings = AlignmentSettings(
        gain=GainSettings(path=movie.gain, orientation=_gain_orientation(movie)),
        eer=eer,
        bin_factor=movie.bin_factor,
        device=device,
        threads=threads,
    )
    given = Acquisition(
        pixel_size_angstrom=movie.pixel_size_angstrom,
        voltage_kv=movie.voltage_kv,
        dose_per_frame_e_per_a2=movie.dose_per_frame_e_per_a2,
    )
    chosen = ChosenAlignment(settings=settings, flags=given, configured=Acquisition())
    job = {"settings": to_json(chosen), "movies": [str(link) for link in links], "out": str(work / "out")}
    (work / "job.json").write_text(json.dumps(job), "utf-8")
    return [sys.executable, "-m", "benchmarks.alignment.worker_run", str(work / "job.json")]


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
