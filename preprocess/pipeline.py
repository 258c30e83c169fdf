"""`process_movie`: a movie becomes a micrograph with its figures and pictures. The one public call of this package."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from preprocess.acquisition import Acquisition, resolve_acquisition
from preprocess.alignment.accumulated import accumulated_motion
from preprocess.alignment.movie_motion import MovieMotion, estimate_movie_motion
from preprocess.alignment.whole_frame import WholeFrameMotion, estimation_bin
from preprocess.backends.choose import choose_backend
from preprocess.dose import DoseWeights, critical_dose_scale, low_rank_weights, plain_weights
from preprocess.exposure_dose import ExposureDose, exposure_dose, require_for_weighting, require_pixel_size
from preprocess.frames import HeldMovie, hold_movie
from preprocess.grouping import FrameGroups, used_frames
from preprocess.memory import refuse_too_large
from preprocess.movies import Movie, open_movie
from preprocess.outcome import Outcome, processed_movie, write_outcome
from preprocess.output_names import output_paths, refuse_to_write_over
from preprocess.results import ProcessedMovie
from preprocess.settings import AlignmentSettings
from preprocess.sums import micrograph_shape, micrographs

Progress = Callable[[str, float], None]

UNSURE_PX = 0.5
"""Shifts whose own standard error is larger deserve a warning."""


class Stages:
    """Measures how long each stage takes, and tells whoever wants to know how far it is."""

    def __init__(self, progress: Progress | None) -> None:
        self.seconds: dict[str, float] = {}
        self._progress = progress

    def tell(self, stage: str, fraction: float) -> None:
        """Pass on how much of a stage is done, from 0 to 1."""
        if self._progress is not None:
            self._progress(stage, fraction)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure what is done inside."""
        self.tell(name, 0.0)
        started = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - started
        self.tell(name, 1.0)


def process_movie(
    movie_path: Path,
    out_dir: Path,
    *,
    settings: AlignmentSettings,
    acquisition: Acquisition = Acquisition(),  # noqa: B008 - a frozen value
    configured: Acquisition = Acquisition(),  # noqa: B008 - a frozen value
    progress: Progress | None = None,
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
        How to align.
    acquisition, configured : Acquisition
        What the caller knows about the exposure: decided now, and configured for all; the former wins.
    progress : Callable[[str, float], None] | None
        Told the stage (`read`, `align`, `sum`, `write`) and how much of it is done, from 0 to 1.

    Returns
    -------
    ProcessedMovie
        Figures, and the files written, all of them durable.

    Raises
    ------
    PreprocessError
        One of its kinds says what is wrong with the movie, the gain reference, what is known, or the device.
    """
    stages = Stages(progress)
    for source in (movie_path, settings.gain.path, settings.defects.path):
        if source is not None:
            refuse_to_write_over(source, output_paths(movie_path, out_dir).values())
    with stages.stage("read"):
        movie = open_movie(movie_path, settings.eer, threads=settings.threads)
        known = resolve_acquisition(movie, flags=acquisition, configured=configured)
        pixel_size = require_pixel_size(known)
        used = used_frames(settings.frames, movie.frame_count)
        groups = FrameGroups.of(len(used), settings.frames.group)
        dose = exposure_dose(known, movie.frame_count, used)
        weights, warnings = _weights(len(used), settings, known, dose, pixel_size)
        backend = choose_backend(settings.device, settings.threads, settings.device_memory_gb)
        sums = len(weights.frame_weights) + settings.unweighted + 2 * settings.even_odd
        refuse_too_large(movie, backend, groups, sums, estimation_bin(movie.height, movie.width))
        held = hold_movie(movie, used, groups, backend, settings, lambda fraction: stages.tell("read", fraction))
    with stages.stage("align"):
        motion = _motion(movie, held, settings, lambda fraction: stages.tell("align", fraction))
        field = motion.field.seen_from_first((movie.height, movie.width))
    with stages.stage("sum"):
        magnification = settings.magnification
        images = micrographs(
            held.stack,
            backend,
            field.stretched(magnification.stretch, magnification.angle_degrees, (movie.height, movie.width))
            if magnification.stretch != 1
            else field,
            weights,
            settings,
            micrograph_shape(movie.height, movie.width, settings.bin_factor),
        )
    with stages.stage("write"):
        outcome = Outcome(
            movie=movie,
            used=used,
            settings=settings,
            acquisition=known,
            dose=dose,
            pixel_size_angstrom=pixel_size,
            weights=weights,
            motion=motion.whole,
            field=field,
            local=motion.local,
            accumulated=accumulated_motion(motion.whole.shifts, pixel_size, None if dose is None else dose.after_frame),
            defects=held.defects,
            gain_fit=held.gain_fit,
            mean_counts=held.mean_counts,
            images=images,
            device=backend.name,
            warnings=(*warnings, *movie.remarks, *_warnings(len(used), held, motion.whole, dose)),
        )
        written = write_outcome(outcome, out_dir)
    return processed_movie(outcome, written, stages.seconds)


def _weights(
    frame_count: int, settings: AlignmentSettings, known: Acquisition, dose: ExposureDose | None, pixel_size: float
) -> tuple[DoseWeights, list[str]]:
    if not settings.dose_weighting:
        return plain_weights(frame_count), []
    dose, voltage = require_for_weighting(known, dose)
    scale, interpolated = critical_dose_scale(voltage)
    warnings = []
    if interpolated:
        warnings.append(
            f"dose weighting at {voltage:g} kV is nobody's standard: critical dose scaled by {scale:.3g}, "
            "interpolated between those of 100, 200 and 300 kV"
        )
    return low_rank_weights(dose.after_frame, pixel_size, voltage), warnings


def _motion(movie: Movie, held: HeldMovie, settings: AlignmentSettings, told: Callable[[float], None]) -> MovieMotion:
    motion = estimate_movie_motion(
        held.grouped,
        (movie.height, movie.width),
        len(held.groups),
        settings.patches,
        held.mean_counts * held.groups.frame_count,
        told,
    )
    if held.groups.single:
        return motion
    held.grouped.release()
    return motion.for_frames(held.groups.to_frames)


def _warnings(frame_count: int, held: HeldMovie, motion: WholeFrameMotion, dose: ExposureDose | None) -> list[str]:
    found = list(held.remarks)
    if held.gain_fit is not None and held.gain_fit.warning is not None:
        found.append(held.gain_fit.warning)
    if frame_count == 1:
        found.append("one frame: nothing to align, passed through")
    elif frame_count == 2:
        found.append("two frames: aligned to each other, with nothing to check them by")
    if frame_count > 1:
        found += _doubts(motion)
    if dose is None:
        found.append("the dose is unknown: early motion (until 4 e/Å²) is not told from late")
    return found


def _doubts(motion: WholeFrameMotion) -> list[str]:
    if not motion.has_signal:
        return ["the frames share nothing that stands out from noise: their shifts mean little"]
    doubts = []
    typical = float(np.median(motion.standard_errors))
    if typical > UNSURE_PX:
        doubts.append(f"faint movie: noise alone moves each shift by about {typical:.2g} px")
    if not motion.converged:
        doubts.append(f"alignment did not settle in {motion.steps} steps")
    return doubts
