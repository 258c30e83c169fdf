"""A simulated microscope: writes an EPU session slowly into a folder, with known motion.

It writes TIFF movies as a K3 does (LZW, each with a gain reference beside it), MRC movies and EER movies as a Falcon
does (EER: one `.gain` at the session's root). Folders and names are EPU's. Each movie has the XML file, the preview and
the sum that EPU writes.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from preprocess.simulation import SimulatedMovie, SimulationSettings, simulate_movie, write_mrc

MovieFormat = Literal["tiff", "mrc", "eer"]
FORMATS: tuple[MovieFormat, ...] = ("tiff", "mrc", "eer")
_SUFFIX = {"tiff": "_fractions.tiff", "mrc": "_fractions.mrc", "eer": "_EER.eer"}
_GRID_SQUARES = (25590846, 25590911)
_WRITES_PER_MOVIE = 10


@dataclass(frozen=True, slots=True)
class Shot:
    """One exposure that the microscope takes: its movie, and the motion in it.

    Attributes
    ----------
    movie
        Path relative to the session's folder, with / between folders.
    true_shifts_yx_px
        Displacement of the content relative to the first frame, as `open_movie` reads it; shape (frames, 2), pixels.
    """

    movie: str
    format: MovieFormat
    settings: SimulationSettings
    true_shifts_yx_px: NDArray[np.float64]


def plan_session(count: int, size_px: int, seed: int = 0) -> Iterator[Shot]:
    """Yield `count` exposures of `size_px` × `size_px` pixels; formats alternate, and each has its own motion."""
    for index, movie_format in enumerate(islice(cycle(FORMATS), count)):
        settings = SimulationSettings(
            height=size_px,
            width=size_px,
            frame_count=24,
            dose_per_frame_e_per_a2=1.25,
            motion_px=3.0 + 1.5 * index,
            gain=movie_format != "mrc",
            seed=seed + index,
        )
        square = _GRID_SQUARES[index * len(_GRID_SQUARES) // count]
        stem = f"FoilHole_{25598436 + 17 * index}_Data_25597084_{index + 1}_20261122_1719{index:02d}"
        movie = f"Images-Disc1/GridSquare_{square}/Data/{stem}{_SUFFIX[movie_format]}"
        yield Shot(movie, movie_format, settings, simulate_movie(settings).truth.shifts_yx_px)


class Microscope(threading.Thread):
    """Takes the planned exposures one after the other, in a thread.

    Parameters
    ----------
    session
        The folder that the agent watches.
    staging
        A folder that no agent watches; each movie is simulated there first.
    on_written
        Called with each shot and the size of its movie in bytes, when the movie is complete.
    pause_s
        Pause between two writes to a movie.
    """

    def __init__(
        self,
        shots: list[Shot],
        session: Path,
        staging: Path,
        *,
        on_written: Callable[[Shot, int], None],
        pause_s: float = 0.15,
    ) -> None:
        super().__init__(daemon=True, name="microscope")
        self.failure: OSError | None = None
        self._shots, self._session, self._staging = shots, session, staging
        self._on_written, self._pause_s = on_written, pause_s
        self._stopped = threading.Event()

    def run(self) -> None:
        """Write the session."""
        try:
            for shot in self._shots:
                if self._stopped.is_set():
                    return
                self._expose(shot)
        except OSError as error:
            self.failure = error

    def stop(self) -> None:
        """Take no more exposures."""
        self._stopped.set()

    def _expose(self, shot: Shot) -> None:
        simulated = simulate_movie(shot.settings)
        staged = self._staging / Path(shot.movie).name
        simulated.write(staged)
        movie = self._session / shot.movie
        movie.parent.mkdir(parents=True, exist_ok=True)
        _write_sidecars(simulated, movie)
        self._write_gain(shot, simulated, movie)
        self._write_slowly(staged, movie)
        self._on_written(shot, staged.stat().st_size)
        staged.unlink()

    def _write_gain(self, shot: Shot, simulated: SimulatedMovie, movie: Path) -> None:
        if shot.format == "tiff":
            simulated.write_gain(movie.with_name(movie.name.replace("_fractions", "_gain")), movie_format="tiff")
        elif shot.format == "eer" and not (gain := self._session / "20261122_Falcon4.gain").exists():
            simulated.write_gain(gain, movie_format="eer")

    def _write_slowly(self, staged: Path, movie: Path) -> None:
        """Write the movie in steps under its final name, as a camera does."""
        block_bytes = -(-staged.stat().st_size // _WRITES_PER_MOVIE)
        with staged.open("rb") as source, movie.open("wb") as target:
            while block := source.read(block_bytes):
                target.write(block)
                target.flush()
                time.sleep(self._pause_s)
        shutil.copystat(staged, movie)


def _write_sidecars(simulated: SimulatedMovie, movie: Path) -> None:
    """Write the files that EPU writes with a movie: metadata, the sum without alignment, and a preview of the sum."""
    stem = movie.stem.removesuffix("_fractions").removesuffix("_EER")
    total = np.stack(list(simulated.frames())).sum(axis=0, dtype=np.float32)
    simulated.write_epu_xml(movie.with_name(f"{stem}.xml"))
    write_mrc(
        movie.with_name(f"{stem}.mrc"),
        [total],
        frame_count=1,
        mode=2,
        pixel_size_angstrom=simulated.settings.pixel_size_angstrom,
    )
    low, high = np.percentile(total, (1, 99))
    grey = np.clip((total - low) / max(high - low, 1.0) * 255, 0, 255).astype(np.uint8)
    Image.fromarray(grey).resize((512, 512), Image.Resampling.BOX).save(movie.with_name(f"{stem}.jpg"))
