"""`process_movie`: a movie becomes a micrograph with its figures and pictures. The one public call for one movie.

`preprocess.pipeline.overlapping.process_movies` does the same for many, whose stages overlap.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from preprocess.computed_movie import ComputedMovie
from preprocess.errors import DeviceError
from preprocess.exposure.acquisition import Acquisition
from preprocess.gains.finding import ReferenceFinder
from preprocess.gains.found_settings import settings_of_movie
from preprocess.pipeline.falling_back import CANNOT, let_go_of_memory
from preprocess.pipeline.gain_orientations import GainOrientations
from preprocess.pipeline.movie_stages import MovieStages
from preprocess.pipeline.preparing import PreparedMovie, prepare_movie
from preprocess.pipeline.stage_timer import Progress, StageTimer
from preprocess.results import ProcessedMovie
from preprocess.settings import AlignmentSettings


def process_movie(
    movie_path: Path,
    out_dir: Path,
    *,
    settings: AlignmentSettings,
    acquisition: Acquisition = Acquisition(),  # noqa: B008 - a frozen value
    configured: Acquisition = Acquisition(),  # noqa: B008 - a frozen value
    progress: Progress | None = None,
    orientations: GainOrientations | None = None,
    finder: ReferenceFinder | None = None,
) -> ProcessedMovie:
    """Align a movie's frames and write its micrograph with all that belongs to it.

    Parameters
    ----------
    movie_path : Path
        The movie, TIFF, MRC or EER.
    out_dir : Path
        Folder for the outputs, named after the movie's stem; made if it is not there. Outputs of that name are
        replaced, each whole.
    settings : AlignmentSettings
        How to align. With the device `auto`, the CPU aligns a movie that the CUDA device has no memory for, or whose
        number type it does not know; the result's `warnings` say so once per process.
    acquisition, configured : Acquisition
        What the caller knows about the exposure: decided now, and configured for all; the former wins.
    progress : Callable[[str, float], None] | None
        Called with the stage (`read`, `align`, `sum`, `ctf`, `write`) and how much of it is done, from 0 to 1.
    orientations : GainOrientations | None
        What is decided about the gain reference for all movies of a run; None: this movie decides alone.
    finder : ReferenceFinder | None
        Finds the movie's gain reference and defects, where the settings name none; None: nobody looks for them.

    Returns
    -------
    ProcessedMovie
        Figures, and the files written, all of them durable.

    Raises
    ------
    PreprocessError
        One of its kinds says what is wrong with the movie, the gain reference, what is known, or the device.
    """
    timer = StageTimer(progress)
    with timer.beginning_of("read"):
        if finder is not None:
            settings = settings_of_movie(settings, movie_path, finder)
        prepared = prepare_movie(movie_path, out_dir, settings, acquisition, configured)
        stages = MovieStages.chosen(out_dir, settings, acquisition, configured, orientations)
    return process_alone(stages, prepared, timer)


def process_alone(stages: MovieStages, prepared: PreparedMovie, timer: StageTimer) -> ProcessedMovie:
    """Take a movie through all stages, with nothing else on the device; by the CPU if the device cannot and it may."""
    try:
        computed = _computed(stages, prepared, timer)
    except CANNOT as error:
        if not stages.may_use_cpu:
            raise
        reason: DeviceError = error
    else:
        return stages.write(computed, timer)
    let_go_of_memory(reason)
    said = stages.said.warnings(prepared.movie.path.name, reason)
    processed = stages.write(_computed(stages.on_cpu(), prepared, timer), timer)
    # The warning is this process's, not the movie's: STEM.json is the same whichever movie came first.
    return replace(processed, warnings=(*said, *processed.warnings))


def _computed(stages: MovieStages, prepared: PreparedMovie, timer: StageTimer) -> ComputedMovie:
    stages.check_memory(prepared, stages.backend)
    return stages.compute(prepared, stages.read(prepared, timer), timer)
